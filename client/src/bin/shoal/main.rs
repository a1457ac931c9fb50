//! The `shoal` command: SQL from the command line and interactively, ingest, status, and a whole
//! server in one process.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 130 cancelled by Ctrl-C.

mod args;
mod connect;
mod error;
mod ingest;
mod lexer;
mod output;
mod pipeline;
mod progress;
mod run;
mod serve;
mod shell;
mod sql;
mod status;
mod terminal;
mod totals;

use std::process::ExitCode;

use clap::Parser;

use shoal_scheduler::auth;

use crate::args::{Command, CommandLine, HashArgs, Ingest, Pipeline};
use crate::error::CliError;

/// Batches are large and live shortly: glibc's allocator gives their pages back and takes them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shoal_config::deepen_stacks();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    // Ends the process with code 2 and an explanation if the command line is wrong.
    let command = CommandLine::parse().command;
    let done = match &command {
        Command::Sql(args) => sql::sql(args).await,
        Command::Shell(args) => shell::shell(args).await,
        Command::Ingest(Ingest::Images(args)) => ingest::images(args).await,
        Command::Pipeline(Pipeline::Run(args)) => pipeline::run(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::HashPassword(args) => hash_password(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

fn hash_password(args: &HashArgs) -> Result<(), CliError> {
    let secret = connect::secret_from_input()?;
    let hash = match args.token {
        true => auth::hash_token(secret.expose()),
        false => auth::hash_password(secret.expose()),
    };
    println!(
        "{}",
        hash.map_err(|error| CliError::Usage(error.to_string()))?
    );
    Ok(())
}
