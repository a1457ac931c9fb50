//! `docs/sql.md`, `docs/types.md` and `docs/search.md` tell the truth: every statement of a page runs, in
//! order, in one lake, and prints what stands below it. `SHOAL_UPDATE_DOCS=1` writes down what is printed.

use std::fs;
use std::path::Path;

use arrow::util::pretty::pretty_format_batches;

use crate::harness::{Lake, Outcome};

#[tokio::test]
async fn every_statement_of_the_reference_prints_what_stands_below_it() {
    prints_what_stands_below_it("../docs/sql.md").await;
}

#[tokio::test]
async fn every_statement_of_the_page_on_types_prints_what_stands_below_it() {
    prints_what_stands_below_it("../docs/types.md").await;
}

#[tokio::test]
async fn every_statement_about_search_prints_what_stands_below_it() {
    prints_what_stands_below_it("../docs/search.md").await;
}

async fn prints_what_stands_below_it(path: &str) {
    let path = Path::new(path);
    let page = fs::read_to_string(path).unwrap();
    let lake = Lake::new().await;
    let mut printed = String::new();
    let mut blocks = page.split("```sql\n");
    printed.push_str(blocks.next().unwrap());
    for block in blocks {
        let (sql, rest) = block.split_once("```\n").unwrap();
        printed.push_str(&format!("```sql\n{sql}```\n"));
        let answer = answer(&lake, sql).await;
        match rest.strip_prefix("```text\n") {
            Some(expected) => {
                let (_, rest) = expected.split_once("```\n").unwrap();
                printed.push_str(&format!("```text\n{answer}\n```\n{rest}"));
            }
            None => {
                assert!(!answer.starts_with("Error"), "{sql}: {answer}");
                printed.push_str(rest);
            }
        }
    }
    if std::env::var_os("SHOAL_UPDATE_DOCS").is_some() {
        fs::write(path, printed).unwrap();
        return;
    }
    for (line, (expected, printed)) in page.lines().zip(printed.lines()).enumerate() {
        assert_eq!(expected, printed, "{}, line {}", path.display(), line + 1);
    }
    assert_eq!(page.lines().count(), printed.lines().count());
}

async fn answer(lake: &Lake, sql: &str) -> String {
    let text = match lake.run(sql).await {
        Ok(Outcome::Rows(batches)) => pretty_format_batches(&batches).unwrap().to_string(),
        Ok(Outcome::Affected(1)) => "1 row affected".to_string(),
        Ok(Outcome::Affected(rows)) => format!("{rows} rows affected"),
        Err(error) => format!("Error: {error}"),
    };
    let folder = lake.folder.path().display().to_string();
    text.replace(&folder, "/lake")
}
