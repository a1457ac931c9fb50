//! What becomes of a statement: a query to run, a write to run and commit, or a command to carry
//! out. Nothing has happened yet when one of these exists.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::logical_expr::LogicalPlan;

use crate::command::Command;
use crate::config::local_config;
use crate::error::Result;
use crate::explain::AnalyzePlan;
use crate::ingest::copy_schema;
use crate::parser::CopyImages;
use crate::procedure::{Procedure, call_schema};
use crate::write::WritePlan;

/// A planned statement.
#[derive(Debug)]
pub enum Planned {
    /// Rows come out of it.
    Query(QueryPlan),
    /// Data files come out of it, which [`WritePlan::finish`] commits.
    Write(WritePlan),
    /// Carried out in the scheduler by [`Command::execute`].
    Command(Command),
    /// A query that runs for what can be measured on it.
    Analyze(AnalyzePlan),
    /// A run of its own that the scheduler conducts: it lists objects, then plans a write for every
    /// part of them with [`Session::plan_append`](crate::Session::plan_append).
    CopyImages(CopyImages),
    /// Another such run, over the rows of a table.
    Call(Procedure),
}

impl Planned {
    /// Columns of the rows that the client gets; empty for an update.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Query(query) => query.schema(),
            Self::Write(_) => Arc::new(Schema::empty()),
            Self::Command(command) => command.schema(),
            Self::Analyze(analyze) => analyze.schema(),
            Self::CopyImages(_) => copy_schema(),
            Self::Call(_) => call_schema(),
        }
    }

    /// Whether the client gets a number of affected rows instead of rows.
    pub fn is_update(&self) -> bool {
        match self {
            Self::Query(_) | Self::Analyze(_) => false,
            Self::Write(_) => true,
            Self::Command(command) => command.is_update(),
            Self::CopyImages(_) | Self::Call(_) => false,
        }
    }

    /// Whether running it changes something, also where the client gets rows.
    pub fn has_effects(&self) -> bool {
        self.is_update() || matches!(self, Self::CopyImages(_) | Self::Call(_))
    }

    /// Its parameters in order, named `$1`, `$2`, …, each with the type inferred from where it
    /// stands, or as text where nothing tells.
    ///
    /// # Errors
    /// When one parameter is used as two types.
    pub fn parameters(&self) -> Result<SchemaRef> {
        match self {
            Self::Query(query) => parameters_of(&query.plan),
            Self::Write(write) => parameters_of(&write.plan),
            Self::Analyze(analyze) => parameters_of(&analyze.query.plan),
            Self::Command(_) | Self::CopyImages(_) | Self::Call(_) => Ok(Arc::new(Schema::empty())),
        }
    }
}

/// A query: an optimized logical plan and the context it was planned in.
#[derive(Clone)]
pub struct QueryPlan {
    /// Made for the executors: [`datafusion::execution::context::SessionContext`] with Ballista's
    /// settings. Its runtime holds the scheduler's memory limit and the object stores.
    pub ctx: SessionContext,
    /// What to run.
    pub plan: LogicalPlan,
}

impl fmt::Debug for QueryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryPlan")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl QueryPlan {
    /// Columns of the result.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// The session for running the plan in this process: one partition per CPU and what
    /// DataFusion does best within one process, which Ballista must switch off.
    pub fn local_state(&self) -> SessionState {
        local_state(&self.ctx)
    }

    /// The same as a context.
    pub fn local_ctx(&self) -> SessionContext {
        SessionContext::new_with_state(self.local_state())
    }
}

/// The session of `ctx` for running a plan in this process.
fn local_state(ctx: &SessionContext) -> SessionState {
    let mut state = ctx.state();
    let config = local_config(state.config());
    *state.config_mut() = config;
    state
}

/// What a command answers.
#[derive(Debug, Clone)]
pub enum CommandOutput {
    /// Rows, all of one schema; at least one batch, which may be empty.
    Rows(Vec<RecordBatch>),
    /// A number of affected rows.
    Affected(u64),
}

fn parameters_of(plan: &LogicalPlan) -> Result<SchemaRef> {
    let mut found: Vec<(usize, Field)> = Vec::new();
    for (name, field) in plan.get_parameter_fields()? {
        let number: usize = name.trim_start_matches('$').parse().map_err(|_| {
            crate::EngineError::invalid(format!(
                "the parameter {name} has no number; write $1, $2, … or ?"
            ))
        })?;
        let data_type = field.map_or(arrow::datatypes::DataType::Utf8, |f| f.data_type().clone());
        found.push((number, Field::new(format!("${number}"), data_type, true)));
    }
    found.sort_by_key(|(number, _)| *number);
    let gap = found
        .iter()
        .enumerate()
        .find(|(n, (number, _))| *number != n + 1);
    if let Some((n, _)) = gap {
        return Err(crate::EngineError::invalid(format!(
            "the parameter ${} is missing: parameters are numbered from $1 without gaps",
            n + 1
        )));
    }
    let fields: Vec<Field> = found.into_iter().map(|(_, field)| field).collect();
    Ok(Arc::new(Schema::new(fields)))
}
