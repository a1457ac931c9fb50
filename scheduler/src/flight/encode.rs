//! Rows on the wire: types every client reads, in messages every client takes.
//!
//! Promises: the schema announced by [`wire_schema`] is the schema of the stream, as ADBC checks.
//! A message holds about [`MESSAGE_BYTES`], less than any client's default limit, unless a single
//! row is larger. Nothing is read from `rows` before the client has room for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use shoal_udfs::types::{image_metadata, is_image};
use tonic::Status;

use super::status::internal;

/// Rows of a result, errors already fit for the client.
pub(super) type Rows = BoxStream<'static, Result<RecordBatch, Status>>;

/// Size messages aim at. Rust clients take 4 MiB by default, ADBC and JDBC 16 MiB.
const MESSAGE_BYTES: usize = 2 << 20;

/// `schema` with the types that are sent: dictionaries and runs as their values, large lists as
/// lists, and views as what they view. With `keep_views`, columns that are views stay so; views
/// inside other types never do. An IMAGE says so, also where the plan has lost its metadata.
pub(super) fn wire_schema(schema: &Schema, keep_views: bool) -> SchemaRef {
    let fields: Vec<FieldRef> = schema
        .fields()
        .iter()
        .map(|field| {
            if keep_views && is_view(field.data_type()) {
                Arc::clone(field)
            } else {
                marked(wire_field(field))
            }
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `field` with its extension type, if it has the storage of an IMAGE.
fn marked(field: FieldRef) -> FieldRef {
    if !is_image(field.data_type()) {
        return field;
    }
    let mut field = Field::clone(&field);
    field.metadata_mut().extend(image_metadata());
    Arc::new(field)
}

fn is_view(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView)
}

fn wire_field(field: &FieldRef) -> FieldRef {
    let wire = wire_type(field.data_type());
    if &wire == field.data_type() {
        return Arc::clone(field);
    }
    let field =
        Field::new(field.name(), wire, field.is_nullable()).with_metadata(field.metadata().clone());
    Arc::new(field)
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => wire_type(value),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(wire_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(wire_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(wire_field(entries), *sorted),
        other => other.clone(),
    }
}

/// `rows` as Flight messages under `schema`, a [`wire_schema`].
pub(super) fn encode(
    rows: Rows,
    schema: SchemaRef,
) -> BoxStream<'static, Result<FlightData, Status>> {
    let wire = Arc::clone(&schema);
    let batches = rows
        .map(move |batch| {
            let pieces = split(to_wire(&batch?, &wire)?);
            Ok::<_, FlightError>(stream::iter(pieces.map(|piece| Ok(compact(piece)?))))
        })
        .try_flatten();
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        // Batches come in the right size; the encoder's own splitting takes a slice for the whole.
        .with_max_flight_data_size(usize::MAX)
        .build(batches)
        .map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            other => internal("cannot encode the result", other),
        })
        .boxed()
}

fn to_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Status> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        })
        .collect::<Result<Vec<ArrayRef>, ArrowError>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .and_then(|columns| {
            RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        })
        .map_err(|error| internal("cannot convert the result to the announced schema", error))
}

/// Halves of halves of `batch`, in order, each of about [`MESSAGE_BYTES`] or a single row.
fn split(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> + Send {
    let mut rest = vec![batch];
    std::iter::from_fn(move || {
        loop {
            let batch = rest.pop()?;
            let rows = batch.num_rows();
            if rows <= 1 || batch.columns().iter().map(size).sum::<usize>() <= MESSAGE_BYTES {
                return Some(batch);
            }
            let half = rows / 2;
            rest.push(batch.slice(half, rows - half));
            rest.push(batch.slice(0, half));
        }
    })
}

/// Bytes of the rows that `column` shows, whatever it is a slice of.
fn size(column: &ArrayRef) -> usize {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().views(),
        DataType::BinaryView => column.as_binary_view().views(),
        _ => {
            let data = column.to_data();
            return data
                .get_slice_memory_size()
                .unwrap_or_else(|_| column.get_buffer_memory_size());
        }
    };
    // The low 32 bits of a view are the length of its value.
    let values: usize = views.iter().map(|view| *view as u32 as usize).sum();
    values + size_of_val(&views[..])
}

/// View columns with nothing but what they show: a view array is sent with all it points into.
fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema
        .fields()
        .iter()
        .any(|field| is_view(field.data_type()))
    {
        return Ok(batch);
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(schema, columns)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BinaryViewArray, DictionaryArray, Int32Array, ListViewArray, StringViewArray,
        StructArray,
    };
    use arrow::buffer::ScalarBuffer;
    use arrow::datatypes::Int32Type;
    use arrow_flight::decode::FlightRecordBatchStream;

    use super::*;

    async fn over_the_wire(batch: RecordBatch, keep_views: bool) -> (Vec<usize>, Vec<RecordBatch>) {
        let schema = wire_schema(batch.schema_ref(), keep_views);
        let messages: Vec<FlightData> =
            encode(stream::iter([Ok(batch)]).boxed(), Arc::clone(&schema))
                .try_collect()
                .await
                .unwrap();
        let sizes = messages.iter().map(|m| m.data_body.len()).collect();
        let mut decoded = FlightRecordBatchStream::new_from_flight_data(stream::iter(
            messages.into_iter().map(Ok),
        ));
        let mut batches = Vec::new();
        while let Some(batch) = decoded.next().await {
            batches.push(batch.unwrap());
        }
        assert_eq!(
            decoded.schema(),
            Some(&schema),
            "the announced schema is sent"
        );
        (sizes, batches)
    }

    #[tokio::test]
    async fn views_and_dictionaries_arrive_as_plain_types_also_inside_structs_and_lists() {
        let names = StringViewArray::from(vec!["a", "a rather longer name than twelve bytes"]);
        let bytes = BinaryViewArray::from(vec![b"x".as_slice(), b"y".as_slice()]);
        let kinds: DictionaryArray<Int32Type> = vec!["jpeg", "png"].into_iter().collect();
        let item = Arc::new(Field::new("item", DataType::Utf8View, true));
        let lists = ListViewArray::new(
            item,
            ScalarBuffer::from(vec![0, 1]),
            ScalarBuffer::from(vec![1, 1]),
            Arc::new(names.clone()),
            None,
        );
        let nested = StructArray::from(vec![(
            Arc::new(Field::new("name", DataType::Utf8View, false)),
            Arc::new(names.clone()) as ArrayRef,
        )]);
        let batch = RecordBatch::try_from_iter([
            ("name", Arc::new(names) as ArrayRef),
            ("bytes", Arc::new(bytes)),
            ("kind", Arc::new(kinds)),
            ("list", Arc::new(lists)),
            ("nested", Arc::new(nested)),
        ])
        .unwrap();

        let (_, batches) = over_the_wire(batch.clone(), false).await;
        let got = &batches[0];
        assert_eq!(got.column(0).as_string::<i32>().value(0), "a");
        assert_eq!(got.column(1).data_type(), &DataType::Binary);
        assert_eq!(got.column(2).as_string::<i32>().value(1), "png");
        assert!(
            matches!(got.column(3).data_type(), DataType::List(item) if item.data_type() == &DataType::Utf8)
        );
        assert_eq!(
            got.column(4).as_struct().column(0).data_type(),
            &DataType::Utf8
        );

        let (_, batches) = over_the_wire(batch, true).await;
        assert_eq!(batches[0].column(0).data_type(), &DataType::Utf8View);
    }

    #[tokio::test]
    async fn views_that_are_kept_are_sent_without_what_their_batch_does_not_show() {
        let long = "x".repeat(1000);
        let values: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(); 10_000]));
        let batch = RecordBatch::try_from_iter([("text", values)]).unwrap();
        let (sizes, batches) = over_the_wire(batch.slice(0, 10), true).await;
        assert_eq!(batches[0].num_rows(), 10);
        assert!(sizes.iter().sum::<usize>() < 20_000, "{sizes:?}");
        let (sizes, _) = over_the_wire(batch, true).await;
        assert!(sizes.len() < 20, "{sizes:?}");
    }

    #[tokio::test]
    async fn a_large_batch_is_split_by_bytes_and_a_larger_row_is_sent_whole() {
        let small = vec![7_u8; 1000];
        let huge = vec![8_u8; 3 * MESSAGE_BYTES];
        let mut values = vec![small.as_slice(); 5000];
        values[4000] = &huge;
        let images: ArrayRef = Arc::new(BinaryArray::from(values));
        let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..5000));
        let batch = RecordBatch::try_from_iter([("image", images), ("id", ids)]).unwrap();
        let (sizes, batches) = over_the_wire(batch.slice(1, 4999), false).await;

        let ids: Vec<i32> = batches
            .iter()
            .flat_map(|batch| {
                batch
                    .column(1)
                    .as_primitive::<Int32Type>()
                    .values()
                    .to_vec()
            })
            .collect();
        assert_eq!(ids, (1..5000).collect::<Vec<_>>());
        let above = sizes
            .iter()
            .filter(|size| **size > MESSAGE_BYTES + 4096)
            .count();
        assert_eq!(above, 1, "only the huge row goes over: {sizes:?}");
    }

    #[tokio::test]
    async fn an_image_is_marked_also_where_its_plan_has_forgotten_it() {
        let images = arrow::array::new_null_array(&shoal_udfs::types::image_type(), 2);
        let batch = RecordBatch::try_from_iter_with_nullable([("i", images, true)]).unwrap();
        assert!(batch.schema().field(0).metadata().is_empty());
        let (_, batches) = over_the_wire(batch, false).await;
        let schema = batches[0].schema();
        assert_eq!(schema.field(0).metadata(), &image_metadata());
    }

    #[tokio::test]
    async fn an_empty_result_still_has_its_schema() {
        let batch = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new(
            "id",
            DataType::Int32,
            false,
        )])));
        let (_, batches) = over_the_wire(batch, false).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    }
}
