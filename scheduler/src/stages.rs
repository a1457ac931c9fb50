//! A picture of a job's stages: how far they are, on whom they depend, what was lost, what was
//! measured.

use std::collections::{HashMap, HashSet};

use ballista_core::execution_plans::compute_global_output_partition_ids;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::display::format_stage_metrics;
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::{ExecutionStage, TaskInfo};
use datafusion::physical_plan::displayable;

use crate::results::{Extent, ResultFile};
use crate::statement::StageProgress;

/// The stages of one job at one moment.
#[derive(Default)]
pub(crate) struct Stages {
    /// Progress of every stage that is known so far, by number.
    pub progress: Vec<StageProgress>,
    /// Executors that ran or run a task of the job.
    pub executors: HashSet<String>,
    /// Why output of a stage is gone, if it is: adaptive execution does not produce it again.
    pub lost_output: Option<String>,
    /// The files that rows of the result are or will be in, as far as their tasks have started.
    pub results: Vec<(ResultFile, Extent)>,
    /// Tasks of the last stage that failed and run again under another number.
    pub repeated: HashSet<u64>,
    running: Vec<(String, u32)>,
}

impl Stages {
    /// Reads them off a job's execution graph.
    pub(crate) fn of(graph: &dyn ExecutionGraph) -> Self {
        let mut stages = Self::default();
        let mut numbered: Vec<_> = graph.stages().iter().collect();
        numbered.sort_by_key(|(number, _)| **number);
        for (number, stage) in numbered {
            stages.add(*number, stage);
        }
        if let Some(number) = last_stage(graph)
            && let Some(stage) = graph.stages().get(&number)
        {
            stages.results = results(number, stage);
            stages.repeated = repeated(stage);
        }
        stages
    }

    /// Adds the vcores that running tasks take, by executor.
    pub(crate) fn count_vcores(&self, used: &mut HashMap<String, u32>) {
        for (executor, vcores) in &self.running {
            *used.entry(executor.clone()).or_default() += vcores;
        }
    }

    fn add(&mut self, number: usize, stage: &ExecutionStage) {
        let tasks = match stage {
            ExecutionStage::UnResolved(_) => None,
            ExecutionStage::Resolved(stage) => Some(stage.partitions),
            ExecutionStage::Running(stage) => Some(stage.partitions),
            ExecutionStage::Successful(stage) => Some(stage.partitions),
            ExecutionStage::Failed(stage) => Some(stage.partitions),
        };
        let mut done = 0;
        for task in stage.task_infos().unwrap_or_default() {
            done += self.add_task(task);
        }
        if let Some(tasks) = tasks {
            if matches!(stage, ExecutionStage::Successful(_)) {
                done = tasks;
            }
            self.progress.push(StageProgress {
                id: number,
                tasks,
                done: done.min(tasks),
            });
        }
    }

    /// Takes a task into account; returns how many partitions it is done with.
    fn add_task(&mut self, task: &TaskInfo) -> usize {
        match &task.task_status {
            Status::Running(running) => {
                self.executors.insert(running.executor_id.clone());
                self.running
                    .push((running.executor_id.clone(), task.vcores_consumed));
                0
            }
            Status::Successful(successful) => {
                self.executors.insert(successful.executor_id.clone());
                task.global_input_partition_ids.len()
            }
            Status::Failed(failed) => {
                let is_loss = matches!(
                    failed.failed_reason,
                    Some(
                        FailedReason::ResultLost(_)
                            | FailedReason::ExecutorLost(_)
                            | FailedReason::FetchPartitionError(_)
                    )
                );
                if is_loss {
                    self.lost_output.get_or_insert_with(|| failed.error.clone());
                }
                0
            }
        }
    }
}

/// Number of the stage whose output is the result, once it is known.
///
/// The root of Ballista's adaptive plan knows it. Its type is private, so its text has to do; where
/// that tells nothing, the result is read when the job is done.
fn last_stage(graph: &dyn ExecutionGraph) -> Option<usize> {
    let plan = graph.physical_plan();
    let root = displayable(plan.as_ref()).one_line().to_string();
    let properties = root.strip_prefix("AdaptiveDatafusionExec:")?;
    let number = properties
        .split(", ")
        .find_map(|p| p.strip_prefix("stage_id="));
    number?.parse().ok()
}

/// The files that the tasks of a stage have written, or are writing.
fn results(number: usize, stage: &ExecutionStage) -> Vec<(ResultFile, Extent)> {
    let plan = match stage {
        ExecutionStage::Running(stage) => &stage.plan,
        ExecutionStage::Successful(stage) => &stage.plan,
        ExecutionStage::Failed(stage) => &stage.plan,
        ExecutionStage::UnResolved(_) | ExecutionStage::Resolved(_) => return Vec::new(),
    };
    let tasks = stage.task_infos().unwrap_or_default();
    let of_task = |task: &TaskInfo| {
        let file = |executor: &str, partition: usize| ResultFile {
            stage: number,
            partition,
            task: task.task_id as u64,
            executor: executor.to_string(),
        };
        match &task.task_status {
            Status::Running(running) => {
                let inputs = &task.global_input_partition_ids;
                let partitions = compute_global_output_partition_ids(plan, inputs).into_iter();
                let growing = |part| (file(&running.executor_id, part), Extent::Growing);
                partitions.map(growing).collect()
            }
            Status::Failed(_) => Vec::new(),
            Status::Successful(done) => {
                let written = done.partitions.iter();
                let written = written.map(|part| {
                    let file = file(&done.executor_id, part.partition_id as usize);
                    let (bytes, rows) = (part.num_bytes, part.num_rows);
                    (file, Extent::Complete { bytes, rows })
                });
                written.collect()
            }
        }
    };
    tasks.iter().flat_map(of_task).collect()
}

/// The tasks of a stage that failed and run again under another number.
fn repeated(stage: &ExecutionStage) -> HashSet<u64> {
    let tasks = stage.task_infos().unwrap_or_default().iter();
    let failed = tasks.filter(|task| match &task.task_status {
        Status::Failed(failed) => failed.retryable,
        _ => false,
    });
    failed.map(|task| task.task_id as u64).collect()
}

/// The stages that ran to their end, in order: a title and the plan with the metrics of all tasks.
pub(crate) fn measured(graph: &dyn ExecutionGraph) -> Vec<(String, String)> {
    let mut numbered: Vec<_> = graph.stages().iter().collect();
    numbered.sort_by_key(|(number, _)| **number);
    numbered
        .into_iter()
        .filter_map(|(number, stage)| match stage {
            ExecutionStage::Successful(stage) => {
                let plan = format_stage_metrics(stage.plan.as_ref(), &stage.stage_metrics);
                let text = format!("{}\n{plan}", summary(&stage.task_infos));
                Some((format!("stage {number}"), text))
            }
            _ => None,
        })
        .collect()
}

/// How many tasks there were, where, and from the start of the first to the end of the last.
fn summary(tasks: &[TaskInfo]) -> String {
    let executors: HashSet<&str> = tasks
        .iter()
        .filter_map(|task| match &task.task_status {
            Status::Successful(task) => Some(task.executor_id.as_str()),
            _ => None,
        })
        .collect();
    let began = tasks.iter().map(|task| task.start_exec_time).min();
    let ended = tasks.iter().map(|task| task.end_exec_time).max();
    let millis = ended.unwrap_or(0).saturating_sub(began.unwrap_or(0));
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "{} task{} on {} executor{}, {millis} ms",
        tasks.len(),
        plural(tasks.len()),
        executors.len(),
        plural(executors.len())
    )
}
