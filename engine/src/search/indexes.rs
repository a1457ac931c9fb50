//! Using vector indexes: a query that takes the k nearest rows of a table reads the rows that an index
//! names, and those of files that no index covers.
//!
//! The pattern is `ORDER BY distance(column, constant) LIMIT k` straight over a table. Whatever is in between,
//! above all a predicate, makes the query exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, TableScan};
use shoal_lake::{Candidates, Lake, LakeTable, Metric};

use crate::below::down_to_scan;
use crate::error::Result;

/// With more rows than this a search is exact.
const MOST_ROWS: usize = 1000;

/// A search for the rows of a table nearest to a vector.
struct Search {
    scan: TableScan,
    table: LakeTable,
    column: String,
    metric: Metric,
    vector: Vec<f32>,
    k: usize,
}

/// `plan`, optimized, with the tables of searches reduced to what indexes name.
pub(crate) async fn use_indexes(lake: &Lake, plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut searches = Vec::new();
    plan.apply(|node| {
        searches.extend(search(node));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut reduced = Vec::new();
    for search in searches {
        if let Some(candidates) = candidates(lake, &search).await {
            let table = search.table.with_candidates(Arc::new(candidates));
            let source = provider_as_source(Arc::new(table));
            reduced.push((
                search.scan.clone(),
                TableScan {
                    source,
                    ..search.scan
                },
            ));
        }
    }
    if reduced.is_empty() {
        return Ok(plan);
    }
    let plan = plan.transform_down(|node| {
        let Some(search) = search(&node) else {
            return Ok(Transformed::no(node));
        };
        let found = reduced.iter().find(|(scan, _)| *scan == search.scan);
        let Some((before, after)) = found else {
            return Ok(Transformed::no(node));
        };
        node.transform_down(|node| match node {
            LogicalPlan::TableScan(scan) if scan == *before => {
                Ok(Transformed::yes(LogicalPlan::TableScan(after.clone())))
            }
            other => Ok(Transformed::no(other)),
        })
    })?;
    Ok(plan.data)
}

/// What an index of the column names. An index that cannot be read makes a query slower, not wrong.
async fn candidates(lake: &Lake, search: &Search) -> Option<Candidates> {
    let table = search.table.snapshot().table();
    let found = async {
        let indexes = lake.known_indexes(table).await?;
        let mut fitting = indexes
            .values()
            .filter(|index| index.column == search.column && index.metric == search.metric);
        match fitting.next() {
            Some(index) => {
                lake.candidates(search.table.snapshot(), index, &search.vector, search.k)
                    .await
            }
            None => Ok(None),
        }
    };
    match found.await {
        Ok(candidates) => candidates,
        Err(error) => {
            tracing::warn!(table = table.name, "searched without an index: {error}");
            None
        }
    }
}

/// The search that `node` is.
fn search(node: &LogicalPlan) -> Option<Search> {
    let LogicalPlan::Sort(Sort {
        expr,
        input,
        fetch: Some(k),
    }) = node
    else {
        return None;
    };
    let key = expr.first().filter(|key| !key.nulls_first)?;
    if *k > MOST_ROWS {
        return None;
    }
    // Folding a constant leaves the name that it had.
    let key_expr = key.expr.clone().unalias();
    let below = down_to_scan(vec![key_expr], input)?;
    let (scan, distance) = (below.scan, below.exprs.first()?);
    let is_filtered = !below.conditions.is_empty() || !scan.filters.is_empty();
    if is_filtered || scan.fetch.is_some() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = provider.downcast_ref::<LakeTable>()?;
    if table.candidates().is_some() {
        return None;
    }
    let (metric, column, vector) = compared(distance, key.asc)?;
    Some(Search {
        table: table.clone(),
        scan: scan.clone(),
        column,
        metric,
        vector,
        k: *k,
    })
}

/// The metric, column and vector by which `distance` compares, if the nearest come first.
fn compared(distance: &Expr, ascending: bool) -> Option<(Metric, String, Vec<f32>)> {
    let (call, ascending) = match distance {
        Expr::Negative(inner) => (inner.as_ref(), !ascending),
        other => (other, ascending),
    };
    let Expr::ScalarFunction(call) = call else {
        return None;
    };
    let metric = match (call.func.name(), ascending) {
        ("cosine_distance", true) | ("vector_cosine_similarity", false) => Metric::Cosine,
        ("vector_l2_distance" | "array_distance", true) => Metric::L2,
        ("vector_inner_product" | "inner_product", false) => Metric::InnerProduct,
        _ => return None,
    };
    let [a, b] = call.args.as_slice() else {
        return None;
    };
    match (without_casts(a), without_casts(b)) {
        (Expr::Column(column), Expr::Literal(vector, _))
        | (Expr::Literal(vector, _), Expr::Column(column)) => {
            Some((metric, column.name.clone(), numbers(vector)?))
        }
        _ => None,
    }
}

fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => without_casts(&cast.expr),
        other => other,
    }
}

fn numbers(vector: &ScalarValue) -> Option<Vec<f32>> {
    let values: ArrayRef = match vector {
        ScalarValue::List(list) if list.is_valid(0) => list.value(0),
        ScalarValue::LargeList(list) if list.is_valid(0) => list.value(0),
        ScalarValue::FixedSizeList(list) if list.is_valid(0) => list.value(0),
        _ => return None,
    };
    if values.null_count() > 0 {
        return None;
    }
    let values = cast(&values, &DataType::Float32).ok()?;
    Some(values.as_primitive::<Float32Type>().values().to_vec())
}
