//! The `shoal` command: SQL from the command line and interactively, ingest, and status.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 130 cancelled by Ctrl-C.

mod args;
mod connect;
mod error;
mod ingest;
mod lexer;
mod output;
mod progress;
mod run;
mod shell;
mod sql;
mod status;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, CommandLine, Ingest};

#[tokio::main]
async fn main() -> ExitCode {
    // Ends the process with code 2 and an explanation if the command line is wrong.
    let command = CommandLine::parse().command;
    let done = match &command {
        Command::Sql(args) => sql::sql(args).await,
        Command::Shell(args) => shell::shell(args).await,
        Command::Ingest(Ingest::Images(args)) => ingest::images(args).await,
        Command::Status(args) => status::status(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}
