//! Which values a column takes, after Spark's store assignment under ANSI rules: a number goes into
//! a column of any numeric type (too large a one fails the statement), a date or time into a date
//! or time, and anything that prints into a STRING. Text is read as a date or time, but never as a
//! number or a truth value: that takes a CAST.

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::logical_expr::{Expr, cast};
use shoal_udfs::types::{MAX_LENGTH, fixed_size_list, is_element};
use std::sync::Arc;

use crate::error::{EngineError, Result};
use crate::parser::sql_type;

/// `value` of type `from` as a value of `column`.
///
/// # Errors
/// When a column of that type does not take such a value.
pub(crate) fn assigned(value: Expr, from: &DataType, column: &Field) -> Result<Expr> {
    let to = column.data_type();
    if from == to {
        return Ok(value);
    }
    if let Err(reason) = fits(from, to) {
        return Err(EngineError::invalid(format!(
            "column {} of type {} does not take a value of type {}: {reason}",
            column.name(),
            sql_type(to),
            sql_type(from),
        )));
    }
    Ok(cast(value, written_type(to)))
}

/// The type in which values for a column come to the writer: vectors as lists, whose lengths it
/// checks and of which it can name the row.
pub(crate) fn written_type(column: &DataType) -> DataType {
    match column {
        DataType::FixedSizeList(item, _) => DataType::List(item.clone()),
        other => other.clone(),
    }
}

/// Whether a value of type `from` goes into `to`, or what to do about it.
fn fits(from: &DataType, to: &DataType) -> Result<(), String> {
    use DataType::{
        Binary, BinaryView, Boolean, Dictionary, FixedSizeList, LargeBinary, Null, Struct, Utf8,
    };
    let use_cast = || Err(format!("write CAST(… AS {})", sql_type(to)));
    match (from, to) {
        (Null, _) => Ok(()),
        (Dictionary(_, value), to) => fits(value, to),
        (FixedSizeList(_, found), FixedSizeList(_, length)) if found != length => {
            Err(format!("it takes {length} elements, not {found}"))
        }
        (from, to) if !from.is_nested() && from == to => Ok(()),
        (from, to) if from.is_numeric() && to.is_numeric() => Ok(()),
        (from, to) if is_time(from) && is_time(to) => Ok(()),
        (from, to) if is_text(from) && is_time(to) => Ok(()),
        (LargeBinary | BinaryView, Binary) => Ok(()),
        (from, Utf8) if is_text(from) => Ok(()),
        (from, Utf8) if from.is_numeric() || is_time(from) || *from == Boolean => Ok(()),
        (Struct(from), Struct(to)) => struct_fits(from, to),
        (from, to) => match (item(from), item(to)) {
            (Some(from), Some(to)) => fits(from, to),
            _ => map_fits(from, to).unwrap_or_else(use_cast),
        },
    }
}

/// Structs are matched by name: whoever writes one names its fields.
fn struct_fits(
    from: &arrow::datatypes::Fields,
    to: &arrow::datatypes::Fields,
) -> Result<(), String> {
    let names: Vec<&str> = to.iter().map(|field| field.name().as_str()).collect();
    let same = from.len() == to.len() && to.iter().all(|f| from.find(f.name()).is_some());
    if !same {
        return Err(format!(
            "name its fields: named_struct({})",
            names
                .iter()
                .map(|name| format!("'{name}', …"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    for field in to {
        if let Some((_, given)) = from.find(field.name()) {
            fits(given.data_type(), field.data_type())
                .map_err(|reason| format!("field {}: {reason}", field.name()))?;
        }
    }
    Ok(())
}

fn map_fits(from: &DataType, to: &DataType) -> Option<Result<(), String>> {
    let (DataType::Map(from, _), DataType::Map(to, _)) = (from, to) else {
        return None;
    };
    let (DataType::Struct(from), DataType::Struct(to)) = (from.data_type(), to.data_type()) else {
        return None;
    };
    let mut pairs = from.iter().zip(to.iter());
    Some(pairs.try_for_each(|(from, to)| fits(from.data_type(), to.data_type())))
}

/// The type of a list's items.
fn item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_time(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _)
    )
}

/// The column type that keeps values of a query's type: what `CREATE TABLE … AS` declares.
///
/// # Errors
/// For types that no table has.
pub(crate) fn column_type(name: &str, data_type: &DataType) -> Result<DataType> {
    if let DataType::FixedSizeList(item, length) = data_type
        && (1..=MAX_LENGTH).contains(length)
    {
        let inner = inner_type(name, item.data_type())?;
        if is_element(&inner) {
            return Ok(fixed_size_list(inner, *length));
        }
    }
    inner_type(name, data_type)
}

/// As [`column_type`], of what may stand inside another type, where no vectors are kept.
fn inner_type(name: &str, data_type: &DataType) -> Result<DataType> {
    let nested = |field: &Field| -> Result<Arc<Field>> {
        let inner = inner_type(&format!("{name}.{}", field.name()), field.data_type())?;
        Ok(Arc::new(Field::new(
            field.name(),
            inner,
            field.is_nullable(),
        )))
    };
    Ok(match data_type {
        DataType::Null => {
            return Err(EngineError::invalid(format!(
                "column {name} is NULL throughout and has no type; write CAST(NULL AS STRING) or \
                 another type"
            )));
        }
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, _) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
        }
        DataType::Dictionary(_, value) => inner_type(name, value)?,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => {
            let inner = inner_type(name, field.data_type())?;
            DataType::List(Arc::new(Field::new("element", inner, true)))
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| nested(field))
                .collect::<Result<_>>()?,
        ),
        DataType::Map(entries, sorted) => DataType::Map(nested(entries)?, *sorted),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Date32
        | DataType::Utf8
        | DataType::Binary => data_type.clone(),
        other => {
            return Err(EngineError::invalid(format!(
                "column {name}: no table column has the type {other}; write a CAST, for instance \
                 to STRING or BIGINT"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
    }

    #[test]
    fn numbers_times_and_text_go_where_spark_puts_them() {
        for (from, to, taken) in [
            (DataType::Int64, DataType::Int32, true),
            (DataType::Float64, DataType::Decimal128(10, 2), true),
            (DataType::Int32, DataType::Utf8, true),
            (DataType::Utf8View, DataType::Utf8, true),
            (DataType::Utf8, utc(), true),
            (DataType::Date32, utc(), true),
            (DataType::Null, DataType::Binary, true),
            (DataType::Utf8, DataType::Int32, false),
            (DataType::Utf8, DataType::Boolean, false),
            (DataType::Boolean, DataType::Int32, false),
            (DataType::Binary, DataType::Utf8, false),
            (utc(), DataType::Int64, false),
        ] {
            assert_eq!(fits(&from, &to).is_ok(), taken, "{from} into {to}");
        }
    }

    #[test]
    fn structs_are_matched_by_name() {
        let fields = |names: [&str; 2]| {
            let fields = names.map(|name| Field::new(name, DataType::Int64, true));
            DataType::Struct(fields.to_vec().into())
        };
        assert!(fits(&fields(["b", "a"]), &fields(["a", "b"])).is_ok());
        let reason = fits(&fields(["c0", "c1"]), &fields(["a", "b"])).unwrap_err();
        assert!(reason.contains("named_struct('a', …, 'b', …)"), "{reason}");
    }

    #[test]
    fn a_vector_takes_lists_to_be_checked_and_vectors_of_its_own_length() {
        let vector = |length| fixed_size_list(DataType::Float32, length);
        let column = Field::new("v", vector(3), true);
        let list = DataType::new_list(DataType::Int64, true);
        let value = assigned(datafusion::prelude::lit(1), &list, &column).unwrap();
        let Expr::Cast(cast) = value else { panic!() };
        assert!(matches!(cast.field.data_type(), DataType::List(_)));
        let reason = fits(&vector(2), &vector(3)).unwrap_err();
        assert_eq!(reason, "it takes 3 elements, not 2");
    }

    #[test]
    fn a_table_made_of_a_query_keeps_vectors_of_types_it_can_have() {
        let vector = |item| fixed_size_list(item, 3);
        let kept = |item| column_type("v", &vector(item)).unwrap();
        assert_eq!(kept(DataType::Float32), vector(DataType::Float32));
        assert_eq!(kept(DataType::UInt8), vector(DataType::Int16));
        let texts = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
        assert_eq!(kept(DataType::Utf8), texts);
        let inner = DataType::new_list(vector(DataType::Float32), true);
        let DataType::List(item) = column_type("v", &inner).unwrap() else {
            panic!()
        };
        assert!(matches!(item.data_type(), DataType::List(_)));
    }

    #[test]
    fn types_that_no_table_has_are_named() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let kept = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
        assert_eq!(column_type("x", &list).unwrap(), kept);
        for data_type in [DataType::Null, DataType::Duration(TimeUnit::Second)] {
            let message = column_type("x", &data_type).unwrap_err().to_string();
            assert!(
                message.contains("column x") && message.contains("CAST"),
                "{message}"
            );
        }
    }
}
