//! The runtime that tasks execute in: object stores, caches, memory and spill disk.

use std::path::Path;
use std::sync::Arc;

use ballista_executor::runtime_cache::SessionRuntimeCache;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

use crate::error::{ExecutorError, Result};

/// Gives every task a runtime that shares object stores, the cache of Parquet footers and the
/// spill disk with all other tasks, and has a memory pool of its own.
///
/// A task that runs on `n` of the executor's `vcores` gets `n / vcores` of its memory: one task
/// cannot starve another, and all together stay inside the limit.
#[derive(Debug)]
pub(crate) struct TaskRuntimes {
    shared: Arc<RuntimeEnv>,
    bytes_per_vcore: usize,
}

impl TaskRuntimes {
    /// Runtimes that share `memory` bytes among `vcores` and spill at most `max_spill` bytes to
    /// `spill_dir`.
    pub(crate) fn new(
        stores: Arc<dyn ObjectStoreRegistry>,
        memory: u64,
        vcores: usize,
        spill_dir: &Path,
        max_spill: u64,
    ) -> Result<Self> {
        let bytes_per_vcore = usize::try_from(memory / vcores as u64).unwrap_or(usize::MAX);
        if bytes_per_vcore == 0 {
            return Err(ExecutorError::Settings(format!(
                "cluster.executor.memory ({memory} bytes) is too little for {vcores} vcores; \
                 give each at least a few MiB"
            )));
        }
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_path_buf()]))
            .with_max_temp_directory_size(max_spill);
        let shared = RuntimeEnvBuilder::new()
            .with_object_store_registry(stores)
            .with_disk_manager_builder(disk)
            .build_arc()?;
        Ok(Self {
            shared,
            bytes_per_vcore,
        })
    }

    /// The runtime of a task that runs on `vcores` of the executor's.
    pub(crate) fn for_task(&self, vcores: u32) -> datafusion::error::Result<Arc<RuntimeEnv>> {
        let bytes = self.bytes_per_vcore.saturating_mul(vcores.max(1) as usize);
        RuntimeEnvBuilder::from_runtime_env(&self.shared)
            .with_memory_pool(Arc::new(FairSpillPool::new(bytes)))
            .build_arc()
    }
}

impl SessionRuntimeCache for TaskRuntimes {
    fn produce_runtime(
        &self,
        _session_id: &str,
        _config: &SessionConfig,
        vcores_consumed: u32,
    ) -> datafusion::error::Result<Arc<RuntimeEnv>> {
        self.for_task(vcores_consumed)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryLimit;
    use datafusion::execution::object_store::DefaultObjectStoreRegistry;

    use super::*;

    fn runtimes(memory: u64, vcores: usize) -> Result<TaskRuntimes> {
        let stores = Arc::new(DefaultObjectStoreRegistry::new());
        TaskRuntimes::new(stores, memory, vcores, &std::env::temp_dir(), 1 << 20)
    }

    #[test]
    fn tasks_share_the_executors_memory_by_the_vcores_they_take() {
        let runtimes = runtimes(1000, 4).unwrap();
        for (vcores, bytes) in [(1, 250), (3, 750)] {
            let runtime = runtimes.for_task(vcores).unwrap();
            assert!(
                matches!(runtime.memory_pool.memory_limit(), MemoryLimit::Finite(n) if n == bytes)
            );
        }
    }

    #[test]
    fn memory_that_leaves_nothing_for_a_vcore_is_refused() {
        let message = runtimes(3, 4).unwrap_err().to_string();
        assert!(message.contains("cluster.executor.memory"), "{message}");
    }
}
