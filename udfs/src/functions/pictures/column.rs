//! Answers of image functions, one value per row, gathered into Arrow arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Builder, Float64Builder, Int32Builder, Int64Builder,
    ListArray, MapArray, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use image::DynamicImage;

use super::binary::Binary;
use super::picture::{into_samples, mode_of};
use crate::types::{image_fields, is_image};

/// One answer. Its kind is that of the column it is appended to.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(i32),
    Long(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A vector of the column's length.
    Floats(Vec<f32>),
    List(Vec<Value>),
    Struct(Vec<Value>),
    Map(Vec<(String, String)>),
    Image(Arc<DynamicImage>),
}

/// The answers to the rows of a batch.
pub(crate) enum Column {
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(Binary),
    Vector {
        element: FieldRef,
        length: i32,
        values: Float32Builder,
        valid: Vec<bool>,
    },
    List {
        element: FieldRef,
        items: Box<Column>,
        lengths: Vec<usize>,
        valid: Vec<bool>,
    },
    Struct {
        fields: Fields,
        columns: Vec<Column>,
        valid: Vec<bool>,
    },
    Map {
        entries: FieldRef,
        keys: StringBuilder,
        values: StringBuilder,
        lengths: Vec<usize>,
        valid: Vec<bool>,
    },
    Image(Box<Column>),
}

impl Column {
    /// An empty column of a type that image functions answer in.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Int32 => Self::Int(Int32Builder::new()),
            DataType::Int64 => Self::Long(Int64Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(Binary::default()),
            DataType::FixedSizeList(element, length)
                if element.data_type() == &DataType::Float32 =>
            {
                Self::Vector {
                    element: Arc::clone(element),
                    length: *length,
                    values: Float32Builder::new(),
                    valid: Vec::new(),
                }
            }
            DataType::List(element) => Self::List {
                element: Arc::clone(element),
                items: Box::new(Self::new(element.data_type())?),
                lengths: Vec::new(),
                valid: Vec::new(),
            },
            image if is_image(image) => Self::Image(Box::new(Self::structure(&image_fields())?)),
            DataType::Struct(fields) => Self::structure(fields)?,
            DataType::Map(entries, _) => Self::Map {
                entries: Arc::clone(entries),
                keys: StringBuilder::new(),
                values: StringBuilder::new(),
                lengths: Vec::new(),
                valid: Vec::new(),
            },
            other => return internal_err!("no image function answers in {other}"),
        })
    }

    fn structure(fields: &Fields) -> Result<Self> {
        let columns = fields.iter().map(|field| Self::new(field.data_type()));
        Ok(Self::Struct {
            fields: fields.clone(),
            columns: columns.collect::<Result<_>>()?,
            valid: Vec::new(),
        })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// When the bytes of the column exceed what an Arrow array of its type holds (2 GiB), and when
    /// the value is not of the column's kind, which is a defect.
    pub(crate) fn append(&mut self, value: Option<Value>) -> Result<()> {
        let Some(value) = value else {
            self.append_null();
            return Ok(());
        };
        match (self, value) {
            (Self::Int(column), Value::Int(value)) => column.append_value(value),
            (Self::Long(column), Value::Long(value)) => column.append_value(value),
            (Self::Double(column), Value::Double(value)) => column.append_value(value),
            (Self::Text(column), Value::Text(value)) => column.append_value(value),
            (Self::Bytes(column), Value::Bytes(value)) => column.append_value(value)?,
            (
                Self::Vector {
                    values,
                    valid,
                    length,
                    ..
                },
                Value::Floats(vector),
            ) => {
                if vector.len() != *length as usize {
                    return internal_err!("a vector of {} for one of {length}", vector.len());
                }
                values.append_slice(&vector);
                valid.push(true);
            }
            (
                Self::List {
                    items,
                    lengths,
                    valid,
                    ..
                },
                Value::List(values),
            ) => {
                lengths.push(values.len());
                valid.push(true);
                for value in values {
                    items.append(Some(value))?;
                }
            }
            (Self::Struct { columns, valid, .. }, Value::Struct(values)) => {
                if values.len() != columns.len() {
                    return internal_err!("{} values for {} fields", values.len(), columns.len());
                }
                for (column, value) in columns.iter_mut().zip(values) {
                    column.append(Some(value))?;
                }
                valid.push(true);
            }
            (
                Self::Map {
                    keys,
                    values,
                    lengths,
                    valid,
                    ..
                },
                Value::Map(entries),
            ) => {
                lengths.push(entries.len());
                valid.push(true);
                for (key, value) in entries {
                    keys.append_value(key);
                    values.append_value(value);
                }
            }
            (Self::Image(column), Value::Image(image)) => column.append_image(image)?,
            (_, value) => return internal_err!("an answer of another type: {value:?}"),
        }
        Ok(())
    }

    /// Adds the samples of a picture and what they mean; `self` is the struct of an IMAGE.
    fn append_image(&mut self, image: Arc<DynamicImage>) -> Result<()> {
        let Self::Struct { columns, valid, .. } = self else {
            return internal_err!("an IMAGE that is no struct");
        };
        let [
            Self::Bytes(data),
            Self::Int(height),
            Self::Int(width),
            Self::Int(channels),
            Self::Text(mode),
        ] = columns.as_mut_slice()
        else {
            return internal_err!("an IMAGE of other fields");
        };
        height.append_value(image.height() as i32);
        width.append_value(image.width() as i32);
        channels.append_value(i32::from(image.color().channel_count()));
        mode.append_value(mode_of(&image)?);
        valid.push(true);
        data.append_value(into_samples(Arc::unwrap_or_clone(image)))?;
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Int(column) => column.append_null(),
            Self::Long(column) => column.append_null(),
            Self::Double(column) => column.append_null(),
            Self::Text(column) => column.append_null(),
            Self::Bytes(column) => column.append_null(),
            Self::Vector {
                length,
                values,
                valid,
                ..
            } => {
                values.append_value_n(0.0, *length as usize);
                valid.push(false);
            }
            Self::List { lengths, valid, .. } | Self::Map { lengths, valid, .. } => {
                lengths.push(0);
                valid.push(false);
            }
            Self::Struct { columns, valid, .. } => {
                columns.iter_mut().for_each(Self::append_null);
                valid.push(false);
            }
            Self::Image(column) => column.append_null(),
        }
    }

    /// The array of all rows.
    pub(crate) fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Int(mut column) => Arc::new(column.finish()),
            Self::Long(mut column) => Arc::new(column.finish()),
            Self::Double(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Bytes(column) => Arc::new(column.finish()?),
            Self::Vector {
                element,
                length,
                mut values,
                valid,
            } => Arc::new(FixedSizeListArray::try_new(
                element,
                length,
                Arc::new(values.finish()),
                Some(NullBuffer::from(valid)),
            )?),
            Self::List {
                element,
                items,
                lengths,
                valid,
            } => Arc::new(ListArray::try_new(
                element,
                OffsetBuffer::from_lengths(lengths),
                items.finish()?,
                Some(NullBuffer::from(valid)),
            )?),
            Self::Struct {
                fields,
                columns,
                valid,
            } => {
                let columns = columns.into_iter().map(Self::finish);
                Arc::new(StructArray::try_new(
                    fields,
                    columns.collect::<Result<_>>()?,
                    Some(NullBuffer::from(valid)),
                )?)
            }
            Self::Map {
                entries,
                mut keys,
                mut values,
                lengths,
                valid,
            } => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return internal_err!("a map whose entries are no structs");
                };
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(keys.finish()), Arc::new(values.finish())];
                let items = StructArray::try_new(fields.clone(), columns, None)?;
                Arc::new(MapArray::try_new(
                    entries,
                    OffsetBuffer::from_lengths(lengths),
                    items,
                    Some(NullBuffer::from(valid)),
                    false,
                )?)
            }
            Self::Image(column) => column.finish()?,
        })
    }
}

/// `MAP<STRING, STRING>`, as Arrow and Spark spell its parts.
pub(crate) fn text_map() -> DataType {
    let fields = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ];
    let entries = Field::new("entries", DataType::Struct(fields.into()), false);
    DataType::Map(Arc::new(entries), false)
}

/// A whole number that fits an INT.
pub(crate) fn int(number: impl TryInto<i32>) -> Result<Value> {
    let number = number
        .try_into()
        .map_err(|_| exec_datafusion_err!("a number exceeds INT"))?;
    Ok(Value::Int(number))
}
