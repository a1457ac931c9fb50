//! `shoal status`: executors, slots, memory and jobs.

use std::io::{self, BufWriter, IsTerminal, Write};

use crate::args::ServerArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::output::{Format, Sink};
use crate::run::Printer;

/// Prints what the server says about its executors and jobs.
pub async fn status(args: &ServerArgs) -> Result<(), CliError> {
    let client = connect(args).await?;
    let mut printer = Printer {
        format: Format::Table,
        sink: Sink::new(BufWriter::new(io::stdout())),
        has_room: true,
        on_terminal: io::stdout().is_terminal(),
    };
    let shown = async {
        for (heading, sql) in [("Executors", "SHOW EXECUTORS"), ("Jobs", "SHOW JOBS")] {
            writeln!(printer.sink, "{heading}")?;
            printer.run(&client, sql).await?;
        }
        Ok(printer.sink.flush()?)
    }
    .await;
    client.close().await;
    match shown {
        Err(_) if printer.sink.is_closed() => Ok(()),
        shown => shown,
    }
}
