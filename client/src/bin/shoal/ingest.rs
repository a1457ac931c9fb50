//! `shoal ingest`: takes files into tables by `COPY INTO`.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use shoal_client::{Outcome, Progress};

use crate::args::ImageArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::lexer::{Kind, tokens};
use crate::progress::Display;
use crate::run::{counted, follow};

/// Takes the images below a folder or URL into a table.
pub async fn images(args: &ImageArgs) -> Result<(), CliError> {
    let sql = statement(args)?;
    let client = connect(&args.server).await?;
    let start = Instant::now();
    let done = follow(
        &client,
        &sql,
        Display::ingest(),
        async |outcome, display| {
            let taken_in = match outcome {
                Outcome::Affected(rows) => rows,
                Outcome::Rows(_) => None,
            };
            Ok(summary(taken_in, &display.latest(), start.elapsed()))
        },
    )
    .await;
    client.close().await;
    println!("{}", done?);
    Ok(())
}

fn statement(args: &ImageArgs) -> Result<String, CliError> {
    let is_name = tokens(&args.into).iter().all(|token| {
        let part_of_name = matches!(token.kind, Kind::Word | Kind::QuotedName | Kind::Number);
        part_of_name && token.closed || &args.into[token.span.clone()] == "."
    });
    if !is_name || args.into.is_empty() {
        return Err(CliError::Usage(format!(
            "\"{}\" is not a table name; write --into schema.table",
            args.into
        )));
    }
    Ok(format!(
        "COPY INTO {} FROM '{}' FILEFORMAT = IMAGE",
        args.into,
        source(&args.source)?.replace('\'', "''")
    ))
}

/// URLs as they are, local paths made absolute: the server has another current folder.
fn source(given: &str) -> Result<String, CliError> {
    if given.contains("://") {
        return Ok(given.to_owned());
    }
    let absolute = Path::new(given)
        .canonicalize()
        .map_err(|source| CliError::File {
            what: format!("cannot read {given}"),
            source,
        })?;
    match absolute.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => Err(CliError::Usage(format!(
            "the path {} is not UTF-8",
            absolute.display()
        ))),
    }
}

/// What came of it, in a line or two.
fn summary(taken_in: Option<u64>, progress: &Progress, elapsed: Duration) -> String {
    let mut line = match taken_in {
        Some(rows) => format!("{} taken in", counted(rows, "image")),
        None => "done".to_owned(),
    };
    if let Some(bytes) = progress.bytes {
        let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
        line += &format!(", {} at {}/s", HumanBytes(bytes), HumanBytes(rate as u64));
    }
    line += &format!(" ({:.1} s)", elapsed.as_secs_f64());
    line
}
