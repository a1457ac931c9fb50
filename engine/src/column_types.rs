//! `information_schema.columns` with the names of types that SQL has. DataFusion, which makes the table, writes
//! Arrow's: `FixedSizeList(3 x Float32)` where a statement says `VECTOR(3)`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};

use crate::parser::sql_type_of;
use crate::scope::{FullName, INFORMATION_SCHEMA, Scope};

/// `plan` with SQL's names of types wherever it reads `information_schema.columns`.
pub(crate) fn in_sql(plan: LogicalPlan, scope: &Arc<Scope>) -> Result<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else {
            return Ok(Transformed::no(node));
        };
        let name = &scan.table_name;
        if name.schema() != Some(INFORMATION_SCHEMA) || name.table() != "columns" {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        scan.source = provider_as_source(Arc::new(Columns {
            by_arrow: source_as_provider(&scan.source)?,
            scope: scope.clone(),
        }));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(named.data)
}

/// The table.
struct Columns {
    /// DataFusion's.
    by_arrow: Arc<dyn TableProvider>,
    scope: Arc<Scope>,
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns").finish_non_exhaustive()
    }
}

impl Columns {
    /// `batch` with the names of types of the tables' columns. A table that cannot be read any more keeps
    /// those it has.
    async fn named(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema();
        let text = |name: &str| -> Result<&StringArray> {
            Ok(batch.column(schema.index_of(name)?).as_string())
        };
        let (catalogs, schemas) = (text("table_catalog")?, text("table_schema")?);
        let (tables, columns) = (text("table_name")?, text("column_name")?);
        let by_arrow = text("data_type")?;
        let mut known: Option<(FullName, Option<SchemaRef>)> = None;
        let mut named = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let name = FullName {
                catalog: catalogs.value(row).to_owned(),
                schema: schemas.value(row).to_owned(),
                table: tables.value(row).to_owned(),
            };
            if known.as_ref().is_none_or(|(known, _)| *known != name) {
                let relation = self.scope.relation(&name).await.ok();
                known = Some((name, relation.map(|relation| relation.table_schema())));
            }
            let schema = known.as_ref().and_then(|(_, schema)| schema.as_ref());
            let field = schema.and_then(|schema| schema.field_with_name(columns.value(row)).ok());
            named.push(field.map_or_else(|| by_arrow.value(row).to_owned(), sql_type_of));
        }
        let mut all: Vec<ArrayRef> = batch.columns().to_vec();
        if let Some(types) = all.get_mut(schema.index_of("data_type")?) {
            *types = Arc::new(StringArray::from(named));
        }
        Ok(RecordBatch::try_new(schema, all)?)
    }
}

#[async_trait]
impl TableProvider for Columns {
    fn schema(&self) -> SchemaRef {
        self.by_arrow.schema()
    }

    fn table_type(&self) -> TableType {
        self.by_arrow.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let by_arrow = self.by_arrow.scan(session, None, &[], None).await?;
        let mut named = Vec::new();
        for batch in collect(by_arrow, session.task_ctx()).await? {
            named.push(self.named(batch).await?);
        }
        let rows = MemTable::try_new(self.schema(), vec![named])?;
        rows.scan(session, projection, filters, limit).await
    }
}
