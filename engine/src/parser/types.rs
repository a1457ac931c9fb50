//! Column types as Spark writes them, to Arrow and back.
//!
//! | SQL | Arrow |
//! |---|---|
//! | BOOLEAN | Boolean |
//! | TINYINT, BYTE | Int8 |
//! | SMALLINT, SHORT | Int16 |
//! | INT, INTEGER | Int32 |
//! | BIGINT, LONG | Int64 |
//! | FLOAT, REAL | Float32 |
//! | DOUBLE \[PRECISION\] | Float64 |
//! | DECIMAL(p, s), DEC, NUMERIC; (10, 0) if not given | Decimal128 |
//! | STRING, TEXT | Utf8 |
//! | BINARY | Binary |
//! | DATE | Date32 |
//! | TIMESTAMP, TIMESTAMP_LTZ | Timestamp(µs, UTC) |
//! | TIMESTAMP_NTZ | Timestamp(µs) |
//! | `ARRAY<T>`, `MAP<K, V>`, `STRUCT<a: T, …>` | List, Map, Struct |
//! | IMAGE | Struct, of the extension type `shoal.image` |
//! | VECTOR(n), VECTOR(n, T) | FixedSizeList of Float32, or of T |
//! | TENSOR(a, b, …), TENSOR(a, b, …, T) | the same, of the extension type `arrow.fixed_shape_tensor` |

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::tokenizer::Token;
use shoal_udfs::types::{
    MAX_LENGTH, image_metadata, image_type, is_element, is_image, tensor_field, tensor_shape,
};

use super::cursor::Cursor;
use crate::error::{EngineError, Result};

/// Nesting allowed in a type: enough for any table, little enough for any stack.
const MAX_DEPTH: usize = 32;

/// Takes the type of a column: a field without a name, with the metadata of an extension type.
pub(super) fn column_type(cursor: &mut Cursor) -> Result<Field> {
    if let Some(kind) = cursor.eat_one_of(&FIXED_SIZE) {
        let parameters = cursor.list(Cursor::value)?;
        return fixed_size_type(kind, &parameters);
    }
    let data_type = nested_type(cursor, 0)?;
    let metadata = match is_image(&data_type) {
        true => image_metadata(),
        false => HashMap::new(),
    };
    Ok(Field::new("", data_type, true).with_metadata(metadata))
}

/// Types whose parameters are sizes, and at the end what they hold if not FLOAT.
pub(crate) const FIXED_SIZE: [&str; 2] = ["VECTOR", "TENSOR"];

/// The type `VECTOR(parameters)` or `TENSOR(parameters)` as a field without a name.
///
/// # Errors
/// When the parameters make no such type.
pub(crate) fn fixed_size_type(kind: &str, parameters: &[String]) -> Result<Field> {
    let written = format!("{kind}({})", parameters.join(", "));
    let wrong = || {
        EngineError::invalid(format!(
            "{written} is not a type: write VECTOR(n) or TENSOR(height, width, …) with sizes from \
             1 on, of at most {MAX_LENGTH} numbers altogether, and what they are at the end if not \
             FLOAT: DOUBLE, TINYINT, SMALLINT, INT or BIGINT"
        ))
    };
    let named = parameters
        .split_last()
        .and_then(|(last, sizes)| Some((sizes, element_type(last)?)));
    let (sizes, element) = named.unwrap_or((parameters, DataType::Float32));
    let shape: Option<Vec<i32>> = sizes.iter().map(|size| size.parse().ok()).collect();
    let shape = shape.ok_or_else(wrong)?;
    let tensor = tensor_field("", element, &shape).ok_or_else(wrong)?;
    match (kind, shape.len()) {
        ("TENSOR", _) => Ok(tensor),
        (_, 1) => Ok(tensor.with_metadata(HashMap::new())),
        _ => Err(wrong()),
    }
}

/// What a vector or tensor holds, by its name in SQL.
fn element_type(name: &str) -> Option<DataType> {
    Some(match name.to_ascii_uppercase().as_str() {
        "FLOAT" | "REAL" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "TINYINT" | "BYTE" => DataType::Int8,
        "SMALLINT" | "SHORT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" | "LONG" => DataType::Int64,
        _ => return None,
    })
}

fn nested_type(cursor: &mut Cursor, depth: usize) -> Result<DataType> {
    if depth > MAX_DEPTH {
        return Err(EngineError::invalid(format!(
            "a type is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let Token::Word(word) = cursor.peek() else {
        return cursor.unexpected("a type");
    };
    let data_type = match word.value.to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" | "BYTE" => DataType::Int8,
        "SMALLINT" | "SHORT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" | "LONG" => DataType::Int64,
        "FLOAT" | "REAL" => DataType::Float32,
        "DOUBLE" => {
            cursor.eat("DOUBLE");
            cursor.eat("PRECISION");
            return Ok(DataType::Float64);
        }
        "STRING" | "TEXT" => DataType::Utf8,
        "BINARY" => DataType::Binary,
        "DATE" => DataType::Date32,
        "IMAGE" => image_type(),
        "TIMESTAMP" | "TIMESTAMP_LTZ" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
        }
        "TIMESTAMP_NTZ" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "DECIMAL" | "DEC" | "NUMERIC" => {
            cursor.identifier("a type")?;
            return decimal(cursor);
        }
        "ARRAY" => {
            cursor.identifier("a type")?;
            return array(cursor, depth);
        }
        "MAP" => {
            cursor.identifier("a type")?;
            return map(cursor, depth);
        }
        "STRUCT" => {
            cursor.identifier("a type")?;
            return structure(cursor, depth);
        }
        other => return refused_type(other, cursor),
    };
    cursor.identifier("a type")?;
    Ok(data_type)
}

fn refused_type<T>(name: &str, cursor: &Cursor) -> Result<T> {
    let instead = match name {
        "VARCHAR" | "CHAR" | "CHARACTER" | "NVARCHAR" => {
            "use STRING, with CHECK (char_length(column) <= n) where the length matters"
        }
        "BLOB" | "BYTEA" | "VARBINARY" | "BYTES" => "use BINARY",
        "DATETIME" => "use TIMESTAMP",
        "VARIANT" | "JSON" | "JSONB" => "use STRING or a STRUCT",
        "UUID" => "use STRING",
        "VECTOR" | "TENSOR" => "use ARRAY<FLOAT>: only a whole column is a VECTOR or TENSOR",
        "INTERVAL" | "TIME" | "VOID" => "use BIGINT or STRING",
        _ => return cursor.unexpected("a type"),
    };
    Err(EngineError::unsupported(format!("type {name}"), instead))
}

fn decimal(cursor: &mut Cursor) -> Result<DataType> {
    let (mut precision, mut scale) = (10, 0);
    if cursor.eat_token(&Token::LParen) {
        precision = cursor.number::<u8>("a precision")?;
        if cursor.eat_token(&Token::Comma) {
            scale = cursor.number::<i8>("a scale")?;
        }
        cursor.expect_token(&Token::RParen)?;
    }
    let valid = (1..=DECIMAL128_MAX_PRECISION).contains(&precision)
        && u8::try_from(scale).is_ok_and(|s| s <= precision);
    if !valid {
        return Err(EngineError::invalid(format!(
            "DECIMAL({precision}, {scale}) is not a type: the precision is 1 to \
             {DECIMAL128_MAX_PRECISION} and the scale at most the precision"
        )));
    }
    Ok(DataType::Decimal128(precision, scale))
}

fn array(cursor: &mut Cursor, depth: usize) -> Result<DataType> {
    cursor.expect_token(&Token::Lt)?;
    let item = nested_type(cursor, depth + 1)?;
    cursor.expect_closing_angle()?;
    Ok(DataType::List(Arc::new(Field::new("element", item, true))))
}

fn map(cursor: &mut Cursor, depth: usize) -> Result<DataType> {
    cursor.expect_token(&Token::Lt)?;
    let key = nested_type(cursor, depth + 1)?;
    cursor.expect_token(&Token::Comma)?;
    let value = nested_type(cursor, depth + 1)?;
    cursor.expect_closing_angle()?;
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ]);
    let entries = Field::new("key_value", DataType::Struct(entries), false);
    Ok(DataType::Map(Arc::new(entries), false))
}

fn structure(cursor: &mut Cursor, depth: usize) -> Result<DataType> {
    cursor.expect_token(&Token::Lt)?;
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let name = cursor.identifier("a field name")?;
        cursor.eat_token(&Token::Colon);
        let field_type = nested_type(cursor, depth + 1)?;
        let nullable = !cursor.eat_all(&["NOT", "NULL"]);
        if cursor.eat("COMMENT") {
            cursor.string("a comment")?;
        }
        if fields.iter().any(|f| f.name().eq_ignore_ascii_case(&name)) {
            return Err(EngineError::invalid(format!("field {name} is given twice")));
        }
        fields.push(Field::new(name, field_type, nullable));
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
        if cursor.at_closing_angle() {
            break;
        }
    }
    cursor.expect_closing_angle()?;
    Ok(DataType::Struct(fields.into()))
}

/// The SQL name of a column's type: as [`sql_type`], and TENSOR where its metadata says so.
pub fn sql_type_of(field: &Field) -> String {
    match (tensor_shape(field), field.data_type()) {
        (Some(shape), DataType::FixedSizeList(item, _)) => fixed_size("TENSOR", &shape, item),
        _ => sql_type(field.data_type()),
    }
}

fn fixed_size(kind: &str, sizes: &[i32], item: &Field) -> String {
    let mut parameters: Vec<String> = sizes.iter().map(i32::to_string).collect();
    if item.data_type() != &DataType::Float32 {
        parameters.push(sql_type(item.data_type()));
    }
    format!("{kind}({})", parameters.join(", "))
}

/// The SQL name of `data_type`, such that a statement with it makes the type again; Arrow's own
/// name for a type that tables cannot have.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".into(),
        DataType::FixedSizeList(item, length) if is_element(item.data_type()) => {
            fixed_size("VECTOR", &[*length], item)
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => format!("ARRAY<{}>", sql_type(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!(
                "MAP<{}, {}>",
                sql_type(fields[0].data_type()),
                sql_type(fields[1].data_type())
            ),
            other => other.to_string(),
        },
        image if is_image(image) => "IMAGE".into(),
        DataType::Struct(fields) => struct_type(fields),
        DataType::Dictionary(_, value) => sql_type(value),
        other => other.to_string(),
    }
}

fn struct_type(fields: &Fields) -> String {
    let mut text = String::from("STRUCT<");
    for (n, field) in fields.iter().enumerate() {
        let separator = if n == 0 { "" } else { ", " };
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        let name = quoted(field.name());
        let field_type = sql_type(field.data_type());
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{name}: {field_type}{not_null}");
    }
    text.push('>');
    text
}

/// `name` as an identifier of a statement: in back ticks where it needs them.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain {
        name.to_string()
    } else {
        format!("`{}`", name.replace('`', "``"))
    }
}
