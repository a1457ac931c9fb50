//! What a table notes of a column's type where its format has no word for it.
//!
//! Delta and Iceberg have lists of any length only. So VECTOR(n) and TENSOR(a, b) are stored as
//! lists, with a note beside the column: `vector(3)`, `tensor(2, 3)`. On a Delta table the note is
//! column metadata ([`DELTA_KEY`]), on an Iceberg table a property that names the column
//! ([`property`]), since Iceberg's columns have no metadata. Other engines see plain lists.
//!
//! A note that does not fit what is stored means nothing: the column is then what it is stored as.
//! An IMAGE needs no note: its struct is like no other.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use shoal_udfs::types::{
    EXTENSION_METADATA, EXTENSION_NAME, image_metadata, is_element, is_image, tensor_length,
    tensor_metadata, tensor_shape,
};

/// Key of a Delta column's metadata that holds the note.
pub(crate) const DELTA_KEY: &str = "shoal.type";

/// What the properties that hold the notes of an Iceberg table begin with.
pub const COLUMN_TYPE_PREFIX: &str = "shoal.column.";

/// Name of the property that holds the note on an Iceberg column.
pub(crate) fn property(column: &str) -> String {
    format!("{COLUMN_TYPE_PREFIX}{column}.type")
}

/// The note on a column; `None` where its format says it all.
pub(crate) fn note(field: &Field) -> Option<String> {
    if let Some(shape) = tensor_shape(field) {
        let sizes: Vec<String> = shape.iter().map(i32::to_string).collect();
        return Some(format!("tensor({})", sizes.join(", ")));
    }
    match field.data_type() {
        DataType::FixedSizeList(_, length) => Some(format!("vector({length})")),
        _ => None,
    }
}

/// The schema of a stored table with the types that its notes tell; `note_on` gives the note on a
/// column.
pub(crate) fn noted_schema<N: AsRef<str>>(
    stored: &Schema,
    note_on: impl Fn(&Field) -> Option<N>,
) -> Schema {
    let fields: Vec<Field> = stored
        .fields()
        .iter()
        .map(|field| {
            let note = note_on(field);
            noted(field, note.as_ref().map(AsRef::as_ref))
        })
        .collect();
    Schema::new_with_metadata(fields, stored.metadata().clone())
}

/// Where a vector's field keeps the Iceberg id of its elements. Aggregates make vectors anew without
/// the metadata of the inner field, and their type must stay the same.
const ELEMENT_ID: &str = "shoal.element_id";

/// The columns of data files: elements have their ids, and tensors are lists, because PyIceberg refuses
/// a file whose Arrow schema says tensor.
pub(crate) fn file_schema(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut field = field.as_ref().clone();
            if let Some(id) = field.metadata_mut().remove(ELEMENT_ID)
                && let DataType::FixedSizeList(item, length) = field.data_type()
            {
                let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id)]);
                let item = item.as_ref().clone().with_metadata(id);
                let with_id = DataType::FixedSizeList(Arc::new(item), *length);
                field.set_data_type(with_id);
            }
            if tensor_shape(&field).is_some() {
                field.metadata_mut().remove(EXTENSION_NAME);
                field.metadata_mut().remove(EXTENSION_METADATA);
            }
            field
        })
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn noted(stored: &Field, note: Option<&str>) -> Field {
    let mut field = stored.clone();
    if is_image(field.data_type()) {
        field.metadata_mut().extend(image_metadata());
    }
    let (DataType::List(item), Some((kind, shape))) = (stored.data_type(), note.and_then(parsed))
    else {
        return field;
    };
    let Some(length) = tensor_length(&shape).filter(|_| is_element(item.data_type())) else {
        return field;
    };
    let mut item = item.as_ref().clone();
    if let Some(id) = item.metadata_mut().remove(PARQUET_FIELD_ID_META_KEY) {
        field.metadata_mut().insert(ELEMENT_ID.to_owned(), id);
    }
    field.set_data_type(DataType::FixedSizeList(Arc::new(item), length));
    if kind == Kind::Tensor {
        field.metadata_mut().extend(tensor_metadata(&shape));
    }
    field
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vector,
    Tensor,
}

fn parsed(note: &str) -> Option<(Kind, Vec<i32>)> {
    let (name, rest) = note.split_once('(')?;
    let sizes = rest.strip_suffix(')')?.split(',');
    let shape: Vec<i32> = sizes
        .map(|size| size.trim().parse().ok())
        .collect::<Option<_>>()?;
    match (name, shape.len()) {
        ("vector", 1) => Some((Kind::Vector, shape)),
        ("tensor", _) => Some((Kind::Tensor, shape)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use shoal_udfs::types::{image_field, image_type, tensor_field, vector_field};

    use super::*;

    /// The column as a format without fixed-size lists stores it.
    fn stored(field: &Field) -> Field {
        match field.data_type() {
            DataType::FixedSizeList(item, _) => {
                Field::new(field.name(), DataType::List(item.clone()), true)
            }
            other => Field::new(field.name(), other.clone(), true),
        }
    }

    #[test]
    fn a_noted_column_comes_back_as_it_was() {
        for field in [
            vector_field("v", 3),
            tensor_field("t", DataType::Float64, &[2, 3]).unwrap(),
            image_field("i"),
            Field::new("plain", DataType::new_list(DataType::Float32, true), true),
        ] {
            let note = note(&field);
            assert_eq!(noted(&stored(&field), note.as_deref()), field);
        }
        assert_eq!(note(&image_field("i")), None);
    }

    #[test]
    fn elements_have_their_ids_in_files_and_not_in_plans() {
        let id = |id: &str| HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_owned())]);
        let item = Field::new("element", DataType::Float32, true).with_metadata(id("7"));
        let stored = Field::new("t", DataType::List(Arc::new(item)), true).with_metadata(id("3"));
        let column = noted(&stored, Some("tensor(2, 3)"));
        let planned = tensor_field("t", DataType::Float32, &[2, 3]).unwrap();
        assert_eq!(column.data_type(), planned.data_type());
        let in_file = file_schema(&Schema::new(vec![column]));
        assert_eq!(in_file.field(0).metadata(), &id("3"));
        let DataType::FixedSizeList(item, 6) = in_file.field(0).data_type() else {
            panic!("{in_file}")
        };
        assert_eq!(item.metadata(), &id("7"));
    }

    #[test]
    fn a_note_that_does_not_fit_means_nothing() {
        let texts = Field::new(
            "x",
            DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            true,
        );
        assert_eq!(noted(&texts, Some("vector(3)")), texts);
        let numbers = stored(&vector_field("v", 3));
        for wrong in [
            "vector(0)",
            "vector(-1)",
            "vector(3, 4)",
            "vector",
            "vector(x)",
            "matrix(2, 2)",
            "tensor()",
        ] {
            assert_eq!(noted(&numbers, Some(wrong)), numbers, "{wrong}");
        }
        let image = Field::new("i", image_type(), true);
        assert_eq!(noted(&image, Some("vector(3)")), image_field("i"));
    }
}
