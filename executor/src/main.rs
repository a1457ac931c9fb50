//! The `shoal-executor` command: one executor until SIGTERM or SIGINT.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use shoal_config::{Settings, deepen_stacks, logging, stop_on_signal};
use tokio_util::sync::CancellationToken;

/// Batches are large and live shortly: glibc's allocator gives their pages back and takes them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs stages for a Shoal scheduler.
#[derive(Parser)]
#[command(name = "shoal-executor", version)]
struct Arguments {
    /// Settings file; see config/settings.yaml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Logging file; see config/logging.yaml.
    #[arg(long, value_name = "FILE")]
    logging: Option<PathBuf>,
    /// One setting over the file and the environment, such as cluster.executor.port=50061.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = shoal_config::parse_flag)]
    flags: Vec<(String, String)>,
}

fn main() -> ExitCode {
    deepen_stacks();
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-executor: {error}");
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
        Ok(shoal_executor::run(&settings, shutdown).await?)
    })
}
