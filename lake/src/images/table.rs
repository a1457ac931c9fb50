//! Listed objects as a DataFusion table.

use std::sync::{Arc, LazyLock};

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Result, ScalarValue, Statistics, cast::as_boolean_array, stats::Precision},
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use shoal_images::probe::Limits;
use url::Url;

use super::{
    list::ImageObject,
    source::{ImageSource, Wanted},
};
use crate::{
    prune::{depends_on, unqualified},
    stores::Stores,
};

/// Partitions per core, so that waiting for one object leaves others to be worked on.
const GROUPS_PER_PARTITION: usize = 4;

/// Objects for which filters are decided at a time.
const JUDGED_TOGETHER: usize = 8192;

/// The columns of an object: those of `raw.images`, and why the object was not taken in.
///
/// - `id`: BLAKE3 of the content, 64 hexadecimal digits
/// - `filename`: the object's URL
/// - `content`: its bytes; NULL, as `id`, if it is larger than the limit, its store did not give it, or it is
///   a local file that does not begin as a picture does
/// - `mime_type`: by content, such as `image/jpeg`; NULL, as `metadata`, if it is no picture
/// - `size`: bytes
/// - `created_at`: time of the object's last change
/// - `metadata`: width, height, channels, format, from the header
/// - `reason`: NULL for a usable picture, else a short code such as `truncated`
/// - `detail`: the reason in words
pub fn image_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = file_fields();
        fields.extend(object_fields());
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// What the content tells.
pub(super) fn file_fields() -> Vec<Field> {
    let metadata = Fields::from(vec![
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("channels", DataType::Int32, true),
        Field::new("format", DataType::Utf8, true),
    ]);
    vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("content", DataType::Binary, true),
        Field::new("mime_type", DataType::Utf8, true),
        Field::new("metadata", DataType::Struct(metadata), true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("detail", DataType::Utf8, true),
    ]
}

/// What the listing tells.
fn object_fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Field::new("filename", DataType::Utf8, false),
        Field::new("size", DataType::Int64, false),
        Field::new("created_at", time, false),
    ]
}

/// What the listing tells of `objects`.
fn listing(objects: &[ImageObject], schema: SchemaRef) -> Result<RecordBatch> {
    let urls = objects.iter().map(ImageObject::url);
    let sizes = objects.iter().map(ImageObject::size);
    let times = objects.iter().map(ImageObject::modified_micros);
    Ok(RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(urls)),
            Arc::new(Int64Array::from_iter_values(sizes)),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ],
    )?)
}

/// Objects of one store as a table, which has a row for each that is wanted.
#[derive(Debug)]
pub struct ImageFiles {
    source: Url,
    objects: Vec<ImageObject>,
    limits: Limits,
    wanted: Wanted,
}

impl ImageFiles {
    /// The wanted ones of the objects, which are all from the store of `source`.
    pub fn new(source: Url, objects: Vec<ImageObject>, limits: Limits, wanted: Wanted) -> Self {
        ImageFiles {
            source,
            objects,
            limits,
            wanted,
        }
    }

    /// What was listed.
    pub fn source(&self) -> &Url {
        &self.source
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Bytes in all objects.
    pub fn total_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.meta.size).sum()
    }

    /// Bytes that are read for `columns` of all objects: none for what the listing tells.
    pub fn bytes_of(&self, columns: &Schema) -> u64 {
        let listed = object_fields();
        let is_listed = |field: &FieldRef| listed.iter().any(|known| known.name() == field.name());
        match columns.fields().iter().all(is_listed) && self.wanted == Wanted::Everything {
            true => 0,
            false => self.total_bytes(),
        }
    }

    /// The objects for which all `filters`, which are over what the listing tells, are true.
    fn matching(&self, filters: &[Expr], session: &dyn Session) -> Result<Vec<&ImageObject>> {
        let Some(condition) = conjunction(filters.iter().cloned()) else {
            return Ok(self.objects.iter().collect());
        };
        let schema = Schema::new(object_fields());
        let condition = session.create_physical_expr(
            unqualified(condition)?,
            &DFSchema::try_from(schema.clone())?,
        )?;
        let schema = Arc::new(schema);
        let mut matching = Vec::new();
        for objects in self.objects.chunks(JUDGED_TOGETHER) {
            let listing = listing(objects, schema.clone())?;
            let verdict = condition.evaluate(&listing)?.into_array(objects.len())?;
            let judged = objects.iter().zip(as_boolean_array(&verdict)?);
            matching.extend(
                judged.filter_map(|(object, verdict)| (verdict == Some(true)).then_some(object)),
            );
        }
        Ok(matching)
    }

    fn partitioned_file(object: &ImageObject) -> PartitionedFile {
        let mut file = PartitionedFile::from(object.meta.clone());
        file.partition_values = vec![
            ScalarValue::Utf8(Some(object.url())),
            ScalarValue::Int64(Some(object.size())),
            ScalarValue::TimestampMicrosecond(Some(object.modified_micros()), Some("UTC".into())),
        ];
        file
    }
}

#[async_trait]
impl TableProvider for ImageFiles {
    fn schema(&self) -> SchemaRef {
        image_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    /// What the listing tells is decided before any object is read.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let listed: Vec<Field> = object_fields();
        let listed: Vec<&str> = listed.iter().map(|field| field.name().as_str()).collect();
        let answers = filters
            .iter()
            .map(|filter| match depends_on(filter, &listed) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
            });
        Ok(answers.collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let from_listing: Vec<FieldRef> = object_fields().into_iter().map(Arc::new).collect();
        let schema = TableSchema::builder(Arc::new(Schema::new(file_fields())))
            .with_table_partition_cols(from_listing)
            .build();
        let objects = self.matching(filters, session)?;
        if objects.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema().project(columns)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let groups = session.config().target_partitions() * GROUPS_PER_PARTITION;
        let mut dealt: Vec<Vec<PartitionedFile>> = vec![vec![]; groups.clamp(1, objects.len())];
        let lanes = dealt.len();
        for (i, object) in objects.iter().enumerate() {
            dealt[i % lanes].push(Self::partitioned_file(object));
        }
        let bytes = objects.iter().map(|object| object.meta.size).sum::<u64>();
        let statistics = Statistics {
            num_rows: match self.wanted {
                Wanted::Everything => Precision::Exact(objects.len()),
                Wanted::Pictures | Wanted::Rejects => Precision::Inexact(objects.len()),
            },
            total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
            column_statistics: Statistics::unknown_column(schema.table_schema()),
        };
        let source = ImageSource::new(schema, self.limits, self.wanted);
        let config = FileScanConfigBuilder::new(Stores::store_url(&self.source)?, Arc::new(source))
            .with_file_groups(dealt.into_iter().map(FileGroup::new).collect())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use datafusion::prelude::SessionContext;
    use datafusion_proto::bytes::physical_plan_to_bytes_with_extension_codec;
    use object_store::{ObjectMeta, path::Path};

    use super::*;

    #[tokio::test]
    async fn an_object_takes_as_much_of_a_plan_as_it_says() {
        for folder in ["a".to_string(), "photos/2024/05/06".repeat(10)] {
            let object = |number| {
                let meta = ObjectMeta {
                    location: Path::from(format!("{folder}/{number:020}.jpg")),
                    last_modified: Utc::now(),
                    size: 5 << 20,
                    e_tag: Some("tag".repeat(10)),
                    version: None,
                };
                ImageObject::new("s3://bucket".into(), meta)
            };
            let objects: Vec<ImageObject> = (0..2000).map(object).collect();
            let told: u64 = objects.iter().map(ImageObject::plan_bytes).sum();
            let source = Url::parse("s3://bucket/").unwrap();
            let files = ImageFiles::new(source, objects, Limits::default(), Wanted::Everything);
            let state = SessionContext::new().state();
            let plan = files.scan(&state, None, &[], None).await.unwrap();
            let codec = crate::codec();
            let encoded =
                physical_plan_to_bytes_with_extension_codec(plan, codec.as_ref()).unwrap();
            let bytes = encoded.len() as u64;
            assert!((told / 2..=told).contains(&bytes), "{bytes} of {told}");
        }
    }
}
