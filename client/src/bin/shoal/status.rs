//! `shoal status`: executors with their slots and memory, and the statements that run.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use futures::TryStreamExt;
use indicatif::HumanBytes;
use shoal_client::Client;

use crate::args::ServerArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::output::{Format, Sink, writer};
use crate::run::counted;

/// Prints what the server says about its executors and jobs.
pub async fn status(args: &ServerArgs) -> Result<(), CliError> {
    let client = connect(args).await?;
    let mut sink = Sink::new(BufWriter::new(io::stdout()));
    let shown = show(&client, &mut sink).await;
    client.close().await;
    match shown {
        Err(_) if sink.is_closed() => Ok(()),
        shown => shown,
    }
}

async fn show(client: &Client, sink: &mut Sink) -> Result<(), CliError> {
    let executors = rows(client, "SHOW EXECUTORS").await?;
    writeln!(sink, "{}", counted(executors.num_rows() as u64, "executor"))?;
    print(&executors, sink)?;
    let running = running(&rows(client, "SHOW JOBS").await?)?;
    writeln!(
        sink,
        "{} running",
        counted(running.num_rows() as u64, "statement")
    )?;
    print(&running, sink)?;
    Ok(sink.flush()?)
}

async fn rows(client: &Client, sql: &str) -> Result<RecordBatch, CliError> {
    let rows = client.query(sql).await?;
    let schema: SchemaRef = Arc::clone(rows.schema());
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(arrow::compute::concat_batches(&schema, &batches)?)
}

/// The jobs that have not ended, without the statement that asked for them.
fn running(jobs: &RecordBatch) -> Result<RecordBatch, CliError> {
    let text =
        |name: &str| -> Option<ArrayRef> { cast(jobs.column_by_name(name)?, &DataType::Utf8).ok() };
    let (Some(states), Some(statements)) = (text("state"), text("statement")) else {
        return Ok(jobs.clone());
    };
    let rows = states
        .as_string::<i32>()
        .iter()
        .zip(statements.as_string::<i32>());
    let keep = rows.map(|(state, statement)| {
        Some(matches!(state, Some("queued" | "running")) && statement != Some("SHOW JOBS"))
    });
    Ok(filter_record_batch(jobs, &keep.collect())?)
}

fn print(rows: &RecordBatch, sink: &Sink) -> Result<(), CliError> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let rows = readable(rows)?;
    let mut table = writer(Format::Table, &rows.schema(), sink.clone())?;
    table.write(&rows)?;
    table.finish()
}

/// Prints a number.
type Printer = fn(f64) -> String;

/// `rows` with sizes in binary units and times to a tenth of a second.
fn readable(rows: &RecordBatch) -> Result<RecordBatch, CliError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let schema = rows.schema();
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let numbers = match field.data_type().is_numeric() {
            true => cast(column, &DataType::Float64)?,
            false => Arc::clone(column),
        };
        let numbers = numbers.as_primitive_opt::<Float64Type>();
        let (name, text): (&str, Option<Printer>) = match field.name().as_str() {
            name if name.ends_with("_bytes") => (
                name.trim_end_matches("_bytes"),
                Some(|bytes| HumanBytes(bytes as u64).to_string()),
            ),
            name if name.ends_with("seconds") => (name, Some(|seconds| format!("{seconds:.1}"))),
            name => (name, None),
        };
        if let (Some(numbers), Some(text)) = (numbers, text) {
            fields.push(Field::new(name, DataType::Utf8, true));
            let shown: StringArray = numbers.iter().map(|number| number.map(text)).collect();
            columns.push(Arc::new(shown));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, UInt64Array};

    fn text(values: [&str; 3]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn only_jobs_that_have_not_ended_are_running() {
        let jobs = RecordBatch::try_from_iter([
            ("state", text(["running", "finished", "queued"])),
            ("statement", text(["SELECT 1", "SELECT 2", "SHOW JOBS"])),
        ])
        .unwrap();
        let running = running(&jobs).unwrap();
        assert_eq!(running, jobs.slice(0, 1));
    }

    #[test]
    fn sizes_and_times_are_readable() {
        let rows = RecordBatch::try_from_iter([
            (
                "memory_bytes",
                Arc::new(UInt64Array::from(vec![3 << 20])) as ArrayRef,
            ),
            ("seconds", Arc::new(Float64Array::from(vec![2.4825]))),
            ("vcores", Arc::new(UInt64Array::from(vec![2]))),
        ])
        .unwrap();
        let rows = readable(&rows).unwrap();
        assert_eq!(rows.schema().field(0).name(), "memory");
        assert_eq!(rows.column(0).as_string::<i32>().value(0), "3.00 MiB");
        assert_eq!(rows.column(1).as_string::<i32>().value(0), "2.5");
        assert_eq!(rows.column(2).data_type(), &DataType::UInt64);
    }
}
