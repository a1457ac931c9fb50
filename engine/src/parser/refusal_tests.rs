//! What the parser refuses, and how it says so.

use super::{parse, parse_expression};
use crate::error::EngineError;

fn error(sql: &str) -> String {
    match parse(sql) {
        Err(e) => e.to_string(),
        Ok(statements) => panic!("{sql} is taken for {statements:?}"),
    }
}

#[test]
fn statements_that_are_not_offered_name_the_nearest() {
    for (sql, what, instead) in [
        ("VACUUM t", "VACUUM", "PURGE"),
        (
            "DESCRIBE HISTORY t",
            "DESCRIBE HISTORY",
            "DESCRIBE EXTENDED",
        ),
        (
            "RESTORE TABLE t TO VERSION AS OF 1",
            "RESTORE",
            "CREATE TABLE",
        ),
        (
            "MERGE INTO t USING s ON a = b WHEN MATCHED THEN UPDATE SET *",
            "MERGE",
            "INSERT OVERWRITE",
        ),
        ("UPDATE t SET a = 1", "UPDATE", "INSERT OVERWRITE"),
        ("DELETE FROM t WHERE a = 1", "DELETE", "INSERT OVERWRITE"),
        ("OPTIMIZE t ZORDER BY (a)", "OPTIMIZE", "INSERT OVERWRITE"),
        ("GRANT SELECT ON t TO x", "GRANT", "view"),
        (
            "CREATE MASKING POLICY p AS (v STRING) RETURNS STRING -> '*'",
            "CREATE MASKING",
            "view",
        ),
        (
            "CREATE TABLE t (a STRING MASKING POLICY p)",
            "MASKING POLICY",
            "view",
        ),
        (
            "CREATE TABLE t (a STRING) WITH ROW FILTER f ON (a)",
            "WITH ROW",
            "view",
        ),
        ("ALTER TABLE t SET ROW FILTER f ON (a)", "SET ROW", "view"),
        ("ALTER TABLE t ADD COLUMN b INT", "ADD", "CREATE OR REPLACE"),
        (
            "CREATE TABLE t (a INT DEFAULT 1)",
            "DEFAULT of column a",
            "INSERT",
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            "PRIMARY KEY of column a",
            "NOT NULL",
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a))",
            "PRIMARY constraint",
            "NOT NULL",
        ),
        ("CREATE TABLE t (a VARCHAR(10))", "type VARCHAR", "STRING"),
        (
            "CREATE TABLE t (a BIGINT GENERATED ALWAYS AS IDENTITY)",
            "identity",
            "row_number",
        ),
        (
            "CREATE TABLE t (a INT) STORED AS PARQUET",
            "STORED AS",
            "USING DELTA",
        ),
        (
            "CREATE EXTERNAL TABLE t (a INT) LOCATION '/x'",
            "CREATE EXTERNAL",
            "LOCATION",
        ),
        (
            "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1",
            "TEMPORARY",
            "CREATE OR REPLACE VIEW",
        ),
        ("COPY t TO 'x.parquet'", "COPY … TO", "CREATE TABLE"),
        ("BEGIN", "BEGIN", "on its own"),
        ("SET SESSION x = 1", "SET SESSION", "SET key"),
    ] {
        let result = parse(sql);
        assert!(
            matches!(result, Err(EngineError::Unsupported { .. })),
            "{sql}: {result:?}"
        );
        let message = error(sql);
        assert!(
            message.contains(what) && message.contains(instead),
            "{sql}: {message}"
        );
        assert!(message.contains("is not supported"), "{message}");
    }
}

#[test]
fn syntax_errors_say_where() {
    let at = |sql: &str| match parse(sql) {
        Err(EngineError::Syntax { line, column, .. }) => (line, column),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(at("SELECT 1 FORM t x"), (1, 15));
    assert_eq!(at("SELECT a\n  FROM t WHERE"), (2, 15));
    assert_eq!(at("CREATE TABLE t (\n  a INTT\n)"), (2, 5));
    assert_eq!(at("CREATE TABLE t (a INT"), (1, 22));
    assert_eq!(at("FROBNICATE"), (1, 1));
    assert_eq!(at("SELECT 'abc"), (1, 8));
    assert_eq!(at("SELECT 1;\nDROP TABLE"), (2, 11));
    let message = error("DROP TABLE");
    assert_eq!(
        message,
        "syntax error at line 1, column 11: expected table name, found the end of the statement"
    );
}

#[test]
fn nothing_is_parsed_from_half_a_script() {
    assert!(parse("SELECT 1; VACUUM t").is_err());
    assert_eq!(parse(" ; ;; ").unwrap(), []);
    assert_eq!(parse("SELECT 1;; SELECT 2;").unwrap().len(), 2);
}

#[test]
fn deep_nesting_is_an_error() {
    error(&format!(
        "SELECT {}1{}",
        "(".repeat(10_000),
        ")".repeat(10_000)
    ));
    error(&format!(
        "CREATE TABLE t (a {}INT{})",
        "ARRAY<".repeat(10_000),
        ">".repeat(10_000)
    ));
}

#[test]
fn constraint_expressions_are_parsed_alone() {
    assert_eq!(
        parse_expression("a > 1 AND b").unwrap().to_string(),
        "a > 1 AND b"
    );
    assert!(parse_expression("a > 1; DROP TABLE t").is_err());
}

/// Every beginning of every statement, and every statement with one token left out: whatever it
/// is, it is parsed or refused.
#[test]
fn no_text_makes_the_parser_panic() {
    let statements = [
        "CREATE OR REPLACE TABLE c.s.`t` (a STRUCT<x: ARRAY<MAP<STRING, DECIMAL(3,1)>>> NOT NULL \
         COMMENT 'é', b INT CHECK (b > 1) GENERATED ALWAYS AS (a.x), CONSTRAINT k CHECK (b < 9)) \
         USING DELTA PARTITIONED BY (d STRING, bucket(4, b), date(c)) LOCATION 's3://b' COMMENT 'c' \
         TBLPROPERTIES ('k' = 'v', x.y = -1) AS SELECT $1, ? FROM t VERSION AS OF 3",
        "INSERT OVERWRITE TABLE t PARTITION (a = 1 + 2, b) BY NAME (x, y) VALUES (1, 'x'), (?, NULL)",
        "CREATE VIEW IF NOT EXISTS v (a, b) COMMENT 'x' TBLPROPERTIES ('a' 'b') AS (SELECT 1)",
        "COPY INTO raw.images FROM 's3://x' FILEFORMAT = IMAGE OPTIONS ('a' = 1)",
        "EXPLAIN ANALYZE VERBOSE FORMAT TREE SELECT \"a\" FROM `b` WHERE x <=> 'y' -- end",
        "SHOW TABLES IN a.b LIKE 'x*'; DESCRIBE FUNCTION EXTENDED f; SET x.y TO 64MiB; RESET",
        "PREPARE p AS SELECT $1; EXECUTE p (1, ARRAY[2]); DEALLOCATE PREPARE p",
    ];
    for sql in statements {
        for (end, _) in sql.char_indices() {
            let _ = parse(&sql[..end]);
        }
        let tokens: Vec<&str> = sql.split(' ').collect();
        for left_out in 0..tokens.len() {
            let rest = [&tokens[..left_out], &tokens[left_out + 1..]].concat();
            let _ = parse(&rest.join(" "));
        }
    }
}
