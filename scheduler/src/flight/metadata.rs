//! Catalog metadata: catalogs, schemas, tables, keys, table types, and what the service says about
//! itself. The ticket of such a request is the request, so nothing is kept for it.
//!
//! Names come from `information_schema`, read as the caller in the caller's session, so a client
//! sees here what it could see in SQL. There are no primary or foreign keys; their answers are
//! empty.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetTables};
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Status;

use super::FrontDoor;
use super::encode::wire_schema;
use super::sessions::Caller;
use super::sql_info::sql_info;
use super::statements::execution_rows;
use super::status::{error_status, internal, unsupported};
use super::xdbc_types::type_info;

/// Tables whose columns are looked up at a time.
const LOOKUPS_AT_A_TIME: usize = 8;

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// Answers that never change.
pub(super) struct Fixed {
    sql_info: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Fixed {
    /// Builds them.
    pub fn new() -> Result<Self, FlightError> {
        Ok(Self {
            sql_info: sql_info()?,
            types: type_info()?,
        })
    }
}

impl FrontDoor {
    /// The schema of the answer to a metadata request; an error if `command` is none.
    pub(super) fn metadata_schema(&self, command: &Command) -> Result<SchemaRef, Status> {
        Ok(match command {
            Command::CommandGetCatalogs(request) => request.into_builder().schema(),
            Command::CommandGetDbSchemas(request) => request.clone().into_builder().schema(),
            Command::CommandGetTables(request) => request.clone().into_builder().schema(),
            Command::CommandGetTableTypes(request) => request.into_builder().schema(),
            Command::CommandGetSqlInfo(_) => self.fixed.sql_info.schema(),
            Command::CommandGetXdbcTypeInfo(_) => self.fixed.types.schema(),
            Command::CommandGetPrimaryKeys(_) => primary_keys(),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => foreign_keys(),
            Command::CommandStatementSubstraitPlan(_) => {
                return Err(unsupported("Substrait plans are not supported; send SQL"));
            }
            other => {
                return Err(unsupported(&format!(
                    "{} cannot be fetched",
                    other.type_url()
                )));
            }
        })
    }

    /// The answer to a metadata request.
    pub(super) async fn metadata(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<RecordBatch, Status> {
        let schema = self.metadata_schema(&command)?;
        let batch = match command {
            Command::CommandGetCatalogs(request) => {
                let mut catalogs = request.into_builder();
                let names = self.names(caller, CATALOGS).await?;
                names.iter().for_each(|[name]| catalogs.append(name));
                catalogs.build()
            }
            Command::CommandGetDbSchemas(request) => {
                return self.schemas(caller, request).await;
            }
            Command::CommandGetTables(request) => return self.tables(caller, request).await,
            Command::CommandGetTableTypes(request) => {
                let mut types = request.into_builder();
                types.append(TABLE);
                types.append(VIEW);
                types.build()
            }
            Command::CommandGetSqlInfo(request) => {
                request.into_builder(&self.fixed.sql_info).build()
            }
            Command::CommandGetXdbcTypeInfo(request) => {
                request.into_builder(&self.fixed.types).build()
            }
            _ => Ok(RecordBatch::new_empty(schema)),
        };
        batch.map_err(not_built)
    }

    async fn schemas(
        &self,
        caller: &Caller,
        request: CommandGetDbSchemas,
    ) -> Result<RecordBatch, Status> {
        let mut schemas = request.into_builder();
        for [catalog, schema] in self.names(caller, SCHEMAS).await? {
            schemas.append(catalog, schema);
        }
        schemas.build().map_err(not_built)
    }

    /// Tables and views; with their columns only for those that pass the filters.
    async fn tables(
        &self,
        caller: &Caller,
        request: CommandGetTables,
    ) -> Result<RecordBatch, Status> {
        let include_schema = request.include_schema;
        let mut tables = CommandGetTables {
            include_schema: false,
            ..request
        }
        .into_builder();
        let none = Schema::empty();
        for [catalog, schema, table, kind] in self.names(caller, TABLES).await? {
            let kind = if kind == VIEW { VIEW } else { TABLE };
            tables
                .append(catalog, schema, table, kind, &none)
                .map_err(not_built)?;
        }
        let tables = tables.build().map_err(not_built)?;
        if !include_schema {
            return Ok(tables);
        }
        let described: Vec<([String; 4], SchemaRef)> = stream::iter(rows::<4>(&tables)?)
            .map(async |name| {
                let schema = self.table_schema(caller, &name).await;
                (name, schema)
            })
            .buffered(LOOKUPS_AT_A_TIME)
            .collect()
            .await;
        let mut tables = CommandGetTables {
            include_schema,
            ..CommandGetTables::default()
        }
        .into_builder();
        for ([catalog, schema, table, kind], columns) in described {
            tables
                .append(catalog, schema, table, kind, &columns)
                .map_err(not_built)?;
        }
        tables.build().map_err(not_built)
    }

    /// Columns of a table; none if it cannot be read, because one broken table must not hide the
    /// others from a tool that lists them.
    async fn table_schema(&self, caller: &Caller, name: &[String; 4]) -> SchemaRef {
        let [catalog, schema, table, _] = name;
        let [catalog, schema, table] =
            [catalog, schema, table].map(|part| part.replace('"', "\"\""));
        let sql = format!(r#"SELECT * FROM "{catalog}"."{schema}"."{table}""#);
        match self.statements.prepare(&caller.client.session, &sql).await {
            Ok(statement) => wire_schema(&statement.schema, false),
            Err(error) => {
                tracing::warn!(%error, catalog, schema, table, "cannot list the columns of a table");
                Arc::new(Schema::empty())
            }
        }
    }

    /// Rows of `N` text columns that a query of ours returns.
    async fn names<const N: usize>(
        &self,
        caller: &Caller,
        sql: &str,
    ) -> Result<Vec<[String; N]>, Status> {
        let execution = self
            .statements
            .execute(&caller.client.session, sql, None)
            .await
            .map_err(|error| error_status(&error))?;
        let batches: Vec<RecordBatch> = execution_rows(execution).try_collect().await?;
        let mut names = Vec::new();
        for batch in &batches {
            names.extend(rows::<N>(batch)?);
        }
        Ok(names)
    }
}

const CATALOGS: &str = "SELECT DISTINCT catalog_name FROM information_schema.schemata";
const SCHEMAS: &str = "SELECT catalog_name, schema_name FROM information_schema.schemata";
const TABLES: &str = "SELECT table_catalog, table_schema, table_name, table_type \
                      FROM information_schema.tables";

/// The first `N` columns of `batch` as text, row by row.
fn rows<const N: usize>(batch: &RecordBatch) -> Result<Vec<[String; N]>, Status> {
    let columns = (0..N)
        .map(|column| {
            arrow::compute::cast(batch.column(column), &DataType::Utf8)
                .map_err(|error| internal("cannot list names", error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let row = |row: usize| {
        std::array::from_fn(|column| columns[column].as_string::<i32>().value(row).to_owned())
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

fn not_built(error: FlightError) -> Status {
    internal("cannot build the answer", error)
}

fn primary_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("key_name", true),
    ]))
}

fn foreign_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}
