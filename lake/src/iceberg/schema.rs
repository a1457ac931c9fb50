//! Iceberg schemas as Arrow schemas and back.
//!
//! Every Arrow field made here carries its Iceberg field id in the metadata key
//! [`FIELD_ID`], on all levels of nesting: that is the key under which the Parquet writer stores
//! ids in files, and by which the scan finds a column again after it was renamed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema as IcebergSchema,
    StructType, TableMetadata, Type,
};

use super::failed;
use crate::column_type;
use crate::error::{LakeError, Result};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY as FIELD_ID;

/// Time zone of Arrow's form of `timestamptz`.
const UTC: &str = "UTC";

/// The Arrow schema of an Iceberg schema.
pub(super) fn to_arrow(schema: &IcebergSchema) -> SchemaRef {
    Arc::new(Schema::new(arrow_fields(schema.as_struct())))
}

/// The Arrow schema of an Iceberg table; its properties note what Iceberg's types do not say.
pub(super) fn of_table(metadata: &TableMetadata) -> SchemaRef {
    let stored = to_arrow(metadata.current_schema());
    let properties = metadata.properties();
    Arc::new(column_type::noted_schema(&stored, |column| {
        properties.get(&column_type::property(column.name()))
    }))
}

fn arrow_fields(fields: &StructType) -> Fields {
    fields.fields().iter().map(arrow_field).collect()
}

fn arrow_field(field: &NestedFieldRef) -> FieldRef {
    let mut metadata = HashMap::from([(FIELD_ID.to_owned(), field.id.to_string())]);
    if let Some(doc) = &field.doc {
        metadata.insert("comment".to_owned(), doc.clone());
    }
    let data_type = arrow_type(&field.field_type);
    Arc::new(Field::new(&field.name, data_type, !field.required).with_metadata(metadata))
}

fn arrow_type(iceberg_type: &Type) -> DataType {
    match iceberg_type {
        Type::Primitive(primitive) => arrow_primitive(primitive),
        Type::Struct(fields) => DataType::Struct(arrow_fields(fields)),
        Type::List(list) => DataType::List(arrow_field(&list.element_field)),
        Type::Map(map) => {
            let entries = Fields::from(vec![
                arrow_field(&map.key_field),
                arrow_field(&map.value_field),
            ]);
            let entries = Field::new("key_value", DataType::Struct(entries), false);
            DataType::Map(Arc::new(entries), false)
        }
    }
}

/// The Arrow type of a primitive Iceberg type.
pub(super) fn arrow_primitive(primitive: &PrimitiveType) -> DataType {
    match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        // The specification allows precisions up to 38, which fit in `u8`, and scales up to that.
        PrimitiveType::Decimal { precision, scale } => {
            DataType::Decimal128(*precision as u8, *scale as i8)
        }
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
        PrimitiveType::Fixed(length) => DataType::FixedSizeBinary(*length as i32),
        PrimitiveType::Binary => DataType::Binary,
    }
}

/// The Iceberg schema of a table to be created, with ids numbered from 1 in depth-first order.
///
/// # Errors
/// [`LakeError::Unsupported`] names the first column whose type Iceberg's version 2 does not have.
pub(super) fn from_arrow(table: &str, schema: &Schema) -> Result<IcebergSchema> {
    let mut converter = FromArrow { table, last_id: 0 };
    let fields = schema
        .fields()
        .iter()
        .map(|field| converter.field(field, field.name()))
        .collect::<Result<Vec<_>>>()?;
    IcebergSchema::builder()
        .with_fields(fields)
        .build()
        .map_err(failed(table, "building its schema"))
}

struct FromArrow<'a> {
    table: &'a str,
    last_id: i32,
}

impl FromArrow<'_> {
    fn next_id(&mut self) -> i32 {
        self.last_id += 1;
        self.last_id
    }

    /// `path` is the field's full name, for messages.
    fn field(&mut self, field: &Field, path: &str) -> Result<NestedFieldRef> {
        let id = self.next_id();
        let iceberg_type = self.data_type(field.data_type(), path)?;
        let mut nested = NestedField::new(id, field.name(), iceberg_type, !field.is_nullable());
        nested.doc = field.metadata().get("comment").cloned();
        Ok(Arc::new(nested))
    }

    fn data_type(&mut self, data_type: &DataType, path: &str) -> Result<Type> {
        let primitive = match data_type {
            DataType::Boolean => PrimitiveType::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 => PrimitiveType::Int,
            DataType::UInt8 | DataType::UInt16 => PrimitiveType::Int,
            DataType::Int64 | DataType::UInt32 => PrimitiveType::Long,
            DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
            DataType::Float64 => PrimitiveType::Double,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
                if *scale >= 0 =>
            {
                PrimitiveType::Decimal {
                    precision: u32::from(*precision),
                    scale: scale.unsigned_abs().into(),
                }
            }
            DataType::Date32 => PrimitiveType::Date,
            DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
            DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
            DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                PrimitiveType::Binary
            }
            DataType::FixedSizeBinary(length) => {
                PrimitiveType::Fixed(u64::from(length.unsigned_abs()))
            }
            DataType::Dictionary(_, values) => return self.data_type(values, path),
            DataType::Struct(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| self.field(field, &format!("{path}.{}", field.name())))
                    .collect::<Result<_>>()?;
                return Ok(Type::Struct(StructType::new(fields)));
            }
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::LargeListView(element)
            | DataType::FixedSizeList(element, _) => {
                let id = self.next_id();
                let element_type =
                    self.data_type(element.data_type(), &format!("{path}.element"))?;
                let element = NestedField::list_element(id, element_type, !element.is_nullable());
                return Ok(Type::List(ListType::new(Arc::new(element))));
            }
            DataType::Map(entries, _) => return self.map_type(entries, path),
            other => {
                return Err(LakeError::Unsupported {
                    table: self.table.to_owned(),
                    feature: format!(
                        "column {path} is of type {other}, which Iceberg does not have"
                    ),
                });
            }
        };
        Ok(Type::Primitive(primitive))
    }

    fn map_type(&mut self, entries: &Field, path: &str) -> Result<Type> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(LakeError::Invalid(format!(
                "column {path} is a map whose entries are {}, not a struct",
                entries.data_type()
            )));
        };
        let [key, value] = fields.as_ref() else {
            return Err(LakeError::Invalid(format!(
                "column {path} is a map whose entries have {} fields, not a key and a value",
                fields.len()
            )));
        };
        let (key_id, value_id) = (self.next_id(), self.next_id());
        let key_type = self.data_type(key.data_type(), &format!("{path}.key"))?;
        let value_type = self.data_type(value.data_type(), &format!("{path}.value"))?;
        Ok(Type::Map(MapType {
            key_field: Arc::new(NestedField::map_key_element(key_id, key_type)),
            value_field: Arc::new(NestedField::map_value_element(
                value_id,
                value_type,
                !value.is_nullable(),
            )),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(field: &Field) -> &str {
        &field.metadata()[FIELD_ID]
    }

    #[test]
    fn nested_types_come_back_with_an_id_on_every_level() {
        let point = Fields::from(vec![
            Field::new("x", DataType::Float64, false),
            Field::new("tags", DataType::new_list(DataType::Utf8View, true), true),
        ]);
        let entries = Fields::from(vec![
            Field::new("keys", DataType::Utf8, false),
            Field::new("values", DataType::Int16, true),
        ]);
        let entries = Field::new("entries", DataType::Struct(entries), false);
        let schema = Schema::new(vec![
            Field::new("p", DataType::Struct(point), true),
            Field::new("m", DataType::Map(Arc::new(entries), false), false),
            Field::new(
                "t",
                DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
                true,
            ),
        ]);
        let back = to_arrow(&from_arrow("t", &schema).unwrap());

        assert_eq!(id(back.field(0)), "1");
        let DataType::Struct(point) = back.field(0).data_type() else {
            panic!("{back}")
        };
        assert_eq!((id(&point[0]), point[0].is_nullable()), ("2", false));
        let DataType::List(tag) = point[1].data_type() else {
            panic!("{back}")
        };
        assert_eq!((id(&point[1]), id(tag)), ("3", "4"));
        assert_eq!(tag.data_type(), &DataType::Utf8);
        let DataType::Map(entries, _) = back.field(1).data_type() else {
            panic!("{back}")
        };
        let DataType::Struct(entries) = entries.data_type() else {
            panic!("{back}")
        };
        assert_eq!(
            (id(back.field(1)), back.field(1).is_nullable()),
            ("5", false)
        );
        assert_eq!((id(&entries[0]), id(&entries[1])), ("6", "7"));
        assert_eq!(entries[1].data_type(), &DataType::Int32);
        assert_eq!(
            back.field(2).data_type(),
            &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
        );
    }

    #[test]
    fn a_type_that_iceberg_lacks_is_refused_with_the_columns_full_name() {
        let inner = Fields::from(vec![Field::new("n", DataType::UInt64, true)]);
        let schema = Schema::new(vec![Field::new("s", DataType::Struct(inner), true)]);
        let error = from_arrow("lake.raw.t", &schema).unwrap_err().to_string();
        assert!(error.contains("lake.raw.t"), "{error}");
        assert!(error.contains("s.n is of type UInt64"), "{error}");
    }
}
