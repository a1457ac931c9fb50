//! `shoal shell`: SQL typed interactively.
//!
//! Ctrl-C cancels the running statement, or drops the typed one; Ctrl-D or `\q` ends the shell.

mod commands;
mod complete;
mod editor;
mod highlight;
mod names;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use reedline::Signal;
use shoal_client::{Client, ClientError};

use crate::args::ServerArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::lexer::split;
use crate::output::{Format, Sink};
use crate::run::{Printer, Ran, counted, effect};
use crate::terminal::EchoOff;
use commands::Command;
use names::Names;

/// Reads and runs statements until the user leaves.
pub async fn shell(args: &ServerArgs) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "the shell needs a terminal; `shoal sql` reads statements from a pipe".into(),
        ));
    }
    let client = connect(args).await?;
    let mut shell = Shell {
        server: args,
        client,
        names: Arc::default(),
        timing: true,
        printer: Printer {
            format: Format::Table,
            sink: Sink::new(io::stdout()),
            has_room: true,
            on_terminal: true,
        },
    };
    println!(
        "Shoal {} at {}. Statements end with a semicolon; type help for more.",
        env!("CARGO_PKG_VERSION"),
        args.url
    );
    shell.refresh_names();
    let mut editor = editor::editor(Arc::clone(&shell.names));
    loop {
        let typed = tokio::task::block_in_place(|| editor.read_line(&editor::Prompt));
        match typed {
            Ok(Signal::Success(text)) => {
                if shell.obey(&text).await.is_none() {
                    break;
                }
            }
            Ok(Signal::CtrlD) => break,
            Ok(_) => {}
            Err(source) => {
                return Err(CliError::File {
                    what: "cannot read from the terminal".into(),
                    source,
                });
            }
        }
    }
    shell.client.close().await;
    Ok(())
}

struct Shell<'a> {
    server: &'a ServerArgs,
    client: Client,
    names: Arc<RwLock<Names>>,
    timing: bool,
    printer: Printer,
}

impl Shell<'_> {
    /// Does what was typed; `None` to leave.
    async fn obey(&mut self, typed: &str) -> Option<()> {
        match Command::parse(typed) {
            None => self.run_all(typed).await,
            Some(Err(message)) => eprintln!("error: {message}"),
            Some(Ok(Command::Quit)) => return None,
            Some(Ok(Command::Help)) => println!("{}", commands::HELP),
            Some(Ok(Command::Timing(on))) => {
                self.timing = on.unwrap_or(!self.timing);
                println!("timing is {}", if self.timing { "on" } else { "off" });
            }
            Some(Ok(Command::Format(format))) => {
                self.printer.format = format;
                println!("rows are printed as {}", commands::format_name(format));
            }
            Some(Ok(Command::Query(sql))) => {
                self.run(&sql).await;
            }
        }
        Some(())
    }

    /// Runs the statements of `text` up to the first that fails.
    async fn run_all(&mut self, text: &str) {
        for piece in split(text).complete {
            if !self.run(piece.sql).await {
                return;
            }
        }
    }

    /// Runs one statement and says what came of it; whether it succeeded.
    async fn run(&mut self, sql: &str) -> bool {
        let start = Instant::now();
        let _echo_off = EchoOff::new();
        let ran = self.printer.run(&self.client, sql).await;
        let flushed = self.printer.sink.flush();
        let result = match (ran, flushed) {
            (Ok(Ran::Rows(rows)), Ok(())) => counted(rows, "row"),
            // Also USE, after which other names need no prefix.
            (Ok(Ran::Affected(rows)), Ok(())) => {
                self.refresh_names();
                effect(sql, rows)
            }
            (Err(CliError::Interrupted), _) => "cancelled".into(),
            (Err(error), _) => {
                eprintln!("error: {error}");
                if let CliError::Client(ClientError::Unauthenticated(_)) = error {
                    self.sign_in_again().await;
                }
                return false;
            }
            (_, Err(error)) => {
                eprintln!("error: {error}");
                return false;
            }
        };
        match self.timing {
            true => println!("{result} ({:.3} s)", start.elapsed().as_secs_f64()),
            false => println!("{result}"),
        }
        result != "cancelled"
    }

    /// Sessions end after a time unused, and with the server.
    async fn sign_in_again(&mut self) {
        match connect(self.server).await {
            Ok(client) => {
                self.client = client;
                eprintln!("signed in again; what SET and USE had changed is as at the start");
            }
            Err(error) => eprintln!("error: {error}"),
        }
    }

    /// Fetches the names that completion offers, in the background.
    fn refresh_names(&self) {
        let (client, names) = (self.client.clone(), Arc::clone(&self.names));
        tokio::spawn(async move {
            match Names::load(&client).await {
                Ok(loaded) => *names.write() = loaded,
                Err(error) => tracing::debug!(%error, "no names to complete"),
            }
        });
    }
}
