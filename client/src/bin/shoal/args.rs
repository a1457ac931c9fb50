//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use shoal_config::ProcessArgs;

use crate::output::Format;

/// Shoal: SQL over tables and images in a lake.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run SQL statements and print their results.
    Sql(SqlArgs),
    /// Type SQL interactively.
    Shell(ServerArgs),
    /// Take files into tables.
    #[command(subcommand)]
    Ingest(Ingest),
    /// From images to features to classes, step by step.
    #[command(subcommand)]
    Pipeline(Pipeline),
    /// Show executors and jobs.
    Status(ServerArgs),
    /// Run every role in this process: scheduler, executor and front door.
    Serve(ProcessArgs),
    /// Hash a password for the users file; reads it from the terminal or from standard input.
    HashPassword(HashArgs),
}

/// Which server, and as whom.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address of the server.
    #[arg(long, env = "SHOAL_URL", default_value = "http://127.0.0.1:32010")]
    pub url: String,
    /// User to sign in as; the password comes from SHOAL_PASSWORD or a prompt.
    #[arg(long, env = "SHOAL_USER", conflicts_with = "token")]
    pub user: Option<String>,
    /// Bearer token to sign in with.
    #[arg(long, env = "SHOAL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// `shoal sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// Statements, separated by semicolons.
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub command: Option<String>,
    /// File of statements; without -c and -f they are read from standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to print rows.
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Write the rows to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `shoal ingest`.
#[derive(Debug, Subcommand)]
pub enum Ingest {
    /// Take images into a table, with their size, type and content hash.
    ///
    /// Takes in only what is new or changed. Files that are not whole images are listed with the
    /// reason in the table of rejects, next to the target.
    Images(ImageArgs),
}

/// `shoal ingest images`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Folder, or URL of an object store such as s3://bucket/prefix. The executors read it: a
    /// folder must be at the same place on their machines.
    pub source: String,
    /// Table to take them into.
    #[arg(long, value_name = "TABLE", default_value = "raw.images")]
    pub into: String,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `shoal pipeline`.
#[derive(Debug, Subcommand)]
pub enum Pipeline {
    /// Run the steps of a file one after the other.
    ///
    /// Each step does only what is not done yet. Run it again after new images have come, and after
    /// a failure: it goes on where it was.
    Run(PipelineArgs),
}

/// `shoal pipeline run`.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// YAML file with a name and steps, such as config/pipelines/features.yaml.
    pub file: PathBuf,
    /// Print the steps as SQL and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `shoal hash-password`.
#[derive(Debug, Args)]
pub struct HashArgs {
    /// Hash a bearer token instead, for programs: at least 32 random characters.
    #[arg(long)]
    pub token: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
