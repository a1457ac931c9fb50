//! `INSERT`: which value goes into which column, what becomes of the rows that are there, and the
//! columns the table computes itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use datafusion::common::{Column, DFSchema, ParamValues, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr_fn::binary_expr;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, cast, ident, lit};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use shoal_lake::{CheckConstraint, GeneratedColumn, Snapshot, WriteMode, WriteSpec, write_node};

use crate::assign::{assigned, written_type};
use crate::error::{EngineError, Result};
use crate::parameters::{typed_parameters, values_per_row};
use crate::parser::Insert;
use crate::plan::{bound, constant, optimized, table_expression};
use crate::scope::{FullName, Relation, nearest};
use crate::session::Session;
use crate::write::{Target, WritePlan};

/// Plans an `INSERT`.
pub(crate) async fn plan(
    session: &Arc<Session>,
    insert: Insert,
    parameters: Option<ParamValues>,
) -> Result<WritePlan> {
    let (open, source) = open(session, insert).await?;
    let source = bound(source, parameters)?;
    open.finish(session, source)
}

/// Plans `INSERT INTO … VALUES` of a single row once for many rows of `parameters`, so that they
/// are one commit. None for any other `INSERT`.
pub(crate) async fn plan_many(
    session: &Arc<Session>,
    insert: Insert,
    parameters: RecordBatch,
) -> Result<Option<WritePlan>> {
    if insert.overwrite {
        return Ok(None);
    }
    let (open, source) = open(session, insert).await?;
    let Some(source) = values_per_row(&source, parameters)? else {
        return Ok(None);
    };
    let mut plan = open.finish(session, source)?;
    plan.local_only = true;
    Ok(Some(plan))
}

/// All of an `INSERT` but its rows.
struct Open {
    state: SessionState,
    rows: Rows,
    snapshot: Arc<Snapshot>,
    mode: WriteMode,
}

impl Open {
    fn finish(self, session: &Session, source: LogicalPlan) -> Result<WritePlan> {
        finish(
            session,
            self.state,
            source,
            self.rows,
            self.snapshot,
            self.mode,
        )
    }
}

/// An `INSERT`, and the plan of its rows, whose parameters are not bound yet.
async fn open(session: &Arc<Session>, insert: Insert) -> Result<(Open, LogicalPlan)> {
    let scope = session.scope();
    let current = session.current();
    let name = current.table(&insert.name);
    let snapshot = table(session, &scope.relation(&name).await?, &name)?;
    let (state, source) = scope.plan_query(&current, insert.query.clone()).await?;
    let fixed = fixed_values(&state, &snapshot, &insert)?;
    let rows = Rows {
        columns: Columns::of(&snapshot),
        given: given_columns(&insert, &snapshot, &fixed, &source)?,
        fixed,
    };
    let source = typed_parameters(source, &rows.given_fields())?;
    let mode = write_mode(&insert, &rows.fixed, &snapshot)?;
    let open = Open {
        state,
        rows,
        snapshot,
        mode,
    };
    Ok((open, source))
}

/// Plans the insertion of `source`'s rows, whose columns go to the table's columns of the same name.
pub(crate) async fn plan_from(
    session: &Session,
    state: SessionState,
    name: &FullName,
    source: LogicalPlan,
) -> Result<WritePlan> {
    let snapshot = table(session, &session.scope().relation(name).await?, name)?;
    let fields = source.schema().fields().iter();
    let names: Vec<String> = fields.map(|field| field.name().clone()).collect();
    let rows = Rows {
        given: positions(&snapshot, &names)?,
        columns: Columns::of(&snapshot),
        fixed: BTreeMap::new(),
    };
    finish(session, state, source, rows, snapshot, WriteMode::Append)
}

fn table(session: &Session, relation: &Relation, name: &FullName) -> Result<Arc<Snapshot>> {
    let Relation::Table(_, snapshot) = relation else {
        return Err(EngineError::invalid(format!(
            "{name} is a view; insert into the table it selects from"
        )));
    };
    session.engine().lake().check_writable(snapshot)?;
    Ok(snapshot.clone())
}

fn finish(
    session: &Session,
    state: SessionState,
    source: LogicalPlan,
    rows: Rows,
    snapshot: Arc<Snapshot>,
    mode: WriteMode,
) -> Result<WritePlan> {
    let engine = session.engine();
    engine.lake().check_mode(&snapshot, &mode)?;
    let (plan, mut checks) = rows.project(&state, source)?;
    checks.extend(check_expressions(&state, snapshot.checks(), &plan)?);
    let spec = WriteSpec::for_snapshot(&snapshot, &engine.settings().write)?;
    let plan = optimized(state, write_node(plan, spec, checks), None)?;
    Ok(WritePlan {
        ctx: plan.ctx,
        plan: plan.plan,
        table: snapshot.table().name.clone(),
        local_only: false,
        engine: engine.clone(),
        target: Target::Existing { snapshot, mode },
    })
}

/// The table's CHECK constraints over the columns of `plan`.
pub(crate) fn check_expressions(
    state: &SessionState,
    checks: &[CheckConstraint],
    plan: &LogicalPlan,
) -> Result<Vec<(String, Expr)>> {
    checks
        .iter()
        .map(|check| {
            let expr = table_expression(state, &check.expression, plan.schema())?;
            Ok((check.name.clone(), expr))
        })
        .collect()
}

/// What a table demands of the rows that are written to it.
pub(crate) struct Columns {
    /// Name of the table, for messages.
    pub table: String,
    /// All columns in order.
    pub schema: SchemaRef,
    /// Those that are computed.
    pub generated: Vec<GeneratedColumn>,
}

impl Columns {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            table: snapshot.table().name.clone(),
            schema: snapshot.schema().clone(),
            generated: snapshot.generated().to_vec(),
        }
    }

    fn expression(&self, column: &str) -> Option<&str> {
        self.generated
            .iter()
            .find(|generated| generated.name.eq_ignore_ascii_case(column))
            .map(|generated| generated.expression.as_str())
    }
}

/// The rows of an insertion.
pub(crate) struct Rows {
    /// The table's columns.
    pub columns: Columns,
    /// For each column of the query, the position of the table's column it goes to.
    pub given: Vec<usize>,
    /// Columns of static partitions and their values, by position.
    pub fixed: BTreeMap<usize, ScalarValue>,
}

impl Rows {
    /// The table's columns that the values go to, in their order, as values come to the writer.
    fn given_fields(&self) -> Vec<Arc<Field>> {
        let fields = self.columns.schema.fields();
        let given = self.given.iter();
        let written = |field: &Field| {
            let data_type = written_type(field.data_type());
            Arc::new(field.clone().with_data_type(data_type))
        };
        given.map(|position| written(&fields[*position])).collect()
    }

    /// The rows with exactly the table's columns, and the conditions under which the values given
    /// for generated columns are right.
    pub(crate) fn project(
        &self,
        state: &SessionState,
        source: LogicalPlan,
    ) -> Result<(LogicalPlan, Vec<(String, Expr)>)> {
        let fields = self.columns.schema.fields();
        let mut values = Vec::new();
        let mut computed = Vec::new();
        for (position, field) in fields.iter().enumerate() {
            match self.value(position, field, &source)? {
                Some(value) => values.push(value.alias(field.name())),
                None if self.columns.expression(field.name()).is_some() => computed.push(position),
                None if field.is_nullable() => {
                    values.push(lit(ScalarValue::try_from(field.data_type())?).alias(field.name()));
                }
                None => {
                    return Err(EngineError::invalid(format!(
                        "column {} of table {} is NOT NULL and gets no value",
                        field.name(),
                        self.columns.table
                    )));
                }
            }
        }
        let given = LogicalPlanBuilder::from(source).project(values)?.build()?;
        let checks = self.generated_checks(state, &computed, given.schema())?;
        if computed.is_empty() {
            return Ok((given, checks));
        }
        let all = fields
            .iter()
            .enumerate()
            .map(|(position, field)| match computed.contains(&position) {
                true => self.computed(state, field, given.schema()),
                false => Ok(ident(field.name())),
            })
            .collect::<Result<Vec<Expr>>>()?;
        let all = LogicalPlanBuilder::from(given).project(all)?.build()?;
        Ok((all, checks))
    }

    /// The value that the statement gives for the column at `position`.
    fn value(&self, position: usize, field: &Field, source: &LogicalPlan) -> Result<Option<Expr>> {
        if let Some(value) = self.fixed.get(&position) {
            return Ok(Some(lit(value.clone())));
        }
        let Some(from) = self.given.iter().position(|given| *given == position) else {
            return Ok(None);
        };
        let (qualifier, given) = source.schema().qualified_field(from);
        let column = Expr::Column(Column::new(qualifier.cloned(), given.name()));
        assigned(column, given.data_type(), field).map(Some)
    }

    fn computed(&self, state: &SessionState, field: &Field, given: &DFSchema) -> Result<Expr> {
        let sql = self.columns.expression(field.name()).unwrap_or_default();
        let expr = table_expression(state, sql, given)?;
        Ok(cast(expr, written_type(field.data_type())).alias(field.name()))
    }

    fn generated_checks(
        &self,
        state: &SessionState,
        computed: &[usize],
        given: &DFSchema,
    ) -> Result<Vec<(String, Expr)>> {
        let mut checks = Vec::new();
        for (position, field) in self.columns.schema.fields().iter().enumerate() {
            let Some(sql) = self.columns.expression(field.name()) else {
                continue;
            };
            if computed.contains(&position) {
                continue;
            }
            let expr = cast(
                table_expression(state, sql, given)?,
                field.data_type().clone(),
            );
            let same = binary_expr(ident(field.name()), Operator::IsNotDistinctFrom, expr);
            checks.push((
                format!("{} GENERATED ALWAYS AS ({sql})", field.name()),
                same,
            ));
        }
        Ok(checks)
    }
}

/// Static partitions: column position to value.
fn fixed_values(
    state: &SessionState,
    snapshot: &Snapshot,
    insert: &Insert,
) -> Result<BTreeMap<usize, ScalarValue>> {
    let mut fixed = BTreeMap::new();
    for (column, value) in &insert.partition {
        let position = position(snapshot, column)?;
        let field = snapshot.schema().field(position);
        let is_partition = snapshot
            .partition_by()
            .iter()
            .any(|partition| partition.name == *field.name());
        if !is_partition {
            return Err(EngineError::invalid(format!(
                "table {} is not partitioned by {column}",
                snapshot.table().name
            )));
        }
        if let Some(value) = value {
            fixed.insert(position, fixed_value(state, value, field)?);
        }
    }
    Ok(fixed)
}

fn fixed_value(state: &SessionState, value: &SqlExpr, field: &Field) -> Result<ScalarValue> {
    let given = constant(state, value.clone())?;
    let from = given.data_type();
    // Partition values are often written in quotes whatever their type.
    if !matches!(from, arrow::datatypes::DataType::Utf8) {
        assigned(lit(given.clone()), &from, field)?;
    }
    given.cast_to(field.data_type()).map_err(|error| {
        EngineError::invalid(format!(
            "PARTITION ({} = {value}) is not a value of type {}: {}",
            field.name(),
            crate::parser::sql_type(field.data_type()),
            error.strip_backtrace()
        ))
    })
}

fn write_mode(
    insert: &Insert,
    fixed: &BTreeMap<usize, ScalarValue>,
    snapshot: &Snapshot,
) -> Result<WriteMode> {
    if !insert.overwrite {
        return Ok(WriteMode::Append);
    }
    if insert.partition.is_empty() {
        return Ok(WriteMode::Overwrite);
    }
    if fixed.is_empty() {
        return Ok(WriteMode::OverwriteTouchedPartitions);
    }
    let values = fixed
        .iter()
        .map(|(position, value)| {
            let column = snapshot.schema().field(*position).name().clone();
            Ok((column, shoal_lake::partition_text(value)?))
        })
        .collect::<Result<_>>()?;
    Ok(WriteMode::OverwritePartition(values))
}

/// For each column of the query, the position of the table's column it goes to.
fn given_columns(
    insert: &Insert,
    snapshot: &Snapshot,
    fixed: &BTreeMap<usize, ScalarValue>,
    source: &LogicalPlan,
) -> Result<Vec<usize>> {
    let names: Vec<String> = source
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    if insert.by_name {
        return positions(snapshot, &names);
    }
    if !insert.columns.is_empty() {
        let mut given = positions(snapshot, &insert.columns)?;
        // Dynamic partition columns may be left out of the list: they come last.
        let dynamic = insert.partition.iter().filter(|(_, value)| value.is_none());
        for (column, _) in dynamic {
            let position = position(snapshot, column)?;
            if !given.contains(&position) {
                given.push(position);
            }
        }
        return counted(given, &names, snapshot);
    }
    let columns = Columns::of(snapshot);
    let open: Vec<usize> = (0..columns.schema.fields().len())
        .filter(|position| !fixed.contains_key(position))
        .collect();
    let not_generated: Vec<usize> = open
        .iter()
        .copied()
        .filter(|position| {
            columns
                .expression(columns.schema.field(*position).name())
                .is_none()
        })
        .collect();
    if names.len() == not_generated.len() {
        return Ok(not_generated);
    }
    counted(open, &names, snapshot)
}

fn counted(given: Vec<usize>, names: &[String], snapshot: &Snapshot) -> Result<Vec<usize>> {
    if given.len() == names.len() {
        return Ok(given);
    }
    let schema = snapshot.schema();
    let wanted: Vec<&str> = given
        .iter()
        .map(|position| schema.field(*position).name().as_str())
        .collect();
    Err(EngineError::invalid(format!(
        "table {} takes {} values here ({}), and the query gives {}",
        snapshot.table().name,
        given.len(),
        wanted.join(", "),
        names.len()
    )))
}

fn positions(snapshot: &Snapshot, names: &[String]) -> Result<Vec<usize>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let position = position(snapshot, name)?;
        if found.contains(&position) {
            return Err(EngineError::invalid(format!(
                "column {name} is given twice"
            )));
        }
        found.push(position);
    }
    Ok(found)
}

fn position(snapshot: &Snapshot, column: &str) -> Result<usize> {
    let fields = snapshot.schema().fields();
    let exact = fields.iter().position(|field| field.name() == column);
    let found = exact.or_else(|| {
        fields
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(column))
    });
    found.ok_or_else(|| {
        let names = fields.iter().map(|field| field.name().as_str());
        EngineError::NotFound {
            kind: "column",
            name: format!("{column} of table {}", snapshot.table().name),
            hint: nearest(column, names)
                .map_or_else(String::new, |near| format!("; did you mean {near}?")),
        }
    })
}
