//! `shoal ingest`: takes files into tables by `COPY INTO`.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use indicatif::HumanBytes;
use shoal_client::Outcome;

use crate::args::ImageArgs;
use crate::connect::connect;
use crate::error::CliError;
use crate::lexer::{Kind, tokens};
use crate::progress::Display;
use crate::run::{counted, follow};
use crate::totals::total;

/// Takes the images below a folder or URL into a table.
pub async fn images(args: &ImageArgs) -> Result<(), CliError> {
    let sql = statement(args)?;
    let client = connect(&args.server).await?;
    let start = Instant::now();
    let done = follow(&client, &sql, Display::ingest(), async |outcome, _| {
        let Outcome::Rows(rows) = outcome else {
            return Ok("done".to_owned());
        };
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        Ok(summary(&batches, &args.into, start.elapsed()))
    })
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

/// What came of it, from the totals with which `COPY INTO` answers.
fn summary(batches: &[RecordBatch], table: &str, elapsed: Duration) -> String {
    let total = |name| total(batches, name);
    let bytes = total("bytes");
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!(
        "{} taken in, {} rejected, {} unchanged; {} in {:.1} s ({}/s)",
        counted(total("ingested"), "image"),
        total("rejected"),
        total("unchanged"),
        HumanBytes(bytes),
        elapsed.as_secs_f64(),
        HumanBytes(rate as u64)
    );
    if total("rejected") > 0 {
        text += &format!("\nwhy: SELECT path, reason, detail FROM {table}_rejected");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn the_summary_counts_and_says_where_the_reasons_are() {
        let count = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        let totals = RecordBatch::try_from_iter([
            ("ingested", count(22)),
            ("rejected", count(4)),
            ("unchanged", count(0)),
            ("bytes", count(3 << 20)),
        ])
        .unwrap();
        assert_eq!(
            summary(&[totals], "raw.images", Duration::from_secs(2)),
            "22 images taken in, 4 rejected, 0 unchanged; 3.00 MiB in 2.0 s (1.50 MiB/s)\n\
             why: SELECT path, reason, detail FROM raw.images_rejected"
        );
    }

    #[test]
    fn a_target_that_is_no_table_name_is_refused() {
        let args = |into: &str| ImageArgs {
            source: "s3://bucket/it's".into(),
            into: into.into(),
            server: crate::args::ServerArgs {
                url: String::new(),
                user: None,
                token: None,
            },
        };
        assert_eq!(
            statement(&args("raw.`my images`")).unwrap(),
            "COPY INTO raw.`my images` FROM 's3://bucket/it''s' FILEFORMAT = IMAGE"
        );
        for into in ["", "raw.images; DROP TABLE x", "a b", "`a"] {
            assert!(statement(&args(into)).is_err(), "{into}");
        }
    }
}
