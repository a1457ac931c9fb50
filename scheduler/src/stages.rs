//! A picture of a job's stages: how far they are, on whom they depend, what was lost, what was
//! measured.

use std::collections::{HashMap, HashSet};

use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::display::format_stage_metrics;
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::{ExecutionStage, TaskInfo};

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
