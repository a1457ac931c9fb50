//! `EXPLAIN`: the plans of a statement, the files it reads and skips, and where it runs and why.

use std::sync::Arc;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{ExplainOption, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::displayable;
use shoal_config::ByteSize;

use crate::error::{EngineError, Result};
use crate::estimate::{Decision, Estimate, Place};
use crate::parser::{Explain, ExplainFormat};
use crate::planned::{Planned, QueryPlan};
use crate::session::Session;
use crate::show::{TextRow, row};

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
        Planned::CopyImages(_) => {
            return Ok(vec![
                row(&["command", "CopyImages"]),
                row(&[
                    "placement",
                    "executors: objects are read where they are written",
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
    for scan in &estimate.scans {
        let files = format!(
            "{} (version {}): {} of {} files, {}; {} pruned",
            scan.table,
            scan.version,
            scan.files,
            scan.total_files,
            ByteSize(scan.bytes),
            scan.total_files - scan.files
        );
        rows.push(row(&["files", &files]));
    }
    rows.push(row(&["placement", &placement(&decision)]));
    if decision.place == Place::Executors {
        rows.extend(stages(session, &query, &estimate).await?);
    }
    if let Some(commit) = commit {
        rows.push(row(&["commit", &commit]));
    }
    Ok(rows)
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
