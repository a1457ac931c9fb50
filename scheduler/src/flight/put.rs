//! What clients send rows for (DoPut): updates, parameters to bind, and bulk ingest.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    Command, CommandStatementIngest, DoPutPreparedStatementResult, DoPutUpdateResult,
    TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_flight::{FlightData, PutResult};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, future, stream};
use prost::Message;
use tonic::{Code, Status, Streaming};

use super::FrontDoor;
use super::decode_command;
use super::sessions::Caller;
use super::status::{error_status, malformed, status, unsupported};
use crate::statement::{IngestMode, IngestTarget};

/// Most bytes of parameters bound at a time; more belongs into bulk ingest.
const MOST_PARAMETER_BYTES: usize = 64 << 20;

impl FrontDoor {
    /// Answers `DoPut`, whose first message carries the command.
    pub(super) async fn put(
        &self,
        caller: &Caller,
        mut messages: Streaming<FlightData>,
    ) -> Result<PutResult, Status> {
        let first = messages
            .message()
            .await?
            .ok_or_else(|| malformed("upload", "it is empty"))?;
        let descriptor = first
            .flight_descriptor
            .as_ref()
            .ok_or_else(|| malformed("upload", "its first message has no descriptor"))?;
        let command = decode_command(&descriptor.cmd)?;
        let rows = decode(first, messages);
        match command {
            Command::CommandStatementUpdate(update) => {
                no_transaction(update.transaction_id.as_ref())?;
                let bound = self.plan(caller, &update.query).await?;
                Ok(affected(self.update(&bound).await?))
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let mut bound = self
                    .prepared
                    .bound(caller, update.prepared_statement_handle)?;
                if let Some(parameters) = read_parameters(rows).await? {
                    bound.parameters = Some(parameters);
                }
                Ok(affected(self.update(&bound).await?))
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                let parameters = read_parameters(rows).await?;
                self.prepared.bind(caller, handle.clone(), parameters)?;
                let result = DoPutPreparedStatementResult {
                    prepared_statement_handle: Some(handle),
                };
                Ok(put_result(&result))
            }
            Command::CommandStatementIngest(ingest) => {
                self.ingest(caller, ingest, rows).await.map(affected)
            }
            Command::CommandStatementSubstraitPlan(_) => {
                Err(unsupported("Substrait plans are not supported; send SQL"))
            }
            other => Err(unsupported(&format!(
                "nothing can be uploaded to {}",
                other.type_url()
            ))),
        }
    }

    async fn ingest(
        &self,
        caller: &Caller,
        command: CommandStatementIngest,
        mut rows: FlightRecordBatchStream,
    ) -> Result<i64, Status> {
        no_transaction(command.transaction_id.as_ref())?;
        if command.temporary {
            return Err(unsupported(
                "temporary tables are not supported; ingest into a table and drop it afterwards",
            ));
        }
        let target = IngestTarget {
            catalog: command.catalog,
            schema: command.schema,
            table: command.table,
            mode: ingest_mode(command.table_definition_options)?,
        };
        let first = rows.try_next().await.map_err(upload_error)?;
        let schema = first
            .as_ref()
            .map(RecordBatch::schema)
            .or_else(|| rows.schema().cloned())
            .ok_or_else(|| malformed("upload", "it has no schema"))?;
        let batches = stream::iter(first.map(Ok))
            .chain(rows.map_err(|error| DataFusionError::External(Box::new(error))));
        let batches = RecordBatchStreamAdapter::new(schema, batches);
        self.statements
            .ingest(&caller.client.session, target, Box::pin(batches))
            .await
            .map_err(|error| error_status(&error))
    }
}

/// Refuses a statement that is meant to be part of a transaction.
pub(super) fn no_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    if id.is_none_or(|id| id.is_empty()) {
        return Ok(());
    }
    Err(unsupported(super::actions::NO_TRANSACTIONS))
}

fn ingest_mode(options: Option<TableDefinitionOptions>) -> Result<IngestMode, Status> {
    let (missing, existing) = options.map_or(
        (
            TableNotExistOption::Unspecified,
            TableExistsOption::Unspecified,
        ),
        |options| (options.if_not_exist(), options.if_exists()),
    );
    match (missing, existing) {
        (TableNotExistOption::Create, TableExistsOption::Fail) => Ok(IngestMode::Create),
        (TableNotExistOption::Fail, TableExistsOption::Append) => Ok(IngestMode::Append),
        (TableNotExistOption::Create, TableExistsOption::Replace) => Ok(IngestMode::Replace),
        (TableNotExistOption::Create, TableExistsOption::Append) => Ok(IngestMode::CreateAppend),
        (missing, existing) => Err(status(
            Code::InvalidArgument,
            format!(
                "bulk ingest with {} and {} is not supported; use the mode create, append, replace or create_append",
                missing.as_str_name(),
                existing.as_str_name(),
            ),
        )),
    }
}

/// The batches of an upload. Messages without an Arrow header carry only the command.
fn decode(first: FlightData, rest: Streaming<FlightData>) -> FlightRecordBatchStream {
    let messages = stream::once(future::ready(Ok(first)))
        .chain(rest)
        .try_filter(|message| future::ready(!message.data_header.is_empty()))
        .map_err(FlightError::from);
    FlightRecordBatchStream::new_from_flight_data(messages)
}

/// The bound rows as one batch; None if there are none, or no columns.
async fn read_parameters(mut rows: FlightRecordBatchStream) -> Result<Option<RecordBatch>, Status> {
    let mut batches = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = rows.try_next().await.map_err(upload_error)? {
        bytes += batch.get_array_memory_size();
        if bytes > MOST_PARAMETER_BYTES {
            return Err(status(
                Code::ResourceExhausted,
                format!(
                    "more than {} MiB of parameters; use bulk ingest (adbc_ingest) for this much data",
                    MOST_PARAMETER_BYTES >> 20
                ),
            ));
        }
        batches.push(batch);
    }
    let schema: Option<SchemaRef> = batches.first().map(RecordBatch::schema);
    let Some(schema) = schema.filter(|schema| !schema.fields().is_empty()) else {
        return Ok(None);
    };
    let parameters =
        concat_batches(&schema, &batches).map_err(|error| malformed("parameters", error))?;
    Ok((parameters.num_rows() > 0).then_some(parameters))
}

fn upload_error(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => malformed("upload", other),
    }
}

fn affected(record_count: i64) -> PutResult {
    put_result(&DoPutUpdateResult { record_count })
}

fn put_result(message: &impl Message) -> PutResult {
    PutResult {
        app_metadata: message.encode_to_vec().into(),
    }
}
