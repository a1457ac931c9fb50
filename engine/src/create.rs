//! `CREATE TABLE`: from the statement to what lake and catalog are told.
//!
//! A partition column that is a function of another gets its name from both: on a Delta table,
//! `PARTITIONED BY (date(ts))` adds the column `ts_date DATE GENERATED ALWAYS AS (CAST(ts AS DATE))`
//! and `years(ts)` adds `ts_year INT GENERATED ALWAYS AS (year(ts))`, behind the declared columns.
//! An Iceberg table keeps the function itself and gets no further column.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};
use shoal_catalog::{CreateMode, TableEntry};
use shoal_lake::{
    CheckConstraint, CreateTable as LakeTable, Format, GeneratedColumn, PartitionField, Transform,
    WriteSpec, write_node,
};
use shoal_udfs::types::{image_metadata, is_image, tensor_metadata, tensor_shape};

use crate::assign::column_type;
use crate::command::Command;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::insert::{Columns, Rows, check_expressions};
use crate::parser::{Column, CreateTable, PartitionFunction, PartitionItem, Statement, quoted};
use crate::plan::{bound, optimized, table_expression};
use crate::planned::Planned;
use crate::scope::FullName;
use crate::session::Session;
use crate::write::{NewTable, Target, WritePlan};

/// Metadata key under which formats keep a column's comment.
pub(crate) const COMMENT_KEY: &str = "comment";

/// Plans `CREATE TABLE … AS`.
pub(crate) async fn plan_as(
    session: &Arc<Session>,
    mut table: CreateTable,
    parameters: Option<ParamValues>,
) -> Result<Planned> {
    let current = session.current();
    let engine = session.engine();
    let name = current.table(&table.name);
    if engine.entry(&name).await?.is_some() && !table.or_replace {
        if table.if_not_exists {
            let statement = Statement::CreateTable(Box::new(table));
            return Ok(Planned::Command(Command::new(session.clone(), statement)));
        }
        return Err(already_exists(&name));
    }
    let Some(query) = table.query.take() else {
        return Err(EngineError::invalid("CREATE TABLE … AS without a query"));
    };
    let (state, source) = session.scope().plan_query(&current, query).await?;
    let source = bound(source, parameters)?;
    plan_from(session, state, table, name, source)
        .await
        .map(Planned::Write)
}

/// Plans the creation of `table` with the rows and the columns of `source`.
pub(crate) async fn plan_from(
    session: &Session,
    state: SessionState,
    mut table: CreateTable,
    name: FullName,
    source: LogicalPlan,
) -> Result<WritePlan> {
    let engine = session.engine();
    table.columns = query_columns(&source)?;
    let new = new_table(session, &state, &table, &name).await?;
    let spec = WriteSpec::for_new_table(&new.request, &engine.settings().write)?;
    let columns = Columns {
        table: name.to_string(),
        schema: spec.schema.clone(),
        generated: new.request.generated.clone(),
    };
    let rows = Rows {
        given: (0..table.columns.len()).collect(),
        columns,
        fixed: BTreeMap::new(),
    };
    let (plan, mut checks) = rows.project(&state, source)?;
    checks.extend(check_expressions(&state, &new.request.checks, &plan)?);
    let plan = optimized(state, write_node(plan, spec, checks), None)?;
    Ok(WritePlan {
        ctx: plan.ctx,
        plan: plan.plan,
        table: name.to_string(),
        local_only: false,
        engine: engine.clone(),
        target: Target::New(new),
    })
}

pub(crate) fn already_exists(name: &FullName) -> EngineError {
    EngineError::AlreadyExists {
        kind: "table or view",
        name: name.to_string(),
        hint: "write CREATE OR REPLACE TABLE, or IF NOT EXISTS to leave it as it is",
    }
}

fn query_columns(source: &LogicalPlan) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    for field in source.schema().fields() {
        let name = field.name();
        if columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)) {
            return Err(EngineError::invalid(format!(
                "the query has two columns called {name}; name one of them with AS"
            )));
        }
        columns.push(Column {
            name: name.clone(),
            extension: extension_of(field),
            data_type: column_type(name, field.data_type())?,
            nullable: true,
            comment: None,
            generated: None,
        });
    }
    Ok(columns)
}

/// The metadata of the extension types that tables keep.
fn extension_of(field: &Field) -> HashMap<String, String> {
    match tensor_shape(field) {
        Some(shape) => tensor_metadata(&shape),
        None if is_image(field.data_type()) => image_metadata(),
        None => HashMap::new(),
    }
}

/// What lake and catalog are told about `table`, with its location decided.
pub(crate) async fn new_table(
    session: &Session,
    state: &SessionState,
    table: &CreateTable,
    name: &FullName,
) -> Result<NewTable> {
    let engine = session.engine();
    let format = engine.format_of(table, name)?;
    let mut columns = table.columns.clone();
    let mut partition_by = Vec::new();
    for item in &table.partitioned_by {
        partition_by.push(partition_field(item, format, &mut columns)?);
    }
    check_partitioning(&columns, &partition_by)?;
    let schema = schema(&columns)?;
    let place = engine.place(name, table, format).await?;
    let mut entry = TableEntry::new(&name.catalog, &name.schema, &name.table, place.kind);
    entry.format = Some(format.name().to_lowercase());
    entry.location = Some(place.table.location.to_string());
    entry.comment = table.comment.clone();
    entry.properties = table.properties.clone();
    let request = LakeTable {
        table: place.table,
        generated: generated(state, &columns, &schema)?,
        checks: checks(state, table, &schema)?,
        schema,
        partition_by,
        comment: table.comment.clone(),
        properties: table.properties.clone(),
    };
    Ok(NewTable {
        request,
        entry,
        mode: match table.or_replace {
            true => CreateMode::Replace,
            false => CreateMode::Fail,
        },
        replace: place.replace,
    })
}

impl Engine {
    /// The format that the statement names, or else the one its catalog is for.
    pub(crate) fn format_of(&self, table: &CreateTable, name: &FullName) -> Result<Format> {
        let Some(using) = &table.using else {
            return Ok(match self.is_attached(&name.catalog) {
                true => Format::Iceberg,
                false => Format::Delta,
            });
        };
        Format::parse(using).ok_or_else(|| {
            EngineError::unsupported(
                format!("USING {}", using.to_uppercase()),
                "USING DELTA or USING ICEBERG",
            )
        })
    }
}

/// One field of the partitioning; adds the column it needs to `columns`.
fn partition_field(
    item: &PartitionItem,
    format: Format,
    columns: &mut Vec<Column>,
) -> Result<PartitionField> {
    match item {
        PartitionItem::NewColumn(column) => {
            columns.push(column.clone());
            Ok(PartitionField::identity(&column.name))
        }
        PartitionItem::Column(name) => Ok(PartitionField::identity(&find(columns, name)?.name)),
        PartitionItem::Transform { function, column } => {
            let source = find(columns, column)?.clone();
            check_source(*function, &source)?;
            match format {
                Format::Delta => delta_transform(*function, &source, columns),
                Format::Iceberg => Ok(iceberg_transform(*function, &source)),
            }
        }
    }
}

fn find<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column> {
    columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| EngineError::not_found("column", format!("{name} in PARTITIONED BY")))
}

fn check_source(function: PartitionFunction, source: &Column) -> Result<()> {
    let of_time = !matches!(
        function,
        PartitionFunction::Bucket(_) | PartitionFunction::Truncate(_)
    );
    let is_time = matches!(
        source.data_type,
        DataType::Date32 | DataType::Timestamp(_, _)
    );
    if of_time && !is_time {
        return Err(EngineError::invalid(format!(
            "PARTITIONED BY takes the {function:?} of a DATE or TIMESTAMP, and {} is of type {}",
            source.name,
            crate::parser::sql_type(&source.data_type)
        )));
    }
    Ok(())
}

/// Delta partitions by columns only, so the function becomes a generated column.
fn delta_transform(
    function: PartitionFunction,
    source: &Column,
    columns: &mut Vec<Column>,
) -> Result<PartitionField> {
    let of = quoted(&source.name);
    let (suffix, data_type, expression) = match function {
        PartitionFunction::Date | PartitionFunction::Days => {
            ("date", DataType::Date32, format!("CAST({of} AS DATE)"))
        }
        PartitionFunction::Years => ("year", DataType::Int32, format!("year({of})")),
        other => {
            return Err(EngineError::unsupported(
                format!("PARTITIONED BY with {other:?} on a Delta table"),
                "date(column), years(column), or USING ICEBERG",
            ));
        }
    };
    let name = format!("{}_{suffix}", source.name);
    if columns.iter().any(|c| c.name.eq_ignore_ascii_case(&name)) {
        return Err(EngineError::invalid(format!(
            "PARTITIONED BY adds the column {name}, which is declared already; name that column \
             in PARTITIONED BY instead"
        )));
    }
    columns.push(Column {
        name: name.clone(),
        data_type,
        extension: HashMap::new(),
        nullable: true,
        comment: None,
        generated: Some(crate::parser::parse_expression(&expression)?),
    });
    Ok(PartitionField::identity(name))
}

fn iceberg_transform(function: PartitionFunction, source: &Column) -> PartitionField {
    let (suffix, transform) = match function {
        PartitionFunction::Years => ("year", Transform::Year),
        PartitionFunction::Months => ("month", Transform::Month),
        PartitionFunction::Date | PartitionFunction::Days => ("day", Transform::Day),
        PartitionFunction::Hours => ("hour", Transform::Hour),
        PartitionFunction::Bucket(n) => ("bucket", Transform::Bucket(n)),
        PartitionFunction::Truncate(n) => ("trunc", Transform::Truncate(n)),
    };
    PartitionField {
        name: format!("{}_{suffix}", source.name),
        source: source.name.clone(),
        transform,
    }
}

fn check_partitioning(columns: &[Column], partition_by: &[PartitionField]) -> Result<()> {
    for (n, field) in partition_by.iter().enumerate() {
        if partition_by[..n]
            .iter()
            .any(|other| other.name == field.name)
        {
            return Err(EngineError::invalid(format!(
                "PARTITIONED BY names {} twice",
                field.name
            )));
        }
        let column = columns.iter().find(|column| column.name == field.source);
        let unfit = column.filter(|c| c.data_type.is_nested() || c.data_type == DataType::Binary);
        if let Some(column) = unfit {
            return Err(EngineError::invalid(format!(
                "no table is partitioned by a {}: {}",
                crate::parser::sql_type(&column.data_type),
                column.name
            )));
        }
    }
    let identities = partition_by
        .iter()
        .filter(|field| field.transform == Transform::Identity)
        .count();
    if identities == columns.len() {
        return Err(EngineError::invalid(
            "PARTITIONED BY names every column; at least one must be left for the data files",
        ));
    }
    Ok(())
}

fn schema(columns: &[Column]) -> Result<SchemaRef> {
    let fields = columns
        .iter()
        .map(|column| {
            check_name(&column.name)?;
            let field = Field::new(&column.name, column.data_type.clone(), column.nullable);
            let comment = column.comment.clone();
            let mut metadata = column.extension.clone();
            metadata.extend(comment.map(|comment| (COMMENT_KEY.to_string(), comment)));
            Ok(field.with_metadata(metadata))
        })
        .collect::<Result<Vec<Field>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Names that Delta and Spark refuse in a table without column mapping.
fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
        return Err(EngineError::invalid(format!(
            "\"{name}\" is no column name: it holds one of \" ,;{{}}()=\"; name the column with AS"
        )));
    }
    Ok(())
}

fn generated(
    state: &SessionState,
    columns: &[Column],
    schema: &SchemaRef,
) -> Result<Vec<GeneratedColumn>> {
    // A generated column is computed from the others, not from another generated one.
    let given: Vec<Arc<Field>> = columns
        .iter()
        .zip(schema.fields())
        .filter(|(column, _)| column.generated.is_none())
        .map(|(_, field)| field.clone())
        .collect();
    let given = DFSchema::try_from(Schema::new(given))?;
    let mut generated = Vec::new();
    for column in columns {
        let Some(expression) = &column.generated else {
            continue;
        };
        let expression = expression.to_string();
        table_expression(state, &expression, &given).map_err(|error| {
            EngineError::invalid(format!(
                "column {} GENERATED ALWAYS AS ({expression}): {error}",
                column.name
            ))
        })?;
        generated.push(GeneratedColumn {
            name: column.name.clone(),
            expression,
        });
    }
    Ok(generated)
}

fn checks(
    state: &SessionState,
    table: &CreateTable,
    schema: &SchemaRef,
) -> Result<Vec<CheckConstraint>> {
    let all = DFSchema::try_from(schema.as_ref().clone())?;
    let mut checks = Vec::new();
    for check in &table.checks {
        let expression = check.expression.to_string();
        let wrong = |reason: String| {
            EngineError::invalid(format!("CHECK {} ({expression}): {reason}", check.name))
        };
        let expr = table_expression(state, &expression, &all).map_err(|e| wrong(e.to_string()))?;
        let data_type = expr.get_type(&all)?;
        if data_type != DataType::Boolean {
            return Err(wrong(format!("it is a {data_type}, not a condition")));
        }
        checks.push(CheckConstraint {
            name: check.name.clone(),
            expression,
        });
    }
    Ok(checks)
}
