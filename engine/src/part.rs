//! Part of a table: some of its files at one version, or some of the rows in them. What works through a
//! table piece by piece plans each piece over such a part, and sees one version of it throughout.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, ParamValues};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, lit};
use shoal_catalog::TableEntry;
use shoal_lake::{LakeTable, Snapshot};

use crate::error::{EngineError, Result};
use crate::insert;
use crate::parser::{Name, Statement};
use crate::plan::{bound, optimized};
use crate::planned::QueryPlan;
use crate::scope::{FullName, Relation};
use crate::session::Session;
use crate::write::WritePlan;

/// See the module's documentation.
#[derive(Clone)]
pub struct Part {
    name: FullName,
    entry: TableEntry,
    snapshot: Arc<Snapshot>,
    /// Which of the snapshot's files.
    files: Arc<Vec<usize>>,
    /// Only rows with one of these values in this column of text.
    values: Option<(String, Arc<Vec<String>>)>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("table", &self.name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Part {
    /// How many rows are in its files, where the table's log tells.
    pub fn rows(&self) -> u64 {
        let files = self.files.iter();
        let files = files.filter_map(|&file| self.snapshot.files().get(file));
        files.filter_map(|file| file.rows).sum()
    }

    /// Consecutive files in parts, each of about as many rows and bytes at most; a larger file is a part
    /// of its own.
    pub fn split(&self, rows: u64, bytes: u64) -> Vec<Part> {
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut filled = (0, 0);
        for &index in self.files.iter() {
            let Some(file) = self.snapshot.files().get(index) else {
                continue;
            };
            let count = file.rows.unwrap_or(rows);
            let is_full = filled.0 + count > rows || filled.1 + file.size > bytes;
            if is_full || parts.is_empty() {
                parts.push(Vec::new());
                filled = (0, 0);
            }
            filled = (filled.0 + count, filled.1 + file.size);
            if let Some(part) = parts.last_mut() {
                part.push(index);
            }
        }
        let part = |files| Part {
            files: Arc::new(files),
            ..self.clone()
        };
        parts.into_iter().map(part).collect()
    }

    /// The rows that have one of `values` in `column`, which is one of text.
    pub fn with_values(&self, column: &str, values: Vec<String>) -> Part {
        Part {
            values: Some((column.to_owned(), Arc::new(values))),
            ..self.clone()
        }
    }

    /// `plan` with every scan of the table reduced to this part.
    fn reduce(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut is_reduced = false;
        let reduced = plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = &node else {
                return Ok(Transformed::no(node));
            };
            let provider = source_as_provider(&scan.source)?;
            let table = provider.downcast_ref::<LakeTable>();
            let Some(table) = table.filter(|t| Arc::ptr_eq(t.snapshot(), &self.snapshot)) else {
                return Ok(Transformed::no(node));
            };
            is_reduced = true;
            let source = provider_as_source(Arc::new(table.with_files(self.files.clone())));
            let scan = TableScan {
                source,
                ..scan.clone()
            };
            let name = scan.table_name.clone();
            let scan = LogicalPlanBuilder::from(LogicalPlan::TableScan(scan));
            let reduced = match &self.values {
                Some((column, values)) => {
                    let column = Expr::Column(Column::new(Some(name), column));
                    let values = values.iter().map(|value| lit(value.as_str())).collect();
                    scan.filter(column.in_list(values, false))?.build()?
                }
                None => scan.build()?,
            };
            Ok(Transformed::yes(reduced))
        })?;
        match is_reduced {
            true => Ok(reduced.data),
            false => Err(EngineError::invalid(format!(
                "the query does not read table {}",
                self.name
            ))),
        }
    }
}

impl Session {
    /// All of a table at its newest version.
    ///
    /// # Errors
    /// When there is no such table, or it is a view.
    pub async fn whole(&self, name: &Name) -> Result<Part> {
        let name = self.current().table(name);
        match self.scope().relation(&name).await? {
            Relation::Table(entry, snapshot) => Ok(Part {
                files: Arc::new((0..snapshot.files().len()).collect()),
                name,
                entry,
                snapshot,
                values: None,
            }),
            Relation::View(..) => Err(EngineError::invalid(format!(
                "{name} is a view; name the table it selects from"
            ))),
        }
    }

    /// Plans a query in which the table of `part` is that part.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub async fn plan_over(
        self: &Arc<Self>,
        part: &Part,
        sql: &str,
        parameters: Option<ParamValues>,
    ) -> Result<QueryPlan> {
        let (state, plan) = self.over(part, sql, parameters).await?;
        optimized(state, plan, None)
    }

    /// Plans to append the rows of such a query to the table `target`, by column name.
    ///
    /// # Errors
    /// As [`Session::plan_append`].
    pub async fn plan_append_over(
        self: &Arc<Self>,
        target: &Name,
        part: &Part,
        sql: &str,
        parameters: Option<ParamValues>,
    ) -> Result<WritePlan> {
        let (state, plan) = self.over(part, sql, parameters).await?;
        insert::plan_from(self, state, &self.current().table(target), plan).await
    }

    async fn over(
        self: &Arc<Self>,
        part: &Part,
        sql: &str,
        parameters: Option<ParamValues>,
    ) -> Result<(SessionState, LogicalPlan)> {
        let mut statements = self.parse(sql)?;
        let (Some(Statement::Query(query)), true) = (statements.pop(), statements.is_empty())
        else {
            return Err(EngineError::invalid(format!("{sql} is not a query")));
        };
        let scope = self.scope();
        scope.pin(&part.name, &part.entry, &part.snapshot);
        let (state, plan) = scope.plan_query(&self.current(), query).await?;
        Ok((state, part.reduce(bound(plan, parameters)?)?))
    }
}
