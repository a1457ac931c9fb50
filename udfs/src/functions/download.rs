//! `url_download(url)`: the bytes of files whose URLs stand in a column.
//!
//! How a file is fetched, and which may be, is the business of [`Download`], which whoever registers the
//! function gives. It is an ordinary function that waits, and no asynchronous one of DataFusion: those are
//! computed for every row before the expression they stand in, so that the branches of `CASE` and the
//! operands of `AND` would no longer keep files from being fetched, and aggregates refuse them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// Its name in SQL.
pub const URL_DOWNLOAD: &str = "url_download";

/// Fetches the files at the given URLs: for each, in order, its bytes or in words why there are none. An
/// error means that one of them may not be fetched.
pub type Download =
    dyn Fn(&[&str]) -> Result<Vec<std::result::Result<Buffer, String>>> + Send + Sync;

/// The function `url_download`, which fetches files with `download`.
pub fn url_download(download: Arc<Download>) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Stable);
    ScalarUDF::new_from_impl(UrlDownload {
        download,
        signature: signature
            .clone()
            .with_parameter_names(vec!["url", "on_error"])
            .unwrap_or(signature),
        documentation: documentation(),
    })
}

const INPUT: DocSection = DocSection {
    include: true,
    label: "Input functions",
    description: Some(
        "They fetch files. `read_images`, a table function, is told of in [SQL](sql.md#images).",
    ),
};

fn documentation() -> Documentation {
    let sql =
        "SELECT image_width(url_download('https://images.example.com/coffee-01.jpg')) AS width;";
    Documentation::builder(
        INPUT,
        "The bytes of the file at a URL: `http://` and `https://` where the setting `images.url_allow` \
         lists them, which is nowhere unless set, and the object stores of the settings. NULL if the file \
         is not there, is larger than `images.max_file_bytes` or takes longer than \
         `images.url_timeout_seconds`. A URL that is not allowed ends the query in an error. A file is \
         fetched for every row, in batches of 32.",
        "url_download(url [, on_error])",
    )
    .with_argument("url", "STRING.")
    .with_argument("on_error", "`'null'`, or `'raise'` to end the query in an error.")
    .with_sql_example(format!("```sql\n{sql}\n```"))
    .build()
}

struct UrlDownload {
    download: Arc<Download>,
    signature: Signature,
    documentation: Documentation,
}

impl fmt::Debug for UrlDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlDownload").finish_non_exhaustive()
    }
}

impl PartialEq for UrlDownload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.download, &other.download)
    }
}

impl Eq for UrlDownload {}

impl Hash for UrlDownload {
    fn hash<H: Hasher>(&self, state: &mut H) {
        URL_DOWNLOAD.hash(state);
    }
}

/// Whether failures are raised, from the second argument.
fn raises(on_error: Option<&ScalarValue>) -> Result<bool> {
    let Some(on_error) = on_error else {
        return Ok(false);
    };
    match on_error.try_as_str() {
        Some(None | Some("null")) => Ok(false),
        Some(Some("raise")) => Ok(true),
        _ if on_error.is_null() => Ok(false),
        _ => plan_err!("{URL_DOWNLOAD}: on_error is 'null' or 'raise', not {on_error}"),
    }
}

impl ScalarUDFImpl for UrlDownload {
    fn name(&self) -> &str {
        URL_DOWNLOAD
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |given: &DataType| given.is_string() || given.is_null();
        match arg_types {
            [_] | [_, _] if arg_types.iter().all(is_text) => {
                Ok(vec![DataType::Utf8; arg_types.len()])
            }
            [url] | [url, _] if !is_text(url) => {
                plan_err!("{URL_DOWNLOAD} takes a URL as STRING, not {url}")
            }
            _ => plan_err!("{URL_DOWNLOAD} takes a URL and on_error => 'null' or 'raise'"),
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.scalar_arguments.get(1) {
            Some(None) => return plan_err!("{URL_DOWNLOAD}: on_error is a constant"),
            Some(Some(on_error)) => raises(Some(on_error)).map(drop)?,
            None => {}
        }
        Ok(Arc::new(Field::new(URL_DOWNLOAD, DataType::Binary, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let raises = match args.args.get(1) {
            Some(ColumnarValue::Scalar(on_error)) => raises(Some(on_error))?,
            Some(ColumnarValue::Array(_)) => {
                return plan_err!("{URL_DOWNLOAD}: on_error is a constant");
            }
            None => false,
        };
        match args.args.first() {
            Some(ColumnarValue::Scalar(url)) => {
                let file = self.files(&url.to_array()?, raises)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &file, 0,
                )?))
            }
            Some(ColumnarValue::Array(urls)) => Ok(ColumnarValue::Array(self.files(urls, raises)?)),
            None => plan_err!("{URL_DOWNLOAD} needs a URL"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

impl UrlDownload {
    /// The file of each URL.
    fn files(&self, urls: &ArrayRef, raises: bool) -> Result<ArrayRef> {
        let urls = cast(urls, &DataType::Utf8)?;
        let urls = urls.as_string::<i32>();
        let given: Vec<&str> = urls.iter().flatten().collect();
        let fetched = match given.is_empty() {
            true => Vec::new(),
            false => (self.download)(&given)?,
        };
        let bytes: usize = fetched.iter().flatten().map(Buffer::len).sum();
        if i32::try_from(bytes).is_err() {
            return exec_err!(
                "{URL_DOWNLOAD}: {} files of a batch have more than 2 GiB together; lower the setting \
                 images.max_file_bytes or, for this session, datafusion.execution.batch_size",
                given.len()
            );
        }
        let mut fetched = fetched.into_iter();
        let mut files = BinaryBuilder::with_capacity(urls.len(), bytes);
        for url in urls {
            match url.and_then(|_| fetched.next()) {
                Some(Ok(file)) => files.append_value(&file),
                Some(Err(reason)) if raises => {
                    return exec_err!(
                        "{URL_DOWNLOAD}: {reason}; on_error => 'null' gives NULL for such files"
                    );
                }
                Some(Err(_)) | None => files.append_null(),
            }
        }
        Ok(Arc::new(files.finish()))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BinaryArray, StringArray};
    use datafusion::prelude::SessionContext;

    use super::*;

    /// Gives a URL's own bytes, nothing for `gone`, and refuses `forbidden`.
    fn context() -> SessionContext {
        let context = SessionContext::new();
        context.register_udf(url_download(Arc::new(|urls: &[&str]| {
            if urls.contains(&"forbidden") {
                return exec_err!("forbidden is not allowed");
            }
            let file = |url: &&str| match *url {
                "gone" => Err("gone: not there".to_string()),
                url => Ok(Buffer::from_vec(url.as_bytes().to_vec())),
            };
            Ok(urls.iter().map(file).collect())
        })));
        context
    }

    async fn run(sql: &str) -> std::result::Result<Vec<Option<Vec<u8>>>, String> {
        let context = context();
        let urls = StringArray::from(vec![Some("a"), None, Some("gone"), Some("bc")]);
        let urls: ArrayRef = Arc::new(urls);
        let batch = datafusion::arrow::array::RecordBatch::try_from_iter([("u", urls)]).unwrap();
        context.register_batch("t", batch).unwrap();
        let frame = context.sql(sql).await.map_err(|e| e.to_string())?;
        let batches = frame.collect().await.map_err(|e| e.to_string())?;
        let rows = batches.iter().flat_map(|batch| {
            let files: &BinaryArray = batch.column(0).as_binary();
            files
                .iter()
                .map(|file| file.map(<[u8]>::to_vec))
                .collect::<Vec<_>>()
        });
        Ok(rows.collect())
    }

    #[tokio::test]
    async fn every_row_gets_its_own_file_and_failures_are_null() {
        let rows = run("SELECT url_download(u) FROM t").await.unwrap();
        assert_eq!(
            rows,
            [Some(b"a".to_vec()), None, None, Some(b"bc".to_vec())]
        );
        assert_eq!(
            run("SELECT url_download('x')").await.unwrap(),
            [Some(b"x".to_vec())]
        );
        assert_eq!(run("SELECT url_download(NULL)").await.unwrap(), [None]);
    }

    #[tokio::test]
    async fn failures_are_raised_where_that_is_asked_for() {
        let error = run("SELECT url_download(u, on_error => 'raise') FROM t")
            .await
            .unwrap_err();
        assert!(error.contains("gone: not there"), "{error}");
        assert_eq!(
            run("SELECT url_download(u, 'null') FROM t")
                .await
                .unwrap()
                .len(),
            4
        );
        for (sql, message) in [
            (
                "SELECT url_download(u, 'maybe') FROM t",
                "on_error is 'null' or 'raise'",
            ),
            ("SELECT url_download(u, u) FROM t", "on_error is a constant"),
            ("SELECT url_download(1)", "takes a URL as STRING"),
            (
                "SELECT url_download('forbidden')",
                "forbidden is not allowed",
            ),
        ] {
            let error = run(sql).await.unwrap_err();
            assert!(error.contains(message), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn rows_that_a_case_leaves_out_are_not_fetched() {
        let sql = "SELECT CASE WHEN u = 'a' THEN url_download(u) ELSE NULL END FROM \
                   (SELECT u FROM t UNION ALL SELECT 'forbidden')";
        let rows = run(sql).await.unwrap();
        assert_eq!(rows.iter().flatten().count(), 1);
    }
}
