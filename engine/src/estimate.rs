//! How much a statement will read, and where it should therefore run.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use shoal_config::{Placement, QuerySettings};
use shoal_lake::{ImageFiles, LakeTable};

use crate::error::Result;
use crate::planned::Planned;

/// What one scan reads after partitions and files were pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEstimate {
    /// The table's full name.
    pub table: String,
    /// Its version.
    pub version: u64,
    /// Data files that are read.
    pub files: usize,
    /// Data files the table has.
    pub total_files: usize,
    /// Bytes in the files that are read.
    pub bytes: u64,
}

/// What a statement reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// One entry per scan of a table.
    pub scans: Vec<ScanEstimate>,
    /// Why it can run nowhere but in the scheduler, if that is so.
    pub pinned: Option<&'static str>,
}

/// Where a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the scheduler's process.
    Scheduler,
    /// On the executors.
    Executors,
}

/// Where a statement runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where.
    pub place: Place,
    /// Why, as `EXPLAIN` prints it.
    pub reason: String,
}

impl Estimate {
    /// The estimate of `planned`. A command reads nothing.
    ///
    /// # Errors
    /// When a table's statistics cannot be compared with the query's filters.
    pub fn of(planned: &Planned) -> Result<Self> {
        match planned {
            Planned::Query(query) => Self::of_plan(&query.plan, &query.ctx.state()),
            Planned::Analyze(analyze) => {
                Self::of_plan(&analyze.query.plan, &analyze.query.ctx.state())
            }
            Planned::Write(write) => {
                let mut estimate = Self::of_plan(&write.plan, &write.ctx.state())?;
                if write.local_only {
                    estimate.pinned = Some("its rows come from the client");
                }
                Ok(estimate)
            }
            Planned::Command(_) | Planned::CopyImages(_) | Planned::Call(_) => Ok(Self {
                scans: Vec::new(),
                pinned: Some("it touches only names and metadata"),
            }),
        }
    }

    /// The estimate of an optimized plan.
    pub(crate) fn of_plan(plan: &LogicalPlan, state: &SessionState) -> Result<Self> {
        let mut estimate = Self::default();
        let mut scans = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                scans.push(scan.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for scan in scans {
            estimate.add(&scan, state)?;
        }
        if sorts_union(plan, Above::Nothing) {
            estimate.pinned = Some("it sorts a union, whose rows tasks on executors would double");
        }
        Ok(estimate)
    }

    fn add(&mut self, scan: &TableScan, state: &SessionState) -> Result<()> {
        let provider: Arc<dyn TableProvider> = source_as_provider(&scan.source)?;
        if let Some(objects) = provider.downcast_ref::<ImageFiles>() {
            self.scans.push(ScanEstimate {
                table: objects.source().to_string(),
                version: 0,
                files: objects.len(),
                total_files: objects.len(),
                bytes: objects.bytes_of(scan.projected_schema.as_arrow()),
            });
            return Ok(());
        }
        let Some(table) = provider.downcast_ref::<LakeTable>() else {
            self.pinned
                .get_or_insert("it reads the catalog or rows that only the scheduler holds");
            return Ok(());
        };
        let pruned = table.prune(&scan.filters, state)?;
        self.scans.push(ScanEstimate {
            table: table.snapshot().table().name.clone(),
            version: table.snapshot().version(),
            files: pruned.files.len(),
            total_files: pruned.total,
            bytes: pruned.bytes,
        });
        Ok(())
    }

    /// Bytes that are read in all.
    pub fn bytes(&self) -> u64 {
        self.scans.iter().map(|scan| scan.bytes).sum()
    }

    /// Where the statement runs under `settings`.
    pub fn decide(&self, settings: &QuerySettings) -> Decision {
        let (place, reason) = match (self.pinned, settings.placement) {
            (Some(reason), _) => (Place::Scheduler, reason.to_string()),
            (None, Placement::Local) => (Place::Scheduler, "query.placement is local".to_string()),
            (None, Placement::Distributed) => (
                Place::Executors,
                "query.placement is distributed".to_string(),
            ),
            (None, Placement::Auto) => self.by_size(settings),
        };
        Decision { place, reason }
    }

    fn by_size(&self, settings: &QuerySettings) -> (Place, String) {
        let (bytes, limit) = (
            shoal_config::ByteSize(self.bytes()),
            settings.local_max_bytes(),
        );
        if bytes.0 <= limit.0 {
            let reason = format!("it reads {bytes}, at most query.local_max_bytes ({limit})");
            (Place::Scheduler, reason)
        } else {
            let reason = format!("it reads {bytes}, more than query.local_max_bytes ({limit})");
            (Place::Executors, reason)
        }
    }
}

/// What stands above a node of a plan, as far as rows go through it one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Above {
    Nothing,
    Sort,
    Union,
}

/// Whether a sort stands right above a union or below one.
///
/// A task gets some partitions of its stage. Of a union, Ballista gives each input the partitions that
/// are its own, and an input without any shall answer nothing. But below a merge of sorted partitions,
/// or a sort of one partition, nothing is cut, so such an input answers in every task.
fn sorts_union(plan: &LogicalPlan, above: Above) -> bool {
    let here = match (plan, above) {
        (LogicalPlan::Sort(_) | LogicalPlan::Window(_), Above::Union)
        | (LogicalPlan::Union(_), Above::Sort) => return true,
        (LogicalPlan::Sort(_) | LogicalPlan::Window(_), _) => Above::Sort,
        (LogicalPlan::Union(_), _) => Above::Union,
        (LogicalPlan::Aggregate(_) | LogicalPlan::Join(_) | LogicalPlan::Distinct(_), _) => {
            Above::Nothing
        }
        _ => above,
    };
    plan.inputs()
        .into_iter()
        .any(|input| sorts_union(input, here))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(bytes: u64) -> Estimate {
        Estimate {
            scans: vec![ScanEstimate {
                table: "lake.raw.t".into(),
                version: 1,
                files: 1,
                total_files: 2,
                bytes,
            }],
            pinned: None,
        }
    }

    #[test]
    fn small_statements_run_in_the_scheduler_and_large_ones_on_executors() {
        let settings = QuerySettings {
            local_max_bytes: Some(shoal_config::ByteSize(100)),
            ..QuerySettings::default()
        };
        assert_eq!(reads(100).decide(&settings).place, Place::Scheduler);
        assert_eq!(reads(101).decide(&settings).place, Place::Executors);
    }

    #[test]
    fn a_setting_forces_either_place_but_not_for_what_only_the_scheduler_holds() {
        let settings = QuerySettings {
            placement: Placement::Distributed,
            ..QuerySettings::default()
        };
        assert_eq!(reads(1).decide(&settings).place, Place::Executors);
        let pinned = Estimate {
            pinned: Some("it reads the catalog"),
            ..reads(1)
        };
        assert_eq!(pinned.decide(&settings).place, Place::Scheduler);
        let local = QuerySettings {
            placement: Placement::Local,
            ..QuerySettings::default()
        };
        assert_eq!(reads(u64::MAX).decide(&local).place, Place::Scheduler);
    }
}
