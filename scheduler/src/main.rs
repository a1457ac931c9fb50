//! The `shoal-scheduler` command: a scheduler and its front door until SIGTERM or SIGINT.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use shoal_config::{Settings, deepen_stacks, logging, stop_on_signal};
use tokio_util::sync::CancellationToken;

/// Batches are large and live shortly: glibc's allocator gives their pages back and takes them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plans SQL, spreads it over executors, and serves clients over Arrow Flight SQL.
#[derive(Parser)]
#[command(name = "shoal-scheduler", version)]
struct Arguments {
    /// Settings file; see config/settings.yaml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Logging file; see config/logging.yaml.
    #[arg(long, value_name = "FILE")]
    logging: Option<PathBuf>,
    /// One setting over the file and the environment, such as flight.port=32011.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = shoal_config::parse_flag)]
    flags: Vec<(String, String)>,
}

fn main() -> ExitCode {
    deepen_stacks();
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-scheduler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(arguments.config.as_deref(), &arguments.flags)?;
    logging::init(arguments.logging.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        let ran = shoal_scheduler::run(&settings, shutdown, |listening| {
            println!("Shoal is listening at http://{}", listening.front_door);
        });
        Ok(ran.await?)
    })
}
