//! Late materialization for `ORDER BY … LIMIT k` over tables with large columns: the scan reads what decides
//! the order, and the large columns only of rows that may be among the first.
//!
//! ```sql
//! SELECT id, content FROM raw.images ORDER BY taken DESC LIMIT 10
//! ```
//! reads `taken` of all rows and `content` of ten of each file, at most. The sort stays where it is.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, SortExpr, TableScan};
use shoal_lake::{FirstRows, LakeTable};

use crate::batches::{binary_row_bytes, is_large};
use crate::below::down_to_scan;

/// With more rows than this everything is read at once.
const MOST_ROWS: usize = 1000;
/// Bytes of a row on average from which on it pays to look at a file twice.
const LARGE_ROW_BYTES: u64 = 8 << 10;

/// `plan`, optimized, with scans that read large columns of the first rows only.
pub(crate) fn decide_first(plan: LogicalPlan) -> Result<LogicalPlan> {
    let decided = plan.transform_down(|node| {
        let LogicalPlan::Sort(sort) = &node else {
            return Ok(Transformed::no(node));
        };
        let Some((before, after)) = first_rows(sort)? else {
            return Ok(Transformed::no(node));
        };
        node.transform_down(|node| match node {
            LogicalPlan::TableScan(scan) if scan == before => {
                Ok(Transformed::yes(LogicalPlan::TableScan(after.clone())))
            }
            other => Ok(Transformed::no(other)),
        })
    })?;
    Ok(decided.data)
}

/// The scan below `sort`, and the same reduced to what comes first.
fn first_rows(sort: &Sort) -> Result<Option<(TableScan, TableScan)>> {
    let Some(count) = sort.fetch.filter(|count| *count <= MOST_ROWS) else {
        return Ok(None);
    };
    let keys = sort.expr.iter().map(|key| key.expr.clone().unalias());
    let Some(below) = down_to_scan(keys.collect(), &sort.input) else {
        return Ok(None);
    };
    let scan = below.scan;
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = provider.downcast_ref::<LakeTable>() else {
        return Ok(None);
    };
    let deciding: Vec<&Expr> = below.exprs.iter().chain(&below.conditions).collect();
    let decidable = deciding.iter().all(|expr| is_decidable(expr));
    if table.is_reduced() || scan.fetch.is_some() || !decidable || !pays(scan, &deciding)? {
        return Ok(None);
    }
    let order = below.exprs.iter().zip(&sort.expr);
    let first = FirstRows {
        order: order
            .map(|(expr, key)| Ok(SortExpr::new(bare(expr)?, key.asc, key.nulls_first)))
            .collect::<Result<_>>()?,
        condition: conjunction(below.conditions)
            .map(|condition| bare(&condition))
            .transpose()?,
        count,
    };
    let reduced = TableScan {
        source: provider_as_source(Arc::new(table.with_first(Arc::new(first)))),
        ..scan.clone()
    };
    Ok(Some((scan.clone(), reduced)))
}

/// Whether looking at the columns of `deciding` first spares large columns of large rows.
fn pays(scan: &TableScan, deciding: &[&Expr]) -> Result<bool> {
    let decides: HashSet<&str> = deciding
        .iter()
        .flat_map(|expr| expr.column_refs())
        .map(|column| column.name.as_str())
        .collect();
    let fields = scan.projected_schema.fields().iter();
    let (deciding, others): (Vec<_>, Vec<_>) =
        fields.partition(|field| decides.contains(field.name().as_str()));
    let some_large = |fields: &[&FieldRef]| fields.iter().any(|field| is_large(field.data_type()));
    if deciding.is_empty() || some_large(&deciding) || !some_large(&others) {
        return Ok(false);
    }
    Ok(binary_row_bytes(scan)?.is_some_and(|bytes| bytes >= LARGE_ROW_BYTES))
}

/// Whether the scan can evaluate the expression, and twice.
fn is_decidable(expr: &Expr) -> bool {
    let is_foreign = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::Exists(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    });
    !expr.is_volatile() && matches!(is_foreign, Ok(false))
}

/// The expression with columns as the table names them.
fn bare(expr: &Expr) -> Result<Expr> {
    let bare = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            let column = Column::new_unqualified(column.name);
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bare.data)
}
