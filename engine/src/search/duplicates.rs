//! `image_duplicates('table', 'column', max_distance [, key => 'column'])`: pairs of pictures whose
//! perceptual hashes differ in at most `max_distance` of 64 bits, as `left_key`, `right_key`, `distance`.
//!
//! The column holds hashes (BIGINT, as `image_hash` returns them) or pictures (BINARY), whose hashes are
//! then computed. `key` names the column that tells pictures apart, `id` unless said otherwise; each
//! pair comes once, with the smaller key on the left.
//!
//! No row is compared with every other: the 64 bits are cut into `max_distance + 1` bands, and two hashes
//! that differ in fewer bits than there are bands agree in at least one of them. So a row is joined
//! with those that share a band with it, by an equi-join, which is spread over executors; of
//! these pairs the exact distance is taken.

use arrow::datatypes::DataType;

use super::Searched;
use super::arguments::{Arguments, exactly, integer};
use crate::error::Result;

pub(super) const NAME: &str = "image_duplicates";

const BITS: u32 = 64;
/// With more bands they get so narrow that nearly all rows share one.
const MAX_DISTANCE: u32 = 15;

/// The query that a call stands for.
pub(super) fn query(arguments: &Arguments, table: &Searched) -> Result<String> {
    arguments.expect(3, &["key"])?;
    let column = arguments.column(arguments.position(1, "the column of hashes or pictures")?)?;
    let hash = hash_sql(arguments, table, &column)?;
    let given = arguments.position(2, "the greatest distance")?;
    let distance = integer(given)
        .and_then(|bits| u32::try_from(bits).ok())
        .filter(|bits| *bits <= MAX_DISTANCE)
        .ok_or_else(|| {
            arguments.wrong(format!(
                "the greatest distance is a number of bits from 0 to {MAX_DISTANCE}, not {given}"
            ))
        })?;
    let key = match arguments.named_column("key")? {
        Some(key) => key,
        None => "id".into(),
    };
    let key = table.column(&key).map_err(|error| {
        arguments.wrong(format!(
            "{error}; key => 'column' names the column that tells pictures apart"
        ))
    })?;
    let banded = format!(
        "SELECT key, hash, unnest({}) AS band FROM (SELECT {} AS key, {hash} AS hash FROM {}) \
         WHERE hash IS NOT NULL",
        bands("hash", distance + 1),
        exactly(key.name()),
        table.sql()
    );
    Ok(format!(
        "SELECT DISTINCT a.key AS left_key, b.key AS right_key, bit_count(a.hash ^ b.hash) AS distance \
         FROM ({banded}) AS a JOIN ({banded}) AS b ON a.band = b.band AND a.key < b.key \
         WHERE bit_count(a.hash ^ b.hash) <= {distance}"
    ))
}

fn hash_sql(arguments: &Arguments, table: &Searched, column: &str) -> Result<String> {
    let field = table.column(column)?;
    let name = exactly(field.name());
    match field.data_type() {
        DataType::Int64 => Ok(name),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Ok(format!("image_hash({name})"))
        }
        other => Err(arguments.wrong(format!(
            "column {} of table {} holds {other}; it must hold hashes (BIGINT) or pictures (BINARY)",
            field.name(),
            table.name
        ))),
    }
}

/// An array of the bands of `hash`, each made different from the others by its number.
fn bands(hash: &str, count: u32) -> String {
    let bands = (0..count).map(|band| {
        let (start, end) = (band * BITS / count, (band + 1) * BITS / count);
        // The shift keeps the sign; the mask takes it away again.
        let mask = u64::MAX >> (BITS - (end - start));
        format!(
            "(({hash} >> {start}) & {}) * {count} + {band}",
            mask.cast_signed()
        )
    });
    format!("[{}]", bands.collect::<Vec<String>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_all_bits_once() {
        assert_eq!(bands("h", 1), "[((h >> 0) & -1) * 1 + 0]");
        assert_eq!(
            bands("h", 3),
            "[((h >> 0) & 2097151) * 3 + 0, ((h >> 21) & 2097151) * 3 + 1, \
             ((h >> 42) & 4194303) * 3 + 2]"
        );
    }
}
