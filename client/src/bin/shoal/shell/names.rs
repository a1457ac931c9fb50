//! The names of tables, columns and functions that completion offers.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use shoal_client::{Client, ClientError};

const COLUMNS: &str = "SELECT current_schema(), table_schema, table_name, column_name, data_type \
                       FROM information_schema.columns ORDER BY ordinal_position";
const FUNCTIONS: &str = "SELECT DISTINCT routine_name FROM information_schema.routines";

/// A column and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as the server spells it.
    pub data_type: String,
}

/// What is known of the server's names.
#[derive(Debug, Default)]
pub struct Names {
    /// The schema whose tables need no prefix.
    pub current: String,
    /// Columns by table; the table as it is written in SQL, `raw.images`.
    pub tables: BTreeMap<String, Vec<Column>>,
    /// Schemas that hold tables.
    pub schemas: BTreeSet<String>,
    /// Functions.
    pub functions: BTreeSet<String>,
}

impl Names {
    /// Asks the server.
    pub async fn load(client: &Client) -> Result<Self, ClientError> {
        let mut names = Self::default();
        for [current, schema, table, column, data_type] in rows(client, COLUMNS).await? {
            let table = match schema == current {
                true => table,
                false => format!("{schema}.{table}"),
            };
            names.current = current;
            names.schemas.insert(schema);
            names.tables.entry(table).or_default().push(Column {
                name: column,
                data_type,
            });
        }
        let functions = rows(client, FUNCTIONS).await?;
        names.functions = functions.into_iter().map(|[name]| name).collect();
        Ok(names)
    }

    /// The columns of the table that `name` means, in whatever case; without a schema, of any
    /// table of that name.
    pub fn columns(&self, name: &str) -> Option<&[Column]> {
        let name = name.to_lowercase();
        let unprefixed = match name.split_once('.') {
            Some((schema, table)) if schema == self.current => table,
            _ => &name,
        };
        let exact = self.tables.get(unprefixed);
        let found = exact.or_else(|| {
            let mut tables = self.tables.iter();
            let same = tables.find(|(table, _)| {
                table
                    .split_once('.')
                    .is_some_and(|(_, bare)| bare == unprefixed)
            });
            same.map(|(_, columns)| columns)
        });
        found.map(Vec::as_slice)
    }
}

/// The rows of `sql` as text, NULL as nothing; columns beyond the `N`th are left out.
async fn rows<const N: usize>(client: &Client, sql: &str) -> Result<Vec<[String; N]>, ClientError> {
    let batches: Vec<RecordBatch> = client.query(sql).await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns = columns
            .map(|column| cast(column, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        for row in 0..batch.num_rows() {
            rows.push(std::array::from_fn(|at| match columns.get(at) {
                Some(column) if column.is_valid(row) => {
                    column.as_string::<i32>().value(row).to_owned()
                }
                _ => String::new(),
            }));
        }
    }
    Ok(rows)
}
