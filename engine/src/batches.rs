//! How many rows go into a batch where rows are large.
//!
//! DataFusion counts rows: 8192 of them, also where each carries a photo. So for a statement that
//! reads binary columns the number is set from what a row of its tables takes on average, and for one that
//! downloads files it is the number that are fetched at a time.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use shoal_config::Processing;
use shoal_lake::{DOWNLOAD_CONNECTIONS, ImageFiles, LakeTable};
use shoal_udfs::URL_DOWNLOAD;
use shoal_udfs::types::is_image;

use crate::config::is_set_by_user;
use crate::error::Result;

/// Bounds of batches that carry binary values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BinaryBatches {
    rows: usize,
    bytes: u64,
}

impl BinaryBatches {
    pub(crate) fn of(settings: &Processing) -> Self {
        Self {
            rows: settings.batch_size.max(1),
            bytes: settings.batch_bytes.0,
        }
    }

    fn rows_of(&self, row_bytes: u64) -> usize {
        let rows = self.bytes / row_bytes.max(1);
        usize::try_from(rows)
            .unwrap_or(usize::MAX)
            .clamp(1, self.rows)
    }
}

/// Sets the number of rows in a batch, if `plan` reads binary columns and the user has not set it.
pub(crate) fn bound_batches(state: &mut SessionState, plan: &LogicalPlan) -> Result<()> {
    let key = "datafusion.execution.batch_size";
    let Some(bounds) = state.config().get_extension::<BinaryBatches>() else {
        return Ok(());
    };
    if is_set_by_user(state.config(), key) {
        return Ok(());
    }
    let (mut widest, mut downloads) = (None, false);
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            downloads |= expression.exists(|expr| Ok(is_download(expr)))?;
        }
        if let LogicalPlan::TableScan(scan) = node {
            widest = widest.max(binary_row_bytes(scan)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let binary_rows = widest.map(|row_bytes| bounds.rows_of(row_bytes));
    let download_rows = downloads.then_some(DOWNLOAD_CONNECTIONS);
    if let Some(rows) = binary_rows.into_iter().chain(download_rows).min() {
        let rows = rows.min(state.config().batch_size());
        let config = state.config().clone().with_batch_size(rows);
        *state.config_mut() = config;
    }
    Ok(())
}

fn is_download(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == URL_DOWNLOAD)
}

/// Whether values of that type are large.
pub(crate) fn is_large(data_type: &DataType) -> bool {
    data_type.is_binary() || is_image(data_type)
}

/// Average bytes of a row in the files of a table of which binary columns or images are read.
pub(crate) fn binary_row_bytes(scan: &TableScan) -> datafusion::error::Result<Option<u64>> {
    let fields = scan.projected_schema.fields();
    if !fields.iter().any(|field| is_large(field.data_type())) {
        return Ok(None);
    }
    let provider = source_as_provider(&scan.source)?;
    if let Some(objects) = provider.downcast_ref::<ImageFiles>() {
        let bytes = objects.bytes_of(scan.projected_schema.as_arrow());
        return Ok(bytes.checked_div(objects.len() as u64));
    }
    let table = provider.downcast_ref::<LakeTable>();
    Ok(table.and_then(|table| table.snapshot().row_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_bytes_and_by_rows() {
        let bounds = BinaryBatches {
            rows: 1000,
            bytes: 1 << 20,
        };
        assert_eq!(bounds.rows_of(100 << 10), 10);
        assert_eq!(bounds.rows_of(5 << 20), 1);
        assert_eq!(bounds.rows_of(0), 1000);
    }
}
