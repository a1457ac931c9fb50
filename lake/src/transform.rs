//! Iceberg's partition transforms as Arrow kernels (table specification, "Partition Transforms" and
//! "Appendix B: 32-bit Hash Requirements").
//!
//! A NULL source gives a NULL partition value. Days are dates; years, months, hours and buckets are
//! 32-bit integers; truncated values keep their source's type.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int32Array},
    array::{BinaryArray, StringArray},
    compute::{DatePart, cast, date_part},
    datatypes::{DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimeUnit},
};

use crate::{
    error::{LakeError, Result},
    table::Transform,
};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// The transform's value for every row.
///
/// # Errors
/// [`LakeError::Invalid`] if the transform does not apply to values of that type, or a point in time
/// lies outside the years that a calendar holds.
pub(crate) fn apply(transform: Transform, source: &ArrayRef) -> Result<ArrayRef> {
    let values = match transform {
        Transform::Identity => Some(source.clone()),
        Transform::Hour => hours(source)?,
        Transform::Day => days(source)?.map(|days| Arc::new(days) as ArrayRef),
        Transform::Month => days(source)?.map(|days| months(&days)).transpose()?,
        Transform::Year => days(source)?.map(|days| years(&days)).transpose()?,
        Transform::Bucket(buckets) => bucket(buckets, source),
        Transform::Truncate(width) => truncate(width, source),
    };
    values.ok_or_else(|| {
        LakeError::Invalid(format!(
            "the partition transform {transform:?} does not apply to values of type {}",
            source.data_type()
        ))
    })
}

/// Microseconds since 1970 in UTC, also for timestamps with a zone, which are instants.
fn micros(source: &ArrayRef) -> Result<Option<arrow::array::Int64Array>> {
    let DataType::Timestamp(unit, _) = source.data_type() else {
        return Ok(None);
    };
    let ticks = cast(source, &DataType::Int64)?;
    let ticks = ticks.as_primitive::<Int64Type>();
    Ok(Some(match unit {
        TimeUnit::Second => ticks.unary(|t| t.saturating_mul(1_000_000)),
        TimeUnit::Millisecond => ticks.unary(|t| t.saturating_mul(1_000)),
        TimeUnit::Microsecond => ticks.clone(),
        TimeUnit::Nanosecond => ticks.unary(|t| t.div_euclid(1_000)),
    }))
}

fn hours(source: &ArrayRef) -> Result<Option<ArrayRef>> {
    let Some(micros) = micros(source)? else {
        return Ok(None);
    };
    let hours: Int32Array = micros.try_unary(|t| in_calendar(t.div_euclid(MICROS_PER_HOUR)))?;
    Ok(Some(Arc::new(hours)))
}

fn days(source: &ArrayRef) -> Result<Option<Date32Array>> {
    if let Some(days) = source.as_primitive_opt::<Date32Type>() {
        return Ok(Some(days.clone()));
    }
    let Some(micros) = micros(source)? else {
        return Ok(None);
    };
    let days: Date32Array = micros.try_unary(|t| in_calendar(t.div_euclid(MICROS_PER_DAY)))?;
    Ok(Some(days))
}

fn in_calendar(parts: i64) -> Result<i32> {
    i32::try_from(parts).map_err(|_| {
        LakeError::Invalid(format!(
            "a point in time {parts} hours or days from 1970 cannot be a partition value"
        ))
    })
}

fn years(days: &Date32Array) -> Result<ArrayRef> {
    let year = date_part(days, DatePart::Year)?;
    let since_1970: Int32Array = year.as_primitive::<Int32Type>().unary(|y| y - 1970);
    Ok(Arc::new(since_1970))
}

fn months(days: &Date32Array) -> Result<ArrayRef> {
    let year = date_part(days, DatePart::Year)?;
    let month = date_part(days, DatePart::Month)?;
    let since_1970: Int32Array = arrow::compute::binary(
        year.as_primitive::<Int32Type>(),
        month.as_primitive::<Int32Type>(),
        |year, month| (year - 1970) * 12 + month - 1,
    )?;
    Ok(Arc::new(since_1970))
}

/// `(hash & i32::MAX) % buckets`; `None` for types that have no hash.
fn bucket(buckets: u32, source: &ArrayRef) -> Option<ArrayRef> {
    let buckets = i32::try_from(buckets).ok().filter(|n| *n > 0)?;
    let of = |bytes: &[u8]| (hash(bytes) & i32::MAX) % buckets;
    let of_long = |value: i64| of(&value.to_le_bytes());
    let values: Int32Array = match source.data_type() {
        DataType::Int32 => source
            .as_primitive::<Int32Type>()
            .unary(|v| of_long(v.into())),
        DataType::Date32 => source
            .as_primitive::<Date32Type>()
            .unary(|v| of_long(v.into())),
        DataType::Int64 => source.as_primitive::<Int64Type>().unary(of_long),
        DataType::Time64(TimeUnit::Microsecond) => cast(source, &DataType::Int64)
            .ok()?
            .as_primitive::<Int64Type>()
            .unary(of_long),
        // Nanoseconds hash as the microsecond they lie in.
        DataType::Timestamp(..) => micros(source).ok()??.unary(of_long),
        DataType::Decimal128(..) => source
            .as_primitive::<Decimal128Type>()
            .unary(|v| of(shortest_big_endian(&v.to_be_bytes()))),
        DataType::Utf8 => source
            .as_string::<i32>()
            .iter()
            .map(|v| v.map(|v| of(v.as_bytes())))
            .collect(),
        DataType::Binary => source
            .as_binary::<i32>()
            .iter()
            .map(|v| v.map(of))
            .collect(),
        DataType::FixedSizeBinary(_) => source
            .as_fixed_size_binary()
            .iter()
            .map(|v| v.map(of))
            .collect(),
        _ => return None,
    };
    Some(Arc::new(values))
}

/// The fewest bytes that still hold the two's complement number: leading bytes that repeat the sign
/// are dropped.
fn shortest_big_endian(bytes: &[u8]) -> &[u8] {
    let repeats_sign = |pair: &[u8]| {
        matches!(pair, [0x00, next] if *next < 0x80)
            || matches!(pair, [0xff, next] if *next >= 0x80)
    };
    let redundant = bytes
        .windows(2)
        .take_while(|pair| repeats_sign(pair))
        .count();
    &bytes[redundant..]
}

/// Murmur3, x86 variant, 32 bits, seed 0.
fn hash(bytes: &[u8]) -> i32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut blocks = bytes.chunks_exact(4);
    let mut state: u32 = 0;
    for block in &mut blocks {
        let k = block
            .iter()
            .rev()
            .fold(0, |k, byte| k << 8 | u32::from(*byte));
        state = (state ^ mix(k))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let tail = blocks.remainder();
    if !tail.is_empty() {
        let k = tail
            .iter()
            .rev()
            .fold(0, |k, byte| k << 8 | u32::from(*byte));
        state ^= mix(k);
    }
    state ^= bytes.len() as u32;
    state = (state ^ state >> 16).wrapping_mul(0x85eb_ca6b);
    state = (state ^ state >> 13).wrapping_mul(0xc2b2_ae35);
    (state ^ state >> 16) as i32
}

/// Numbers rounded down to a multiple of the width, text and bytes cut to it; `None` for other types.
fn truncate(width: u32, source: &ArrayRef) -> Option<ArrayRef> {
    let int_width = i32::try_from(width).ok().filter(|w| *w > 0)?;
    let length = width as usize;
    Some(match source.data_type() {
        DataType::Int32 => {
            let floor = |v: i32| v.wrapping_sub(v.rem_euclid(int_width));
            Arc::new(
                source
                    .as_primitive::<Int32Type>()
                    .unary::<_, Int32Type>(floor),
            )
        }
        DataType::Int64 => {
            let floor = |v: i64| v.wrapping_sub(v.rem_euclid(int_width.into()));
            Arc::new(
                source
                    .as_primitive::<Int64Type>()
                    .unary::<_, Int64Type>(floor),
            )
        }
        DataType::Decimal128(..) => {
            let floor = |v: i128| v.wrapping_sub(v.rem_euclid(int_width.into()));
            let floored: Decimal128Array = source.as_primitive::<Decimal128Type>().unary(floor);
            Arc::new(floored.with_data_type(source.data_type().clone()))
        }
        DataType::Utf8 => {
            let cut: StringArray = source
                .as_string::<i32>()
                .iter()
                .map(|v| v.map(|v| first_characters(v, length)))
                .collect();
            Arc::new(cut)
        }
        DataType::Binary => {
            let cut: BinaryArray = source
                .as_binary::<i32>()
                .iter()
                .map(|v| v.map(|v| &v[..v.len().min(length)]))
                .collect();
            Arc::new(cut)
        }
        _ => return None,
    })
}

fn first_characters(text: &str, count: usize) -> &str {
    match text.char_indices().nth(count) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        FixedSizeBinaryArray, Int64Array, Time64MicrosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray,
    };

    fn ints(values: &ArrayRef) -> Vec<Option<i32>> {
        let values = cast(values, &DataType::Int32).unwrap();
        values.as_primitive::<Int32Type>().iter().collect()
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        let first_hash =
            |array: ArrayRef| ints(&bucket(i32::MAX as u32, &array).unwrap())[0].unwrap();
        let expected = |hash: i32| (hash & i32::MAX) % i32::MAX;
        assert_eq!(
            first_hash(Arc::new(Int32Array::from(vec![34]))),
            expected(2017239379)
        );
        assert_eq!(
            first_hash(Arc::new(Int64Array::from(vec![34]))),
            expected(2017239379)
        );
        let decimal = Decimal128Array::from(vec![1420])
            .with_precision_and_scale(9, 2)
            .unwrap();
        assert_eq!(first_hash(Arc::new(decimal)), expected(-500754589));
        // 2017-11-16
        assert_eq!(
            first_hash(Arc::new(Date32Array::from(vec![17486]))),
            expected(-653330422)
        );
        // 22:31:08
        let time = Time64MicrosecondArray::from(vec![81_068_000_000]);
        assert_eq!(first_hash(Arc::new(time)), expected(-662762989));
        // 2017-11-16T22:31:08, also with a zone
        let micros = 1_510_871_468_000_000;
        let timestamp = TimestampMicrosecondArray::from(vec![micros]);
        assert_eq!(
            first_hash(Arc::new(timestamp.clone())),
            expected(-2047944441)
        );
        let zoned = timestamp.with_timezone("-08:00");
        assert_eq!(first_hash(Arc::new(zoned)), expected(-2047944441));
        let nanos = TimestampNanosecondArray::from(vec![micros * 1000 + 1]);
        assert_eq!(first_hash(Arc::new(nanos)), expected(-2047944441));
        assert_eq!(
            first_hash(Arc::new(StringArray::from(vec!["iceberg"]))),
            expected(1210000089)
        );
        let uuid: &[u8] = &[
            0xf7, 0x9c, 0x3e, 0x09, 0x67, 0x7c, 0x4b, 0xbd, 0xa4, 0x79, 0x3f, 0x34, 0x9c, 0xb7,
            0x85, 0xe7,
        ];
        let fixed = FixedSizeBinaryArray::try_from_iter([uuid].iter()).unwrap();
        assert_eq!(first_hash(Arc::new(fixed)), expected(1488055340));
        let binary = BinaryArray::from(vec![&[0u8, 1, 2, 3][..]]);
        assert_eq!(first_hash(Arc::new(binary)), expected(-188683207));
    }

    #[test]
    fn parts_of_time_round_down_before_1970_too() {
        // 1969-12-31T23:59:59.999999, 1970-01-01, 2017-11-16T22:31:08
        let times = vec![Some(-1), Some(0), Some(1_510_871_468_000_000), None];
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+05:00"));
        let apply = |transform| ints(&apply(transform, &times).unwrap());
        assert_eq!(apply(Transform::Year), [Some(-1), Some(0), Some(47), None]);
        assert_eq!(
            apply(Transform::Month),
            [Some(-1), Some(0), Some(574), None]
        );
        assert_eq!(
            apply(Transform::Day),
            [Some(-1), Some(0), Some(17486), None]
        );
        assert_eq!(
            apply(Transform::Hour),
            [Some(-1), Some(0), Some(419686), None]
        );
    }

    #[test]
    fn truncation_rounds_towards_negative_infinity_and_cuts_by_character() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(-1), Some(10), None]));
        let cut = apply(Transform::Truncate(10), &numbers).unwrap();
        assert_eq!(ints(&cut), [Some(0), Some(-10), Some(10), None]);
        let decimals = Decimal128Array::from(vec![1065, -1])
            .with_precision_and_scale(9, 2)
            .unwrap();
        let decimals: ArrayRef = Arc::new(decimals);
        let cut = apply(Transform::Truncate(50), &decimals).unwrap();
        assert_eq!(cut.data_type(), decimals.data_type());
        assert_eq!(cut.as_primitive::<Decimal128Type>().values(), &[1050, -50]);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["iceberg", "äöü€", "", "ab"]));
        let cut = apply(Transform::Truncate(3), &text).unwrap();
        assert_eq!(
            cut.as_string::<i32>(),
            &StringArray::from(vec!["ice", "äöü", "", "ab"])
        );
    }

    #[test]
    fn a_transform_is_refused_for_a_type_it_does_not_know() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let error = apply(Transform::Day, &text).unwrap_err().to_string();
        assert!(error.contains("Day") && error.contains("Utf8"), "{error}");
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(apply(Transform::Bucket(0), &numbers).is_err());
        assert!(apply(Transform::Truncate(0), &numbers).is_err());
    }
}
