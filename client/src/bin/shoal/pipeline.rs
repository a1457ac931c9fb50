//! `shoal pipeline run`: the steps of a file, each of which is a `CALL`.

use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};
use shoal_client::Outcome;

use crate::args::PipelineArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::progress::Display;
use crate::run::{counted, follow};
use crate::totals::total;

/// Runs the steps of a file one after the other; with `--dry-run` prints them as SQL.
pub async fn run(args: &PipelineArgs) -> Result<(), CliError> {
    let pipeline = Pipeline::read(&args.file)?;
    let steps = pipeline.statements(&args.file)?;
    if args.dry_run {
        for step in &steps {
            println!("{};", step.sql);
        }
        return Ok(());
    }
    let client = connect(&args.server).await?;
    for (number, step) in steps.iter().enumerate() {
        let start = Instant::now();
        let done = follow(
            &client,
            &step.sql,
            Display::pipeline(),
            async |outcome, _| {
                let Outcome::Rows(rows) = outcome else {
                    return Ok("done".to_owned());
                };
                let batches: Vec<RecordBatch> = rows.try_collect().await?;
                Ok(summary(&batches, start.elapsed().as_secs_f64()))
            },
        );
        let done = match done.await {
            Ok(done) => done,
            Err(error) => {
                client.close().await;
                return Err(failed(&pipeline, number, step, error));
            }
        };
        println!("{}: {done}", step.procedure);
    }
    client.close().await;
    Ok(())
}

fn failed(pipeline: &Pipeline, number: usize, step: &Step, error: CliError) -> CliError {
    match error {
        CliError::Client(source) => CliError::Step {
            step: format!(
                "step {} of pipeline {}, {}",
                number + 1,
                pipeline.name,
                step.procedure
            ),
            source,
        },
        other => other,
    }
}

/// What a file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipeline {
    /// For messages.
    name: String,
    /// Each a procedure with its arguments.
    steps: Vec<Mapping>,
}

/// One `CALL`.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    procedure: String,
    sql: String,
}

impl Pipeline {
    fn read(file: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(file).map_err(|source| CliError::File {
            what: format!("cannot read {}", file.display()),
            source,
        })?;
        serde_yaml_ng::from_str(&text)
            .map_err(|error| CliError::Usage(format!("{} is no pipeline: {error}", file.display())))
    }

    fn statements(&self, file: &Path) -> Result<Vec<Step>, CliError> {
        let steps = self.steps.iter().enumerate();
        let steps = steps.map(|(number, step)| {
            Step::of(step).map_err(|wrong| {
                let file = file.display();
                CliError::Usage(format!("{file}, step {}: {wrong}", number + 1))
            })
        });
        steps.collect()
    }
}

impl Step {
    fn of(step: &Mapping) -> Result<Self, String> {
        let mut entries = step.iter();
        let (Some((procedure, arguments)), None) = (entries.next(), entries.next()) else {
            return Err("a step is one procedure, as in `- extract_features: {…}`".to_owned());
        };
        let procedure = word(procedure)?;
        let none = Mapping::new();
        let arguments = match arguments {
            Value::Mapping(arguments) => arguments,
            Value::Null => &none,
            _ => {
                return Err(format!(
                    "the arguments of {procedure} are `name: value` pairs"
                ));
            }
        };
        let arguments: Vec<String> = arguments
            .iter()
            .map(|(name, value)| {
                let name = word(name)?;
                Ok(format!("{name} => {}", literal(&name, value)?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            sql: format!("CALL {procedure}({})", arguments.join(", ")),
            procedure,
        })
    }
}

/// A name that may stand in SQL without quotes.
fn word(name: &Value) -> Result<String, String> {
    let text = name.as_str().unwrap_or_default();
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_word {
        true => Ok(text.to_owned()),
        false => Err(format!("{name:?} is no name of a procedure or argument")),
    }
}

fn literal(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(format!("'{}'", text.replace('\'', "''"))),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(format!("{name} is text, a number, true or false")),
    }
}

/// What came of a step, from the totals with which a procedure answers.
fn summary(batches: &[RecordBatch], seconds: f64) -> String {
    let worked = total(batches, "written") + total(batches, "rejected");
    format!(
        "{}, {} done, {} rejected, {} unchanged in {seconds:.1} s ({:.0}/s)",
        counted(total(batches, "images"), "image"),
        total(batches, "written"),
        total(batches, "rejected"),
        total(batches, "unchanged"),
        worked as f64 / seconds.max(0.001),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Result<Vec<String>, String> {
        let pipeline: Pipeline = serde_yaml_ng::from_str(text).map_err(|e| e.to_string())?;
        let steps = pipeline.statements(Path::new("p.yaml"));
        let steps = steps.map_err(|error| error.to_string())?;
        Ok(steps.into_iter().map(|step| step.sql).collect())
    }

    #[test]
    fn steps_are_calls() {
        let text = "name: p\nsteps:\n- extract_features:\n- classify_features:\n    labels: it's\n    k: 5\n    x: true\n";
        assert_eq!(
            steps(text).unwrap(),
            [
                "CALL extract_features()",
                "CALL classify_features(labels => 'it''s', k => 5, x => true)"
            ]
        );
    }

    #[test]
    fn the_pipeline_of_the_configuration_is_one() {
        let file = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../config/pipelines/features.yaml"
        ));
        let pipeline = Pipeline::read(file).unwrap();
        assert_eq!(pipeline.statements(file).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_pipeline_is_refused() {
        for (text, wrong) in [
            ("steps: []", "missing field `name`"),
            ("name: p\nsteps: []\nstep: 1", "unknown field `step`"),
            (
                "name: p\nsteps: [{a: {}, b: {}}]",
                "step 1: a step is one procedure",
            ),
            ("name: p\nsteps: [{'a b': {}}]", "no name of a procedure"),
            ("name: p\nsteps: [{a: 1}]", "`name: value` pairs"),
            ("name: p\nsteps: [{a: {b: [1]}}]", "b is text, a number"),
        ] {
            let message = steps(text).unwrap_err();
            assert!(message.contains(wrong), "{text}: {message}");
        }
    }
}
