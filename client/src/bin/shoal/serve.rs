//! `shoal serve`: scheduler, front door and one executor in this process, until SIGTERM or Ctrl-C.

use shoal_config::{Settings, logging};
use shoal_scheduler::Listening;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::error::CliError;

/// Serves until told to stop. Prints one line to standard output once clients can connect.
pub async fn serve(args: &ServeArgs) -> Result<(), CliError> {
    let settings = Settings::load(args.config.as_deref(), &args.settings)?;
    logging::init(args.logging.as_deref())?;
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;

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

/// `settings` with the port that the scheduler really has, where they leave the choice to it.
fn with_scheduler(settings: &Settings, listening: &Listening) -> Settings {
    let mut settings = settings.clone();
    settings.cluster.scheduler.port = listening.internal.port();
    settings
}

/// Cancels `stop` on SIGTERM, and on SIGINT.
fn stop_on_signal(stop: &CancellationToken) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        what: "cannot listen for signals".into(),
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
