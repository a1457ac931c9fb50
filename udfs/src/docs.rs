//! Keeps `docs/functions.md` true: it must equal what the functions' own documentation says, with
//! the answers that its examples give on `examples/photos`.
//!
//! To rewrite it: `SHOAL_REWRITE_DOCS=1 cargo test --workspace --lib functions_page`.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use crate::{aggregate_functions, scalar_functions, url_download};
use shoal_images::probe::Limits;

/// The repository, from where cargo runs a crate's tests.
const ROOT: &str = "..";

/// A session with the functions and the example photographs as `raw.images`.
fn context() -> SessionContext {
    let context = SessionContext::new();
    for function in scalar_functions(Limits::default()) {
        context.register_udf(function.as_ref().clone());
    }
    for function in aggregate_functions() {
        context.register_udaf(function.as_ref().clone());
    }
    context.register_udf(download());
    let (mut names, mut contents) = (Vec::new(), Vec::new());
    let mut folders = vec![Path::new(ROOT).join("examples/photos")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                contents.push(std::fs::read(path).unwrap());
            }
        }
    }
    let filename: ArrayRef = Arc::new(StringArray::from(names));
    let content: ArrayRef = Arc::new(BinaryArray::from_iter_values(contents));
    let batch = RecordBatch::try_from_iter([("filename", filename), ("content", content)]).unwrap();
    let catalog = context.catalog("datafusion").unwrap();
    catalog
        .register_schema("raw", Arc::new(MemorySchemaProvider::new()))
        .unwrap();
    context.register_batch("raw.images", batch).unwrap();
    context
}

/// `url_download`, with a server that has the example photographs.
fn download() -> ScalarUDF {
    url_download(Arc::new(|urls: &[&str]| {
        let file = |url: &&str| {
            let name = url.rsplit('/').next().unwrap_or_default();
            let path = Path::new(ROOT)
                .join("examples/photos/2024/03/06")
                .join(name);
            let content = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(Buffer::from_vec(content))
        };
        Ok(urls.iter().map(file).collect())
    }))
}

async fn page() -> String {
    let context = context();
    let mut page = "# Functions\n\n\
        Shoal's own functions, beside those of DataFusion and the Spark names. This page is made \
        from their documentation, which `SHOW FUNCTIONS` and `DESCRIBE FUNCTION` print too; the \
        answers come from the pictures in `examples/photos`. Functions that run neural networks are \
        in [models.md](models.md).\n"
        .to_owned();
    let mut section = "";
    let scalars = scalar_functions(Limits::default());
    let aggregates = aggregate_functions();
    let scalars = scalars.iter().map(|f| (f.name(), f.documentation()));
    let aggregates = aggregates.iter().map(|f| (f.name(), f.documentation()));
    let download = download();
    let input = [(download.name(), download.documentation())];
    for (name, documentation) in scalars.chain(aggregates).chain(input) {
        // Functions without documentation are the optimizer's own.
        let Some(documentation) = documentation else {
            continue;
        };
        if documentation.doc_section.label != section {
            section = documentation.doc_section.label;
            let about = documentation.doc_section.description.unwrap();
            write!(page, "\n## {section}\n\n{about}\n").unwrap();
        }
        write!(
            page,
            "\n### {}\n\n`{}`\n\n{}\n\n",
            name, documentation.syntax_example, documentation.description
        )
        .unwrap();
        for (name, about) in documentation.arguments.as_ref().unwrap() {
            writeln!(page, "- `{name}`: {about}").unwrap();
        }
        let example = documentation.sql_example.as_ref().unwrap();
        let sql = example
            .trim_start_matches("```sql")
            .trim_end_matches("```")
            .trim();
        let answer = context.sql(sql).await.unwrap().collect().await.unwrap();
        let answer = pretty_format_batches(&answer).unwrap();
        write!(page, "\n```sql\n{sql}\n```\n\n```text\n{answer}\n```\n").unwrap();
        if let Some(related) = &documentation.related_udfs {
            let links: Vec<String> = related
                .iter()
                .map(|name| format!("[{name}](#{name})"))
                .collect();
            write!(page, "\nSee also {}.\n", links.join(", ")).unwrap();
        }
    }
    page
}

#[tokio::test]
async fn the_functions_page_says_what_the_functions_do() {
    let path = Path::new(ROOT).join("docs/functions.md");
    let page = page().await;
    if std::env::var_os("SHOAL_REWRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/functions.md is out of date; {}",
        "see udfs/src/docs.rs"
    );
}
