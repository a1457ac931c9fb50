//! Catalog metadata: catalogs, schemas, tables, keys, table types, and what the service says about
//! itself. The ticket of such a request is the request, so nothing is kept for it.
//!
//! Names come from the engine's listing, the one behind `information_schema`; columns come from
//! planning a query over the table in the caller's session. There are no primary or foreign keys;
//! their answers are empty.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetTables};
use futures::{StreamExt, stream};
use shoal_catalog::{Listing, TableKind};
use shoal_engine::parser::sql_type_of;
use tonic::Status;

use super::FrontDoor;
use super::encode::wire_schema;
use super::sessions::Caller;
use super::sql_info::sql_info;
use super::status::{error_status, internal, unsupported};
use super::xdbc_types::type_info;
use crate::error::StatementError;

/// Tables whose columns are looked up at a time.
const LOOKUPS_AT_A_TIME: usize = 8;

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// Where a table's schema keeps the comment of a column.
const COMMENT: &str = "comment";
/// Where clients look for the SQL type and the comment of a column (`FlightSqlColumnMetadata`).
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

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
                for catalog in self.listing().await?.into_keys() {
                    catalogs.append(catalog);
                }
                catalogs.build()
            }
            Command::CommandGetDbSchemas(request) => {
                return self.schemas(request).await;
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

    async fn schemas(&self, request: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
        let mut schemas = request.into_builder();
        for (catalog, names) in self.listing().await? {
            for schema in names.into_keys() {
                schemas.append(&catalog, schema);
            }
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
        for (catalog, schemas) in self.listing().await? {
            for (schema, names) in schemas {
                for (table, kind) in names {
                    let kind = if kind == TableKind::View { VIEW } else { TABLE };
                    tables
                        .append(&catalog, &schema, table, kind, &none)
                        .map_err(not_built)?;
                }
            }
        }
        let tables = tables.build().map_err(not_built)?;
        if !include_schema {
            return Ok(tables);
        }
        let described: Vec<([String; 4], SchemaRef)> = stream::iter(names(&tables))
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
            Ok(statement) => described(&statement.schema),
            Err(error) => {
                tracing::warn!(%error, catalog, schema, table, "cannot list the columns of a table");
                Arc::new(Schema::empty())
            }
        }
    }

    async fn listing(&self) -> Result<Listing, Status> {
        let listing = self.statements.engine().listing().await;
        listing.map_err(|error| error_status(&StatementError::from(error)))
    }
}

/// `schema` as it is sent, with what tools show of a column besides its Arrow type.
fn described(schema: &Schema) -> SchemaRef {
    let sent = wire_schema(schema, false);
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(sent.fields())
        .map(|(field, sent)| {
            let mut metadata = sent.metadata().clone();
            metadata.insert(TYPE_NAME.to_owned(), sql_type_of(field));
            if let Some(comment) = metadata.get(COMMENT) {
                metadata.insert(REMARKS.to_owned(), comment.clone());
            }
            sent.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Catalog, schema, name and type of each table.
fn names(tables: &RecordBatch) -> Vec<[String; 4]> {
    let row = |row| {
        std::array::from_fn(|column| {
            tables
                .column(column)
                .as_string::<i32>()
                .value(row)
                .to_owned()
        })
    };
    (0..tables.num_rows()).map(row).collect()
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
