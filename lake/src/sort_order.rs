//! In which order rows stand in a table's data files.
//!
//! A table property holds it as SQL would: `sorted_by = 'day, price DESC NULLS LAST'` (the name is
//! Trino's). An Iceberg table made with that property gets a sort order in its metadata, and the one
//! in the metadata counts, whoever set it. Each file is sorted; files are not sorted among each other.

use std::collections::BTreeMap;

use arrow::{compute::SortOptions, datatypes::Schema};
use iceberg::spec::{NullOrder, SortDirection, TableMetadata, Transform};
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};

/// The table property.
const SORTED_BY: &str = "sorted_by";

/// One column of a sort order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SortColumn {
    /// The column.
    pub column: String,
    /// From the greatest to the least.
    pub descending: bool,
    /// NULL before all values.
    pub nulls_first: bool,
}

impl SortColumn {
    pub(crate) fn options(&self) -> SortOptions {
        SortOptions {
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }
}

/// The order that a table's properties ask for; empty if they ask for none.
pub(crate) fn from_properties(
    table: &str,
    properties: &BTreeMap<String, String>,
    schema: &Schema,
) -> Result<Vec<SortColumn>> {
    let Some(text) = properties.get(SORTED_BY) else {
        return Ok(vec![]);
    };
    text.split(',')
        .map(|item| {
            parse(item, schema).map_err(|reason| {
                LakeError::Invalid(format!(
                    "table {table}: the property {SORTED_BY} is {text:?}, but {reason}; write it as \
                     'column [ASC | DESC] [NULLS FIRST | NULLS LAST], …'"
                ))
            })
        })
        .collect()
}

fn parse(item: &str, schema: &Schema) -> std::result::Result<SortColumn, String> {
    let mut words = item.split_whitespace();
    let name = words.next().ok_or("a column is missing")?.trim_matches('`');
    let field = schema
        .fields()
        .iter()
        .find(|field| field.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("there is no column {name}"))?;
    if field.data_type().is_nested() || field.data_type().is_binary() {
        return Err(format!("{name} is of a type without an order"));
    }
    let rest: Vec<String> = words.map(str::to_ascii_uppercase).collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (descending, nulls) = match rest.as_slice() {
        ["DESC", nulls @ ..] => (true, nulls),
        ["ASC", nulls @ ..] | nulls => (false, nulls),
    };
    let nulls_first = match nulls {
        // As in Spark: NULL is the least value.
        [] => !descending,
        ["NULLS", "FIRST"] => true,
        ["NULLS", "LAST"] => false,
        other => return Err(format!("{:?} is not understood", other.join(" "))),
    };
    Ok(SortColumn {
        column: field.name().clone(),
        descending,
        nulls_first,
    })
}

/// Id of the sort order that files written in the order of [`from_metadata`] follow in full, if any.
pub(crate) fn id_of_files(metadata: &TableMetadata) -> Option<i32> {
    let order = metadata.default_sort_order();
    let followed = from_metadata(metadata).len() == order.fields.len();
    i32::try_from(order.order_id)
        .ok()
        .filter(|_| followed && !order.fields.is_empty())
}

/// The order in an Iceberg table's metadata, as far as columns themselves are sorted by: what follows
/// a transform of a column would not be sorted as promised and is left out.
pub(crate) fn from_metadata(metadata: &TableMetadata) -> Vec<SortColumn> {
    let schema = metadata.current_schema();
    let fields = metadata.default_sort_order().fields.iter();
    fields
        .take_while(|field| field.transform == Transform::Identity)
        .map_while(|field| {
            let column = schema.as_struct().field_by_id(field.source_id)?;
            Some(SortColumn {
                column: column.name.clone(),
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn order(text: &str) -> Result<Vec<SortColumn>> {
        let schema = Schema::new(vec![
            Field::new("day", DataType::Date32, true),
            Field::new("Price", DataType::Float64, true),
            Field::new("content", DataType::Binary, true),
        ]);
        let properties = BTreeMap::from([(SORTED_BY.to_owned(), text.to_owned())]);
        from_properties("lake.raw.t", &properties, &schema)
    }

    #[test]
    fn an_order_is_read_as_sql_writes_it() {
        let column = |name: &str, descending, nulls_first| SortColumn {
            column: name.into(),
            descending,
            nulls_first,
        };
        assert_eq!(
            order("day, price desc").unwrap(),
            [column("day", false, true), column("Price", true, false)]
        );
        assert_eq!(
            order("`day` ASC NULLS LAST,price DESC NULLS FIRST").unwrap(),
            [column("day", false, false), column("Price", true, true)]
        );
    }

    #[test]
    fn an_order_that_cannot_be_is_refused_with_its_reason() {
        for (text, reason) in [
            ("nope", "no column nope"),
            ("day,", "a column is missing"),
            ("content", "without an order"),
            ("day UP", "\"UP\" is not understood"),
        ] {
            let error = order(text).unwrap_err().to_string();
            assert!(
                error.contains(reason) && error.contains("lake.raw.t"),
                "{error}"
            );
        }
    }
}
