//! `EXPLAIN`: the plans of a statement, the files it reads and skips, and where it runs and why.
//! `EXPLAIN ANALYZE`: the same of a query that runs, with what was measured.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{ExplainOption, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::displayable;
use shoal_config::ByteSize;

use crate::error::{EngineError, Result};
use crate::estimate::{Decision, Estimate, Place};
use crate::parser::{Explain, ExplainFormat};
use crate::planned::{Planned, QueryPlan};
use crate::session::Session;
use crate::show::{TextRow, batch, explain_schema, row};

/// `EXPLAIN ANALYZE`: a query that runs for what can be measured on it. Its own rows are counted and
/// thrown away.
#[derive(Debug)]
pub struct AnalyzePlan {
    /// The query.
    pub query: QueryPlan,
    /// Whether every partition's measurements are wanted.
    pub verbose: bool,
}

impl AnalyzePlan {
    /// Columns of the answer: `plan_type` and `plan`.
    pub fn schema(&self) -> SchemaRef {
        explain_schema()
    }

    /// The query for running in this process: instead of its rows it answers with two columns of text,
    /// a title and the measured plan.
    ///
    /// # Errors
    /// When the plan cannot be wrapped.
    pub fn local(&self) -> Result<QueryPlan> {
        let options = ExplainOption::default()
            .with_analyze(true)
            .with_verbose(self.verbose);
        let plan = LogicalPlanBuilder::from(self.query.plan.clone())
            .explain_option_format(options)?
            .build()?;
        Ok(QueryPlan {
            ctx: self.query.ctx.clone(),
            plan,
        })
    }

    /// The answer: what was `measured`, as titles and texts, then the files and the placement.
    ///
    /// # Errors
    /// When a table's statistics cannot be compared with the query's filters.
    pub fn answer(&self, session: &Session, measured: &[(String, String)]) -> Result<RecordBatch> {
        let estimate = Estimate::of_plan(&self.query.plan, &self.query.ctx.state())?;
        let decision = estimate.decide(&session.query_settings());
        let mut rows: Vec<TextRow> = measured
            .iter()
            .map(|(title, text)| row(&[title, text.trim_end()]))
            .collect();
        rows.extend(files(&estimate));
        rows.push(row(&["placement", &placement(&decision)]));
        batch(explain_schema(), rows)
    }
}

/// The rows of `EXPLAIN` without `ANALYZE`.
pub(crate) async fn rows(session: &Arc<Session>, explain: &Explain) -> Result<Vec<TextRow>> {
    let planned = Box::pin(session.plan(explain.statement.clone(), None)).await?;
    let estimate = Estimate::of(&planned)?;
    let decision = estimate.decide(&session.query_settings());
    let (query, commit) = match &planned {
        Planned::Query(query) => (query.clone(), None),
        Planned::Write(write) => (
            write.query(),
            Some(format!(
                "one version of {}, when all files are written",
                write.table
            )),
        ),
        Planned::Analyze(analyze) => (analyze.query.clone(), None),
        Planned::CopyImages(_) => {
            return Ok(vec![
                row(&["command", "CopyImages"]),
                row(&[
                    "placement",
                    "executors: objects are read where they are written",
                ]),
            ]);
        }
        Planned::Call(procedure) => {
            return Ok(vec![
                row(&["command", &format!("Call {}", procedure.name())]),
                row(&[
                    "placement",
                    "executors: each part of the source is a statement of its own",
                ]),
            ]);
        }
        Planned::Command(command) => {
            let name = format!("{:?}", command.statement());
            let name = name.split([' ', '(', '{']).next().unwrap_or_default();
            return Ok(vec![
                row(&["command", name]),
                row(&["placement", &placement(&decision)]),
            ]);
        }
    };
    if !query.plan.get_parameter_fields()?.is_empty() {
        return Err(EngineError::invalid(
            "EXPLAIN of a statement with parameters; write constants in their place",
        ));
    }
    let mut rows = match explain.verbose {
        true => verbose(&query).await?,
        false => plans(&query, decision.place, explain.format).await?,
    };
    rows.extend(files(&estimate));
    rows.push(row(&["placement", &placement(&decision)]));
    if decision.place == Place::Executors {
        rows.extend(stages(session, &query, &estimate).await?);
    }
    if let Some(commit) = commit {
        rows.push(row(&["commit", &commit]));
    }
    Ok(rows)
}

/// One row per table that is read.
fn files(estimate: &Estimate) -> Vec<TextRow> {
    let read = estimate.scans.iter().map(|scan| {
        let files = format!(
            "{} (version {}): {} of {} files, {}; {} pruned",
            scan.table,
            scan.version,
            scan.files,
            scan.total_files,
            ByteSize(scan.bytes),
            scan.total_files - scan.files
        );
        row(&["files", &files])
    });
    read.collect()
}

fn placement(decision: &Decision) -> String {
    let place = match decision.place {
        Place::Scheduler => "scheduler",
        Place::Executors => "executors",
    };
    format!("{place}: {}", decision.reason)
}

async fn plans(query: &QueryPlan, place: Place, format: ExplainFormat) -> Result<Vec<TextRow>> {
    let ctx = match place {
        Place::Scheduler => query.local_ctx(),
        Place::Executors => query.ctx.clone(),
    };
    let physical = ctx.state().create_physical_plan(&query.plan).await?;
    let shown = displayable(physical.as_ref());
    let physical = match format {
        ExplainFormat::Indent => shown.indent(false).to_string(),
        ExplainFormat::Tree => shown.tree_render().to_string(),
    };
    let mut rows = Vec::new();
    if format == ExplainFormat::Indent {
        let logical = query.plan.display_indent().to_string();
        rows.push(row(&["logical_plan", &logical]));
    }
    rows.push(row(&["physical_plan", physical.trim_end()]));
    Ok(rows)
}

/// Every step of the optimizer, as DataFusion prints it.
async fn verbose(query: &QueryPlan) -> Result<Vec<TextRow>> {
    let options = ExplainOption::default().with_verbose(true);
    let plan: LogicalPlan = LogicalPlanBuilder::from(query.plan.clone())
        .explain_option_format(options)?
        .build()?;
    let ctx: SessionContext = query.local_ctx();
    let batches = ctx.execute_logical_plan(plan).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in batches {
        for n in 0..batch.num_rows() {
            let text = |column: usize| {
                arrow::util::display::array_value_to_string(batch.column(column), n)
                    .map_err(datafusion::error::DataFusionError::from)
            };
            rows.push(row(&[&text(0)?, &text(1)?]));
        }
    }
    Ok(rows)
}

async fn stages(session: &Session, query: &QueryPlan, estimate: &Estimate) -> Result<Vec<TextRow>> {
    let Some(cluster) = session.engine().cluster() else {
        return Ok(Vec::new());
    };
    let stages = cluster
        .stages(query, estimate)
        .await
        .map_err(EngineError::invalid)?;
    Ok(stages
        .iter()
        .enumerate()
        .map(|(n, stage)| row(&[&format!("stage {}", n + 1), stage.trim_end()]))
        .collect())
}
