//! The `shoal-executor` command: one executor until SIGTERM or SIGINT.

use std::process::ExitCode;

use clap::Parser;
use shoal_config::{ProcessArgs, deepen_stacks, stop_on_signal};
use tokio_util::sync::CancellationToken;

/// Batches are large and live shortly: glibc's allocator gives their pages back and takes them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs stages for a Shoal scheduler.
#[derive(Parser)]
#[command(name = "shoal-executor", version)]
struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
}

fn main() -> ExitCode {
    deepen_stacks();
    match start(&Arguments::parse().process) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-executor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(process: &ProcessArgs) -> Result<(), Box<dyn std::error::Error>> {
    let settings = process.begin()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        Ok(shoal_executor::run(&settings, shutdown).await?)
    })
}
