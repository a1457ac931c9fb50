//! `shoal sql`: statements from the command line, a file or standard input.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};

use shoal_client::Client;

use crate::args::SqlArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::lexer::{Piece, split};
use crate::output::Sink;
use crate::run::{Printer, Ran, effect};

/// Runs the statements in order and stops at the first that fails.
pub async fn sql(args: &SqlArgs) -> Result<(), CliError> {
    let on_terminal = args.output.is_none() && io::stdout().is_terminal();
    if on_terminal && !args.format.is_text() {
        return Err(CliError::Usage(
            "this format is not text: name a file with -o, or send it to a pipe".into(),
        ));
    }
    let text = statements_text(args)?;
    let client = connect(&args.server).await?;
    let mut printer = Printer {
        format: args.format,
        sink: sink(args)?,
        has_room: true,
        on_terminal,
    };
    let done = run_all(&client, &text, &mut printer).await;
    client.close().await;
    match done.and_then(|()| Ok(printer.sink.flush()?)) {
        // The reader has seen enough: no error for it.
        Err(_) if printer.sink.is_closed() => Ok(()),
        done => done,
    }
}

async fn run_all(client: &Client, text: &str, printer: &mut Printer) -> Result<(), CliError> {
    let split = split(text);
    let several = split.complete.len() + usize::from(split.unfinished.is_some()) > 1;
    for Piece { sql, line } in split.complete.into_iter().chain(split.unfinished) {
        let ran = printer
            .run(client, sql)
            .await
            .map_err(|error| match error {
                CliError::Client(source) if several => CliError::Statement { line, source },
                error => error,
            })?;
        if let Ran::Affected(rows) = ran {
            // Not part of the result, which may go to a program.
            eprintln!("{}", effect(sql, rows));
        }
    }
    Ok(())
}

fn statements_text(args: &SqlArgs) -> Result<String, CliError> {
    if let Some(text) = &args.command {
        return Ok(text.clone());
    }
    let (what, text) = match &args.file {
        Some(file) => (
            format!("cannot read {}", file.display()),
            std::fs::read_to_string(file),
        ),
        None => {
            if io::stdin().is_terminal() {
                eprintln!("Type SQL, then Ctrl-D (`shoal shell` is more comfortable).");
            }
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            ("cannot read standard input".to_owned(), read.map(|_| text))
        }
    };
    text.map_err(|source| CliError::File { what, source })
}

fn sink(args: &SqlArgs) -> Result<Sink, CliError> {
    let Some(path) = &args.output else {
        return Ok(Sink::new(BufWriter::new(io::stdout())));
    };
    let file = File::create(path).map_err(|source| CliError::File {
        what: format!("cannot create {}", path.display()),
        source,
    })?;
    Ok(Sink::new(BufWriter::new(file)))
}
