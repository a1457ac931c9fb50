//! From statement to plan.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_plan::ColumnarValue;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias, Query};

use crate::batches::bound_batches;
use crate::command::Command;
use crate::create;
use crate::error::{EngineError, Result};
use crate::explain::AnalyzePlan;
use crate::index;
use crate::insert;
use crate::parser::{Explain, ExplainFormat, Show, Statement, parse_expression};
use crate::planned::{Planned, QueryPlan};
use crate::procedure;
use crate::rewrite::{match_columns, normalize};
use crate::search::use_indexes;
use crate::session::Session;
use crate::top_rows;

/// Plans `statement`; see [`Session::plan`].
pub(crate) async fn plan(
    session: &Arc<Session>,
    statement: Statement,
    parameters: Option<ParamValues>,
) -> Result<Planned> {
    match statement {
        Statement::Query(query) => plan_query(session, query, parameters)
            .await
            .map(Planned::Query),
        Statement::Insert(insert) => insert::plan(session, *insert, parameters)
            .await
            .map(Planned::Write),
        Statement::CreateTable(table) if table.query.is_some() => {
            create::plan_as(session, *table, parameters).await
        }
        Statement::Explain(explain) if explain.analyze => {
            plan_analyze(session, *explain, parameters).await
        }
        Statement::Execute { name, arguments } => {
            let prepared = session.prepared(&name)?;
            let arguments = constants(session, arguments)?;
            let values = ParamValues::List(arguments);
            Box::pin(plan(session, prepared, Some(values))).await
        }
        Statement::Show(show @ (Show::Executors | Show::Jobs)) => {
            Command::of_cluster(session.clone(), show)
                .await
                .map(Planned::Command)
        }
        Statement::CreateIndex(create) => index::plan_create(session, create).await,
        Statement::RefreshIndex { name, table } => {
            index::plan_refresh(session, &name, &table).await
        }
        Statement::CopyImages(copy) => Ok(Planned::CopyImages(copy)),
        Statement::Call(call) => procedure::plan(session, &call).await.map(Planned::Call),
        command => Ok(Planned::Command(Command::new(session.clone(), command))),
    }
}

async fn plan_query(
    session: &Arc<Session>,
    query: Box<Query>,
    parameters: Option<ParamValues>,
) -> Result<QueryPlan> {
    let scope = session.scope();
    let (state, plan) = scope.plan_query(&session.current(), query).await?;
    let mut query = optimized(state, plan, parameters)?;
    query.plan = use_indexes(session.engine().lake(), query.plan).await?;
    Ok(query)
}

/// Binds parameters and, once none is open, optimizes.
///
/// Vectors are bound last: no rule decides anything by their numbers, but many write out the expressions they
/// look at, hundreds of numbers each time.
pub(crate) fn optimized(
    mut state: SessionState,
    plan: LogicalPlan,
    parameters: Option<ParamValues>,
) -> Result<QueryPlan> {
    let open = plan.get_parameter_fields()?;
    let plan = match parameters {
        Some(vectors) if open.values().all(is_vector) => {
            top_rows::decide_first(bound(state.optimize(&plan)?, Some(vectors))?)?
        }
        None if !open.is_empty() => plan,
        parameters => top_rows::decide_first(state.optimize(&bound(plan, parameters)?)?)?,
    };
    bound_batches(&mut state, &plan)?;
    Ok(QueryPlan {
        ctx: SessionContext::new_with_state(state),
        plan,
    })
}

/// Whether a parameter stands where vectors do. An array of whole numbers may be a list of keys, which rules
/// do look at.
fn is_vector(parameter: &Option<FieldRef>) -> bool {
    let list = parameter.as_ref().map(|field| field.data_type());
    matches!(list, Some(DataType::List(item) | DataType::FixedSizeList(item, _))
        if item.data_type().is_floating())
}

/// `plan` with its parameters bound, if there are any values.
pub(crate) fn bound(plan: LogicalPlan, parameters: Option<ParamValues>) -> Result<LogicalPlan> {
    match parameters {
        Some(values) => Ok(plan.with_param_values(values)?),
        None => Ok(plan),
    }
}

async fn plan_analyze(
    session: &Arc<Session>,
    explain: Explain,
    parameters: Option<ParamValues>,
) -> Result<Planned> {
    let Statement::Query(query) = explain.statement else {
        return Err(EngineError::unsupported(
            "EXPLAIN ANALYZE of a statement that is no query",
            "EXPLAIN shows its plan without running it",
        ));
    };
    if explain.format == ExplainFormat::Tree {
        return Err(EngineError::unsupported(
            "EXPLAIN ANALYZE FORMAT TREE",
            "EXPLAIN ANALYZE, or EXPLAIN FORMAT TREE",
        ));
    }
    let query = plan_query(session, query, parameters).await?;
    Ok(Planned::Analyze(AnalyzePlan {
        query,
        verbose: explain.verbose,
    }))
}

fn constants(session: &Session, arguments: Vec<SqlExpr>) -> Result<Vec<ScalarAndMetadata>> {
    let state = session.scope().state(&session.current())?;
    arguments
        .into_iter()
        .map(|argument| Ok(ScalarAndMetadata::from(constant(&state, argument)?)))
        .collect()
}

/// The value of an expression without columns.
pub(crate) fn constant(state: &SessionState, expression: SqlExpr) -> Result<ScalarValue> {
    let text = expression.to_string();
    let expr = logical(state, expression, &DFSchema::empty())?;
    let physical = state.create_physical_expr(expr, &DFSchema::empty())?;
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)
        .map_err(datafusion::error::DataFusionError::from)?;
    let value = match physical.evaluate(&row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)
            .map_err(|e| EngineError::invalid(format!("{text} has no value: {e}")))?,
    };
    Ok(value)
}

/// The expression a table keeps as `sql` (a CHECK, a generated column) over `schema`.
pub(crate) fn table_expression(state: &SessionState, sql: &str, schema: &DFSchema) -> Result<Expr> {
    logical(state, parse_expression(sql)?, schema)
}

fn logical(state: &SessionState, mut expression: SqlExpr, schema: &DFSchema) -> Result<Expr> {
    normalize(&mut expression, None)?;
    match_columns(&mut expression, &[Arc::new(schema.as_arrow().clone())]);
    let with_alias = ExprWithAlias {
        expr: expression,
        alias: None,
    };
    let expr = state.create_logical_expr_from_sql_expr(with_alias, schema)?;
    // Fails for columns and operators that do not fit before anything is written.
    expr.get_type(schema)?;
    Ok(expr)
}
