//! `shoal serve`: scheduler, front door and one executor in this process, until SIGTERM or Ctrl-C.

use shoal_config::{ProcessArgs, Settings, stop_on_signal};
use shoal_scheduler::Listening;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

/// Serves until told to stop. Prints one line to standard output once clients can connect.
pub async fn serve(args: &ProcessArgs) -> Result<(), CliError> {
    let settings = in_one_process(args.begin()?);
    let stop = CancellationToken::new();
    stop_on_signal(&stop).map_err(|source| CliError::File {
        what: "cannot listen for signals".into(),
        source,
    })?;

    // The scheduler stops first: the statements it lets finish need the executor.
    let stop_executor = CancellationToken::new();
    let (ready, listening) = oneshot::channel();
    let scheduler = async {
        let ran = shoal_scheduler::run(&settings, stop.clone(), |listening| {
            // Nobody waits any more if the executor failed meanwhile.
            let _ = ready.send(listening);
        })
        .await;
        stop_executor.cancel();
        ran.map_err(|error| CliError::Serve(error.to_string()))
    };
    let executor = async {
        let Ok(listening) = listening.await else {
            return Ok(()); // The scheduler says why.
        };
        announce(&listening);
        let settings = with_scheduler(&settings, &listening);
        let ran = shoal_executor::run(&settings, stop_executor.clone()).await;
        stop.cancel();
        ran.map_err(|error| CliError::Serve(error.to_string()))
    };
    let (scheduler, executor) = tokio::join!(scheduler, executor);
    scheduler.and(executor)
}

fn announce(listening: &Listening) {
    let url = format!("http://{}", listening.front_door);
    println!("Shoal is listening at {url}; in another terminal: shoal shell --url {url}");
}

/// `settings` with what is different where scheduler and executor are one process: nothing is gained by
/// a job on the executor, so a statement may use as much memory here as it could there.
fn in_one_process(mut settings: Settings) -> Settings {
    let memory = settings.cluster.executor.memory;
    settings.query.local_max_bytes.get_or_insert(memory);
    settings.query.local_memory.get_or_insert(memory);
    settings
}

/// `settings` with the port that the scheduler really has, where they leave the choice to it.
fn with_scheduler(settings: &Settings, listening: &Listening) -> Settings {
    let mut settings = settings.clone();
    settings.cluster.scheduler.port = listening.internal.port();
    settings
}
