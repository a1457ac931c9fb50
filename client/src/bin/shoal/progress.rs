//! Shows on standard error how far a statement is: a bar that redraws on a terminal; elsewhere
//! nothing for queries, and a line now and then for ingest.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal_client::Progress;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::terminal;

/// Statements quicker than this show no bar at all.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often the bar's clock and spinner move.
const TICK: Duration = Duration::from_millis(120);
/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one statement on standard error. Dropping it clears it.
pub struct Display {
    bar: ProgressBar,
    describe: fn(&Progress, Duration) -> String,
    /// Whether to print plain lines where no bar can be drawn.
    plain_lines: bool,
    /// Whether the bar is on the screen.
    drawn: Arc<AtomicBool>,
    task: parking_lot::Mutex<Option<AbortHandle>>,
}

impl Display {
    /// For any statement: stages and tasks.
    pub fn stages() -> Self {
        Self::new(describe_stages, false)
    }

    /// For the ingest of images: files, bytes, rejects and rate.
    pub fn ingest() -> Self {
        Self::new(describe_ingest, !stderr().is_terminal())
    }

    /// For a step of a pipeline: images, rejects and rate.
    pub fn pipeline() -> Self {
        Self::new(describe_pipeline, !stderr().is_terminal())
    }

    fn new(describe: fn(&Progress, Duration) -> String, plain_lines: bool) -> Self {
        let target = match stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {elapsed} {msg}"));
        Self {
            bar,
            describe,
            plain_lines,
            drawn: Arc::default(),
            task: parking_lot::Mutex::new(None),
        }
    }

    /// Shows `progress` from now on.
    pub fn follow(&self, progress: watch::Receiver<Progress>) {
        let task = match self.plain_lines {
            true => tokio::spawn(print_lines(progress, self.describe)),
            false => {
                let drawn = Arc::clone(&self.drawn);
                tokio::spawn(draw(self.bar.clone(), drawn, progress, self.describe))
            }
        };
        *self.task.lock() = Some(task.abort_handle());
    }

    /// Takes the bar off the screen after Ctrl-C. The terminal may have shown it as `^C`: behind the
    /// bar, which fills its line, so on the line below; or where no bar is, behind whatever was
    /// printed last.
    pub fn interrupted(&self) {
        if stderr().is_terminal() && terminal::echoes() {
            match self.drawn.load(Ordering::Relaxed) {
                true => eprint!("\r\x1b[2K\x1b[1A"),
                false => eprintln!(),
            }
        }
        self.clear();
    }

    /// Takes the bar off the screen for good.
    pub fn clear(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
            self.bar.finish_and_clear();
            self.drawn.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

async fn draw(
    bar: ProgressBar,
    drawn: Arc<AtomicBool>,
    mut progress: watch::Receiver<Progress>,
    describe: fn(&Progress, Duration) -> String,
) {
    tokio::time::sleep(PATIENCE).await;
    bar.enable_steady_tick(TICK);
    drawn.store(true, Ordering::Relaxed);
    loop {
        {
            let now = progress.borrow_and_update();
            let (done, known) = share(&now);
            if known > 0 {
                bar.set_style(style("{spinner} {elapsed} [{bar:24}] {msg}"));
                bar.set_length(known);
                bar.set_position(done);
            }
            bar.set_message(describe(&now, bar.elapsed()));
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

async fn print_lines(
    progress: watch::Receiver<Progress>,
    describe: fn(&Progress, Duration) -> String,
) {
    let start = Instant::now();
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        eprintln!("{}", describe(&progress.borrow(), start.elapsed()));
    }
}

/// A style from a template; the templates of this file are valid.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

/// How much is done of how much: files where they are counted, otherwise tasks.
fn share(progress: &Progress) -> (u64, u64) {
    match (progress.files, progress.total_files) {
        (Some(done), Some(all)) => (done, all),
        _ => {
            let (done, known) = progress.tasks();
            (done as u64, known as u64)
        }
    }
}

fn describe_stages(progress: &Progress, _: Duration) -> String {
    let (done, known) = progress.tasks();
    if known == 0 {
        return progress.state.clone();
    }
    let stages = progress.stages.len();
    let finished = progress
        .stages
        .iter()
        .filter(|stage| stage.done == stage.tasks)
        .count();
    format!("{done}/{known} tasks, {finished}/{stages} stages")
}

fn describe_ingest(progress: &Progress, elapsed: Duration) -> String {
    let Some(files) = progress.files else {
        return describe_stages(progress, elapsed);
    };
    let of_all = progress
        .total_files
        .map_or(String::new(), |all| format!("/{}", HumanCount(all)));
    let bytes = progress.bytes.unwrap_or_default();
    let rejects = progress.rejects.unwrap_or_default();
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    format!(
        "{}{of_all} files, {}, {} rejected, {}/s",
        HumanCount(files),
        HumanBytes(bytes),
        HumanCount(rejects),
        HumanBytes(rate as u64)
    )
}

fn describe_pipeline(progress: &Progress, elapsed: Duration) -> String {
    let (Some(done), Some(all)) = (progress.files, progress.total_files) else {
        return describe_stages(progress, elapsed);
    };
    let rejects = progress.rejects.unwrap_or_default();
    let worked = progress.ingested.unwrap_or_default() + rejects;
    let rate = worked as f64 / elapsed.as_secs_f64().max(0.001);
    let tasks = describe_stages(progress, elapsed);
    format!(
        "{}/{} images, {} rejected, {rate:.0}/s; {tasks}",
        HumanCount(done),
        HumanCount(all),
        HumanCount(rejects)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_client::Stage;

    #[test]
    fn stages_are_counted_finished_when_all_their_tasks_are() {
        let mut progress = Progress {
            state: "running".into(),
            ..Progress::default()
        };
        assert_eq!(describe_stages(&progress, Duration::ZERO), "running");
        progress.stages = vec![
            Stage {
                id: 1,
                tasks: 4,
                done: 4,
            },
            Stage {
                id: 2,
                tasks: 2,
                done: 1,
            },
        ];
        assert_eq!(
            describe_stages(&progress, Duration::ZERO),
            "5/6 tasks, 1/2 stages"
        );
    }

    #[test]
    fn ingest_shows_files_bytes_rejects_and_rate() {
        let progress = Progress {
            files: Some(1200),
            total_files: Some(2000),
            bytes: Some(3 << 20),
            rejects: Some(2),
            ..Progress::default()
        };
        assert_eq!(share(&progress), (1200, 2000));
        assert_eq!(
            describe_ingest(&progress, Duration::from_secs(3)),
            "1,200/2,000 files, 3.00 MiB, 2 rejected, 1.00 MiB/s"
        );
    }

    #[test]
    fn a_pipeline_shows_images_rejects_and_the_rate_of_what_was_worked_on() {
        let progress = Progress {
            state: "running".into(),
            files: Some(1200),
            total_files: Some(2000),
            ingested: Some(298),
            rejects: Some(2),
            ..Progress::default()
        };
        assert_eq!(
            describe_pipeline(&progress, Duration::from_secs(3)),
            "1,200/2,000 images, 2 rejected, 100/s; running"
        );
    }

    #[test]
    fn every_template_is_valid() {
        for template in [
            "{spinner} {elapsed} {msg}",
            "{spinner} {elapsed} [{bar:24}] {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
