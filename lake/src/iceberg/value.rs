//! Iceberg's single values (bounds, partition values) as DataFusion scalars and back.

use arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use iceberg::spec::{Datum, Literal, PrimitiveLiteral, PrimitiveType};

use super::schema::arrow_primitive;
use crate::{error::Result, write::partition_texts};

/// The value as a scalar of the type's Arrow type; `None` if the literal is not of that type.
pub(super) fn to_scalar(
    data_type: &PrimitiveType,
    literal: &PrimitiveLiteral,
) -> Option<ScalarValue> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    let zone = || Some("UTC".into());
    Some(match (data_type, literal) {
        (T::Boolean, L::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (T::Int, L::Int(v)) => ScalarValue::Int32(Some(*v)),
        (T::Long, L::Long(v)) => ScalarValue::Int64(Some(*v)),
        (T::Long, L::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (T::Float, L::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (T::Double, L::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (T::Double, L::Float(v)) => ScalarValue::Float64(Some(f64::from(v.0))),
        (T::Decimal { .. }, L::Int128(v)) => match arrow_primitive(data_type) {
            arrow::datatypes::DataType::Decimal128(precision, scale) => {
                ScalarValue::Decimal128(Some(*v), precision, scale)
            }
            _ => return None,
        },
        (T::Date, L::Int(v)) => ScalarValue::Date32(Some(*v)),
        (T::Time, L::Long(v)) => ScalarValue::Time64Microsecond(Some(*v)),
        (T::Timestamp, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (T::Timestamptz, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), zone()),
        (T::TimestampNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), None),
        (T::TimestamptzNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), zone()),
        (T::String, L::String(v)) => ScalarValue::Utf8(Some(v.clone())),
        (T::Uuid, L::UInt128(v)) => {
            ScalarValue::FixedSizeBinary(16, Some(v.to_be_bytes().to_vec()))
        }
        (T::Fixed(length), L::Binary(v)) => {
            ScalarValue::FixedSizeBinary(i32::try_from(*length).ok()?, Some(v.clone()))
        }
        (T::Binary, L::Binary(v)) => ScalarValue::Binary(Some(v.clone())),
        _ => return None,
    })
}

/// A bound as a scalar.
pub(super) fn bound(datum: &Datum) -> Option<ScalarValue> {
    to_scalar(datum.data_type(), datum.literal())
}

/// The literal of a partition value; `None` for NULL and for types that no partition value has.
pub(super) fn to_literal(value: &ScalarValue) -> Option<Literal> {
    use PrimitiveLiteral as L;
    let literal = match value {
        ScalarValue::Boolean(Some(v)) => L::Boolean(*v),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => L::Int(*v),
        ScalarValue::Int64(Some(v))
        | ScalarValue::Time64Microsecond(Some(v))
        | ScalarValue::TimestampMicrosecond(Some(v), _)
        | ScalarValue::TimestampNanosecond(Some(v), _) => L::Long(*v),
        ScalarValue::Float32(Some(v)) => L::Float((*v).into()),
        ScalarValue::Float64(Some(v)) => L::Double((*v).into()),
        ScalarValue::Decimal128(Some(v), _, _) => L::Int128(*v),
        ScalarValue::Utf8(Some(v)) => L::String(v.clone()),
        _ => return None,
    };
    Some(Literal::Primitive(literal))
}

/// Whether values of the type have the text form that partition values are kept in.
pub(super) fn has_text(data_type: &PrimitiveType) -> bool {
    !matches!(
        data_type,
        PrimitiveType::Binary | PrimitiveType::Fixed(_) | PrimitiveType::Uuid
    )
}

/// The partition values of many files in the text form of [`DataFile`](crate::data_file::DataFile).
/// The outer `Option` is `None` for types that have no text form: those take no part in pruning.
pub(super) fn texts(
    data_type: &PrimitiveType,
    values: &[Option<&Literal>],
) -> Result<Option<Vec<Option<String>>>> {
    if !has_text(data_type) {
        return Ok(None);
    }
    let null = ScalarValue::try_from(&arrow_primitive(data_type))?;
    let scalars: Option<Vec<ScalarValue>> = values
        .iter()
        .map(|value| match value {
            None => Some(null.clone()),
            Some(Literal::Primitive(literal)) => to_scalar(data_type, literal),
            Some(_) => None,
        })
        .collect();
    let Some(scalars) = scalars else {
        return Ok(None);
    };
    if scalars.is_empty() {
        return Ok(Some(vec![]));
    }
    let array: ArrayRef = ScalarValue::iter_to_array(scalars)?;
    let texts = partition_texts(&array)?;
    Ok(Some(
        (0..texts.len())
            .map(|i| texts.is_valid(i).then(|| texts.value(i).to_owned()))
            .collect(),
    ))
}

/// A bound from its bytes in Iceberg's single-value serialization.
pub(super) fn datum(data_type: &PrimitiveType, bytes: &[u8]) -> Option<Datum> {
    Datum::try_from_bytes(bytes, data_type.clone()).ok()
}
