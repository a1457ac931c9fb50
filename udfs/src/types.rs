//! The types that pictures and vectors have in columns, as Arrow knows them: `docs/types.md` is
//! their specification.
//!
//! | SQL | Arrow | extension name |
//! |---|---|---|
//! | `IMAGE` | Struct { data: Binary, height, width, channels: Int32, mode: Utf8 } | `shoal.image` |
//! | `VECTOR(n)` | FixedSizeList(Float32, n) | none |
//! | `TENSOR(d1, d2, …)` | FixedSizeList(Float32, d1 · d2 · …) | `arrow.fixed_shape_tensor` |
//!
//! An IMAGE is recognized by its storage alone, so it stays one where a plan drops the metadata of
//! a field. A tensor without its metadata is a plain vector of the same numbers.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use serde_json::{Value, json};

/// Key of a field's metadata under which Arrow keeps the name of an extension type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// Key of a field's metadata under which Arrow keeps the parameters of an extension type.
pub const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
/// Name of the extension type of decoded pictures.
pub const IMAGE_EXTENSION: &str = "shoal.image";
/// Name of Arrow's own extension type of tensors that have one shape in all rows.
pub const TENSOR_EXTENSION: &str = "arrow.fixed_shape_tensor";

/// What the items of a list are called, as in Parquet's specification of lists.
const ELEMENT: &str = "element";

/// Longest vector and largest tensor of one row: 64 Mi numbers, more than any model takes.
pub const MAX_LENGTH: i32 = 1 << 26;

/// The storage of an IMAGE: `data` holds the rows of pixels from top to bottom, channels
/// interleaved, 8-bit or little-endian 16-bit or 32-bit float samples as `mode` says.
pub fn image_type() -> DataType {
    DataType::Struct(image_fields())
}

/// The fields of [`image_type`], in its order.
pub fn image_fields() -> Fields {
    Fields::from(vec![
        Field::new("data", DataType::Binary, true),
        Field::new("height", DataType::Int32, true),
        Field::new("width", DataType::Int32, true),
        Field::new("channels", DataType::Int32, true),
        Field::new("mode", DataType::Utf8, true),
    ])
}

/// A nullable IMAGE column, marked with its extension type.
pub fn image_field(name: impl Into<String>) -> Field {
    Field::new(name, image_type(), true).with_metadata(image_metadata())
}

/// Field metadata that says IMAGE.
pub fn image_metadata() -> HashMap<String, String> {
    HashMap::from([(EXTENSION_NAME.to_owned(), IMAGE_EXTENSION.to_owned())])
}

/// True for the storage of an IMAGE, whatever a field's metadata says and whichever of Arrow's
/// binary and string types its parts have.
pub fn is_image(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else {
        return false;
    };
    let [data, height, width, channels, mode] = fields.as_ref() else {
        return false;
    };
    let is = |field: &FieldRef, name, fits: fn(&DataType) -> bool| {
        field.name() == name && fits(field.data_type())
    };
    let integer = |data_type: &DataType| *data_type == DataType::Int32;
    is(data, "data", DataType::is_binary)
        && is(height, "height", integer)
        && is(width, "width", integer)
        && is(channels, "channels", integer)
        && is(mode, "mode", DataType::is_string)
}

/// The type of vectors of `length` FLOATs.
pub fn vector_type(length: i32) -> DataType {
    fixed_size_list(DataType::Float32, length)
}

/// The type of vectors of `length` numbers of type `element`.
pub fn fixed_size_list(element: DataType, length: i32) -> DataType {
    DataType::FixedSizeList(Arc::new(Field::new(ELEMENT, element, true)), length)
}

/// Whether table columns of type VECTOR or TENSOR can hold numbers of that type.
pub fn is_element(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// A nullable column of vectors of `length` FLOATs.
pub fn vector_field(name: impl Into<String>, length: i32) -> Field {
    Field::new(name, vector_type(length), true)
}

/// A nullable column of tensors, row-major, marked with their shape; `None` when there is no
/// dimension, one is not positive, or a row would have more than [`MAX_LENGTH`] elements.
pub fn tensor_field(name: impl Into<String>, element: DataType, shape: &[i32]) -> Option<Field> {
    let length = tensor_length(shape)?;
    let field = Field::new(name, fixed_size_list(element, length), true);
    Some(field.with_metadata(tensor_metadata(shape)))
}

/// How many elements a tensor of this shape has; `None` as in [`tensor_field`].
pub fn tensor_length(shape: &[i32]) -> Option<i32> {
    if shape.is_empty() {
        return None;
    }
    shape.iter().try_fold(1, |length: i32, &size| {
        let length = length.checked_mul(size)?;
        (1..=MAX_LENGTH).contains(&length).then_some(length)
    })
}

/// Field metadata that says a tensor of this shape, row-major.
pub fn tensor_metadata(shape: &[i32]) -> HashMap<String, String> {
    HashMap::from([
        (EXTENSION_NAME.to_owned(), TENSOR_EXTENSION.to_owned()),
        // Written here and not by arrow-rs, whose `"dim_names":null` other readers refuse.
        (
            EXTENSION_METADATA.to_owned(),
            json!({ "shape": shape }).to_string(),
        ),
    ])
}

/// The shape of a tensor column in row-major order; `None` for every other column, when the metadata
/// does not fit the storage, and when it asks for another order of the dimensions, which SQL cannot say.
pub fn tensor_shape(field: &Field) -> Option<Vec<i32>> {
    let DataType::FixedSizeList(_, length) = field.data_type() else {
        return None;
    };
    if field.metadata().get(EXTENSION_NAME)? != TENSOR_EXTENSION {
        return None;
    }
    let parameters: Value = serde_json::from_str(field.metadata().get(EXTENSION_METADATA)?).ok()?;
    let sizes = parameters.get("shape")?.as_array()?.iter();
    let shape: Option<Vec<i32>> = sizes
        .map(|size| i32::try_from(size.as_i64()?).ok())
        .collect();
    let shape = shape.filter(|shape| tensor_length(shape) == Some(*length))?;
    let in_order = match parameters.get("permutation").and_then(Value::as_array) {
        Some(order) => (0..shape.len()).map(Value::from).eq(order.iter().cloned()),
        None => true,
    };
    in_order.then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_storage_and_not_by_its_metadata() {
        assert!(is_image(image_field("photo").data_type()));
        assert!(!is_image(&DataType::Struct(Fields::empty())));
        let mut fields: Vec<FieldRef> = image_fields().iter().cloned().collect();
        fields.swap(1, 2);
        assert!(!is_image(&DataType::Struct(fields.into())));
        assert!(!is_image(&DataType::Binary));
    }

    #[test]
    fn a_tensor_field_gives_its_shape_back() {
        let field = tensor_field("t", DataType::UInt8, &[4, 6, 3]).unwrap();
        assert_eq!(field.data_type(), &fixed_size_list(DataType::UInt8, 72));
        assert_eq!(field.metadata()[EXTENSION_METADATA], r#"{"shape":[4,6,3]}"#);
        assert_eq!(tensor_shape(&field), Some(vec![4, 6, 3]));
        assert_eq!(tensor_shape(&vector_field("v", 72)), None);
    }

    #[test]
    fn a_shape_that_does_not_fit_the_storage_is_no_shape() {
        let field = vector_field("v", 71).with_metadata(tensor_metadata(&[4, 6, 3]));
        assert_eq!(tensor_shape(&field), None);
    }

    #[test]
    fn a_tensor_of_permuted_dimensions_is_not_taken_for_one_in_order() {
        let with = |parameters: &str| {
            let mut field = vector_field("t", 6).with_metadata(tensor_metadata(&[2, 3]));
            let parameters = parameters.to_owned();
            field
                .metadata_mut()
                .insert(EXTENSION_METADATA.to_owned(), parameters);
            tensor_shape(&field)
        };
        assert_eq!(with(r#"{"shape":[2,3],"permutation":[1,0]}"#), None);
        let pyarrows = with(r#"{"shape":[2,3],"permutation":[0,1]}"#);
        assert_eq!(pyarrows, Some(vec![2, 3]));
        let arrow_rs = with(r#"{"shape":[2,3],"dim_names":null,"permutations":null}"#);
        assert_eq!(arrow_rs, Some(vec![2, 3]));
        assert_eq!(with("nonsense"), None);
    }

    #[test]
    fn an_impossible_shape_makes_no_tensor() {
        for shape in [
            &[][..],
            &[0, 3],
            &[-1, -1],
            &[1 << 13, 1 << 14],
            &[i32::MAX, 2],
        ] {
            assert_eq!(tensor_field("t", DataType::Float32, shape), None);
        }
    }
}
