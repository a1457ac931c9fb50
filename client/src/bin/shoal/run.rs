//! Runs one statement: shows its progress, prints its rows, cancels it on Ctrl-C.

use std::future::Future;
use std::time::Duration;

use futures::TryStreamExt;
use shoal_client::{Client, ClientError, Outcome, RowStream, Statement};

use crate::error::CliError;
use crate::lexer::{Kind, tokens};
use crate::output::{Format, Sink, writer};
use crate::progress::Display;

/// How long Ctrl-C waits for the server to confirm.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// What a statement came to, after its rows were printed.
pub enum Ran {
    /// A query with this many rows.
    Rows(u64),
    /// An update, with the number of rows it changed, if known.
    Affected(Option<u64>),
}

/// How to print.
pub struct Printer {
    /// Format of rows.
    pub format: Format,
    /// Where rows go.
    pub sink: Sink,
    /// Whether results may still be printed: formats that hold one result are full after it.
    pub has_room: bool,
    /// Whether rows and progress share a screen, so that the one must yield to the other.
    pub on_terminal: bool,
}

impl Printer {
    /// Runs `sql` and prints its rows.
    pub async fn run(&mut self, client: &Client, sql: &str) -> Result<Ran, CliError> {
        follow(
            client,
            sql,
            Display::stages(),
            async |outcome, display| match outcome {
                Outcome::Affected(rows) => Ok(Ran::Affected(rows)),
                Outcome::Rows(rows) => self.print(rows, display).await.map(Ran::Rows),
            },
        )
        .await
    }

    async fn print(&mut self, mut rows: RowStream, display: &Display) -> Result<u64, CliError> {
        if !self.has_room {
            return Err(CliError::Usage(
                "this format holds the rows of one statement only; run the statements one by one"
                    .into(),
            ));
        }
        self.has_room = self.format.holds_several();
        let mut count = 0;
        let mut writer = writer(self.format, rows.schema(), self.sink.clone())?;
        while let Some(batch) = rows.try_next().await? {
            if self.on_terminal {
                display.clear();
            }
            count += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        display.clear();
        writer.finish()?;
        Ok(count)
    }
}

/// Runs `sql` with its progress on `display`, and hands what it comes to to `finish`. Ctrl-C
/// cancels it at any time.
pub async fn follow<T>(
    client: &Client,
    sql: &str,
    display: Display,
    finish: impl AsyncFnOnce(Outcome, &Display) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let statement = match unless_interrupted(client.start(sql)).await {
        Ok(started) => started?,
        Err(interrupted) => {
            display.interrupted();
            return Err(interrupted);
        }
    };
    let canceller = statement.canceller();
    let work = async {
        display.follow(statement.progress());
        let outcome = Statement::outcome(statement).await?;
        finish(outcome, &display).await
    };
    match unless_interrupted(work).await {
        Ok(result) => result,
        Err(interrupted) => {
            display.interrupted();
            match tokio::time::timeout(CANCEL_PATIENCE, canceller.cancel()).await {
                Ok(Ok(()) | Err(ClientError::Cancelled)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the server did not cancel"),
                Err(_) => tracing::debug!("the server did not confirm the cancellation in time"),
            }
            Err(interrupted)
        }
    }
}

/// What `work` returns, or [`CliError::Interrupted`] if Ctrl-C comes first.
async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::select! {
        result = work => Ok(result),
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

/// What to say of an update that changed `rows`.
pub fn effect(sql: &str, rows: Option<u64>) -> String {
    let tokens = tokens(sql);
    let first = tokens.iter().find(|token| token.kind == Kind::Word);
    let verb = first.map_or(String::new(), |word| sql[word.span.clone()].to_uppercase());
    let changes_rows = ["COPY", "DELETE", "INSERT", "MERGE", "UPDATE"].contains(&verb.as_str());
    match rows {
        Some(rows) if rows > 0 || changes_rows => format!("{} affected", counted(rows, "row")),
        _ => "done".to_owned(),
    }
}

/// "1 row", "7 rows".
pub fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_change_rows_tell_of_none() {
        assert_eq!(
            effect("insert into t values (1)", Some(1)),
            "1 row affected"
        );
        assert_eq!(
            effect("/* a */ INSERT INTO t SELECT", Some(0)),
            "0 rows affected"
        );
        assert_eq!(effect("CREATE TABLE t (a INT)", Some(0)), "done");
        assert_eq!(
            effect("CREATE TABLE t AS SELECT", Some(7)),
            "7 rows affected"
        );
        assert_eq!(effect("", None), "done");
    }
}
