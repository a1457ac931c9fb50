//! A node that bounds the memory of what is computed above it: it cuts batches where the rows of a
//! batch would become too large.
//!
//! DataFusion evaluates an expression over a whole batch. A kilobyte of PNG becomes hundreds of
//! megabytes of pixels, so batches that are bounded by what they hold say nothing of what is made of them.
//! The node is told by expressions how many bytes will be made of each row, and lets at most
//! `max_bytes` through at a time, or a single row. It neither copies nor reorders rows.

use std::{cmp::Ordering, collections::VecDeque, fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::Int64Type};
use datafusion::{
    common::{
        DFSchemaRef, Result, Statistics, cast::as_primitive_array, config::ConfigOptions,
        internal_err, tree_node::TreeNodeRecursion,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::CardinalityEffect,
        filter_pushdown::{
            ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
        },
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt as _, stream::try_unfold};

/// Lets the rows of `input` through in batches of which at most `max_bytes` are made, or in single rows.
///
/// Each of `bytes` is a BIGINT over the columns of `input`: what some expression above makes of a row.
/// NULL counts as nothing.
pub fn split_node(input: LogicalPlan, bytes: Vec<Expr>, max_bytes: u64) -> LogicalPlan {
    LogicalPlan::Extension(Extension {
        node: Arc::new(SplitNode {
            input,
            bytes,
            max_bytes,
        }),
    })
}

/// What [`split_node`] has put below a plan, if `plan` is such a node.
pub fn split_input(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    let LogicalPlan::Extension(extension) = plan else {
        return None;
    };
    let split = extension.node.as_any().downcast_ref::<SplitNode>()?;
    Some(&split.input)
}

/// The node in logical plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SplitNode {
    input: LogicalPlan,
    pub(crate) bytes: Vec<Expr>,
    pub(crate) max_bytes: u64,
}

impl PartialOrd for SplitNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SplitNode {
    fn name(&self) -> &str {
        "Split"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.bytes.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Split: max_bytes={}", self.max_bytes)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("a split has one input");
        };
        Ok(SplitNode {
            input,
            bytes: exprs,
            max_bytes: self.max_bytes,
        })
    }
}

/// The node as executors run it.
#[derive(Debug)]
pub(crate) struct SplitExec {
    input: Arc<dyn ExecutionPlan>,
    bytes: Vec<Arc<dyn PhysicalExpr>>,
    max_bytes: u64,
}

impl SplitExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        bytes: Vec<Arc<dyn PhysicalExpr>>,
        max_bytes: u64,
    ) -> Self {
        SplitExec {
            input,
            bytes,
            max_bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.bytes
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

impl DisplayAs for SplitExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SplitExec: max_bytes={}", self.max_bytes)
    }
}

impl ExecutionPlan for SplitExec {
    fn name(&self) -> &str {
        "SplitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for bytes in &self.bytes {
            recursion = recursion.visit_sibling(|| f(bytes))?;
        }
        Ok(recursion)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match input_stats {
            [input] => Ok(input.clone()),
            _ => internal_err!("a split has one input, not {}", input_stats.len()),
        }
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else {
            return internal_err!("a split has one input, not {}", children.len());
        };
        Ok(Arc::new(SplitExec::new(
            input.clone(),
            self.bytes.clone(),
            self.max_bytes,
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let task = SplitTask {
            input: self.input.execute(partition, context.clone())?,
            bytes: self.bytes.clone(),
            max_bytes: self.max_bytes,
            pieces: VecDeque::new(),
            memory: MemoryConsumer::new(format!("SplitExec[{partition}]"))
                .register(context.memory_pool()),
        };
        let pieces = try_unfold(task, |mut task| async move {
            Ok(task.next().await?.map(|piece| (piece, task)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            pieces,
        )))
    }
}

/// Rows to let through, and what they take once something is made of them.
struct Piece {
    rows: RecordBatch,
    bytes: u64,
}

/// One partition.
struct SplitTask {
    input: SendableRecordBatchStream,
    bytes: Vec<Arc<dyn PhysicalExpr>>,
    max_bytes: u64,
    /// Of the batch under way.
    pieces: VecDeque<Piece>,
    /// What is made of the piece that was let through last.
    memory: MemoryReservation,
}

impl SplitTask {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                // Counted, so that those who can spill make room, and never refused: a row that is larger
                // than the task's memory is bounded by the limits of its functions, and one such row
                // must not fail the query.
                self.memory
                    .resize(usize::try_from(piece.bytes).unwrap_or(usize::MAX));
                return Ok(Some(piece.rows));
            }
            self.memory.free();
            let Some(batch) = self.input.try_next().await? else {
                return Ok(None);
            };
            let made = self.bytes_of_rows(&batch)?;
            self.pieces = cut(&batch, &made, self.max_bytes);
        }
    }

    /// What is made of each row.
    fn bytes_of_rows(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let mut made = vec![0_u64; batch.num_rows()];
        for bytes in &self.bytes {
            let column = bytes.evaluate(batch)?.into_array(batch.num_rows())?;
            let column = as_primitive_array::<Int64Type>(&column)?;
            for (row, bytes) in made.iter_mut().zip(column) {
                *row = row.saturating_add(bytes.unwrap_or(0).max(0).unsigned_abs());
            }
        }
        Ok(made)
    }
}

/// Cuts `batch`, of whose rows `made` bytes are made each. All rows come out, in their order.
fn cut(batch: &RecordBatch, made: &[u64], max_bytes: u64) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let (mut first, mut sum) = (0, 0_u64);
    let mut close = |first: usize, end: usize, bytes: u64| {
        if end > first {
            let rows = batch.slice(first, end - first);
            pieces.push_back(Piece { rows, bytes });
        }
    };
    for (row, bytes) in made.iter().enumerate() {
        if sum.saturating_add(*bytes) > max_bytes {
            close(first, row, sum);
            (first, sum) = (row, 0);
        }
        sum = sum.saturating_add(*bytes);
    }
    close(first, batch.num_rows(), sum);
    pieces
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::{physical_expr::expressions::col, prelude::SessionContext};
    use futures::StreamExt as _;

    use super::*;

    fn batch(made: Vec<Option<i64>>) -> RecordBatch {
        let made: ArrayRef = Arc::new(Int64Array::from(made));
        RecordBatch::try_from_iter_with_nullable([("made", made, true)]).unwrap()
    }

    #[test]
    fn a_piece_has_at_most_so_many_bytes_or_one_row() {
        let made = [3, 4, 3, 20, 0, 10, 1, 0];
        let rows = batch(made.iter().map(|made| Some(*made as i64)).collect());
        let pieces = cut(&rows, &made, 10);
        let sizes = pieces
            .iter()
            .map(|piece| (piece.rows.num_rows(), piece.bytes));
        assert_eq!(
            sizes.collect::<Vec<_>>(),
            [(3, 10), (1, 20), (2, 10), (2, 1)]
        );
        let back =
            arrow::compute::concat_batches(&rows.schema(), pieces.iter().map(|piece| &piece.rows));
        assert_eq!(back.unwrap(), rows);
        assert!(cut(&rows.slice(0, 0), &[], 10).is_empty());
    }

    #[tokio::test]
    async fn the_task_is_charged_for_what_is_made_of_the_rows_under_way() {
        let context = SessionContext::new();
        let rows = batch(vec![Some(1 << 20), None, Some(1 << 40), Some(5)]);
        let input = context.read_batch(rows).unwrap();
        let input = input.create_physical_plan().await.unwrap();
        let bytes = col("made", &input.schema()).unwrap();
        let split = SplitExec::new(input, vec![bytes], 1 << 20);
        let task = context.task_ctx();
        let mut pieces = split.execute(0, task.clone()).unwrap();
        let mut seen = Vec::new();
        while let Some(piece) = pieces.next().await {
            let rows = piece.unwrap().num_rows();
            seen.push((rows, task.memory_pool().reserved()));
        }
        assert_eq!(seen, [(2, 1 << 20), (1, 1 << 40), (1, 5)]);
        assert_eq!(task.memory_pool().reserved(), 0);
    }
}
