//! The writer node in logical plans, and its planning.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{
        Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_plan::ExecutionPlan,
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
};

use crate::{
    data_file::WRITTEN_FILES_SCHEMA,
    index::{IndexExec, IndexNode},
    split::{SplitExec, SplitNode},
    write::{exec::WriterExec, spec::WriteSpec},
};

static NODE_SCHEMA: LazyLock<DFSchemaRef> = LazyLock::new(|| {
    let schema = DFSchema::try_from(WRITTEN_FILES_SCHEMA.as_ref().clone());
    Arc::new(schema.unwrap_or_else(|_| DFSchema::empty()))
});

/// Puts a writer on top of a query whose columns are the table's, in declared order.
///
/// `checks` are conditions over those columns, by constraint name. The plan answers with one row per
/// data file.
pub fn write_node(input: LogicalPlan, spec: WriteSpec, checks: Vec<(String, Expr)>) -> LogicalPlan {
    LogicalPlan::Extension(Extension {
        node: Arc::new(WriteNode {
            input,
            spec: Arc::new(spec),
            checks,
        }),
    })
}

#[derive(Debug, Clone)]
struct WriteNode {
    input: LogicalPlan,
    spec: Arc<WriteSpec>,
    checks: Vec<(String, Expr)>,
}

impl PartialEq for WriteNode {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input && self.spec == other.spec && self.checks == other.checks
    }
}

impl Eq for WriteNode {}

impl Hash for WriteNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.spec.hash(state);
        self.checks.hash(state);
    }
}

impl PartialOrd for WriteNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WriteNode {
    fn name(&self) -> &str {
        "Write"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &NODE_SCHEMA
    }

    fn expressions(&self) -> Vec<Expr> {
        self.checks.iter().map(|(_, check)| check.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "Write: table={}, format={}",
            self.spec.table, self.spec.format
        )
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("a write has one input");
        };
        let names = self.checks.iter().map(|(name, _)| name.clone());
        Ok(WriteNode {
            input,
            spec: self.spec.clone(),
            checks: names.zip(exprs).collect(),
        })
    }
}

/// Plans the lake's own logical nodes.
#[derive(Debug, Default)]
pub struct LakePlanner;

#[async_trait]
impl ExtensionPlanner for LakePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(index) = node.as_any().downcast_ref::<IndexNode>() {
            let [input] = physical_inputs else {
                return internal_err!("an index is made of one input");
            };
            return Ok(Some(Arc::new(IndexExec::new(
                input.clone(),
                index.spec.clone(),
            ))));
        }
        if let Some(split) = node.as_any().downcast_ref::<SplitNode>() {
            let [input] = physical_inputs else {
                return internal_err!("a split has one input");
            };
            let schema = node.schema();
            let bytes = split.bytes.iter();
            let bytes = bytes
                .map(|bytes| planner.create_physical_expr(bytes, schema, session, context))
                .collect::<Result<_>>()?;
            let split = SplitExec::new(input.clone(), bytes, split.max_bytes);
            return Ok(Some(Arc::new(split)));
        }
        let Some(write) = node.as_any().downcast_ref::<WriteNode>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("a write has one input");
        };
        let checks = write
            .checks
            .iter()
            .map(|(name, check)| {
                let physical =
                    planner.create_physical_expr(check, write.input.schema(), session, context)?;
                Ok((name.clone(), physical))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Some(Arc::new(WriterExec::new(
            input.clone(),
            write.spec.clone(),
            checks,
        ))))
    }
}
