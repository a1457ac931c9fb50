//! The `shoal-scheduler` command: a scheduler and its front door until SIGTERM or SIGINT.

use std::process::ExitCode;

use clap::Parser;
use shoal_config::{ProcessArgs, deepen_stacks, stop_on_signal};
use tokio_util::sync::CancellationToken;

/// Batches are large and live shortly: glibc's allocator gives their pages back and takes them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plans SQL, spreads it over executors, and serves clients over Arrow Flight SQL.
#[derive(Parser)]
#[command(name = "shoal-scheduler", version)]
struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
}

fn main() -> ExitCode {
    deepen_stacks();
    match start(&Arguments::parse().process) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-scheduler: {error}");
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
        let ran = shoal_scheduler::run(&settings, shutdown, |listening| {
            println!("Shoal is listening at http://{}", listening.front_door);
        });
        Ok(ran.await?)
    })
}
