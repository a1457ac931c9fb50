//! Writes: where values go, constraints, partitions, overwriting, and failures that leave nothing.

use crate::harness::Lake;

#[tokio::test]
async fn values_go_by_position_or_by_name() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT, b STRING, c DOUBLE)").await;
    assert_eq!(
        lake.ok("INSERT INTO t VALUES (1, 'x', 1.5), (2, NULL, 2)")
            .await,
        2
    );
    lake.ok("INSERT INTO t (c, a) VALUES (3, 3)").await;
    lake.ok("INSERT INTO t BY NAME SELECT 'z' AS b, 4 AS a")
        .await;
    assert_eq!(
        lake.sorted("SELECT * FROM t").await,
        ["1|x|1.5", "2||2.0", "3||3.0", "4|z|"]
    );
    for (sql, part) in [
        (
            "INSERT INTO t VALUES (1, 'x')",
            "takes 3 values here (a, b, c), and the query gives 2",
        ),
        (
            "INSERT INTO t (a, d) VALUES (1, 2)",
            "column d of table lake.default.t does not exist",
        ),
        ("INSERT INTO t (a) VALUES ('1')", "CAST(… AS INT)"),
        ("INSERT INTO t (a) VALUES (3000000000)", "3000000000"),
        ("INSERT INTO nope VALUES (1)", "does not exist"),
    ] {
        let error = lake.error(sql).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
    assert_eq!(lake.rows("SELECT count(*) FROM t").await, ["4"]);
}

#[tokio::test]
async fn constraints_are_kept_and_a_violation_names_the_row() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT NOT NULL, b INT, CONSTRAINT small CHECK (b < 10))")
        .await;
    lake.ok("INSERT INTO t VALUES (1, 5), (2, NULL)").await;
    for (sql, parts) in [
        (
            "INSERT INTO t VALUES (3, 1), (4, 11)",
            vec!["CHECK small", "a: 4, b: 11"],
        ),
        ("INSERT INTO t VALUES (NULL, 1)", vec!["NOT NULL a", "b: 1"]),
        ("INSERT INTO t (b) VALUES (1)", vec!["column a", "NOT NULL"]),
    ] {
        let error = lake.error(sql).await;
        for part in parts {
            assert!(error.contains(part), "{sql}: {error}");
        }
    }
    assert_eq!(lake.rows("SELECT count(*) FROM t").await, ["2"]);
    let error = lake.error("CREATE TABLE u (a INT CHECK (a + 1))").await;
    assert!(error.contains("not a condition"), "{error}");
    let error = lake.error("CREATE TABLE u (a INT CHECK (b > 1))").await;
    assert!(error.contains('b'), "{error}");
}

#[tokio::test]
async fn partitions_are_written_and_overwritten() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (v INT) PARTITIONED BY (d STRING, n INT)")
        .await;
    lake.ok("INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 1)")
        .await;
    assert_eq!(
        lake.rows("SHOW PARTITIONS t").await,
        ["d=a/n=1", "d=a/n=2", "d=b/n=1"]
    );
    assert!(!lake.files("t/d=a/n=1/").is_empty());
    lake.ok("INSERT INTO t PARTITION (d = 'c', n = 1) VALUES (4)")
        .await;
    lake.ok("INSERT OVERWRITE t PARTITION (d = 'a', n) SELECT 5, 7")
        .await;
    assert_eq!(
        lake.sorted("SELECT * FROM t").await,
        ["3|b|1", "4|c|1", "5|a|7"]
    );
    lake.ok("INSERT OVERWRITE t PARTITION (d, n) VALUES (6, 'b', 1), (7, 'd', 1)")
        .await;
    assert_eq!(
        lake.sorted("SELECT * FROM t").await,
        ["4|c|1", "5|a|7", "6|b|1", "7|d|1"]
    );
    lake.ok("INSERT OVERWRITE TABLE t SELECT v + 10, d, n FROM t WHERE d = 'c'")
        .await;
    assert_eq!(lake.rows("SELECT * FROM t").await, ["14|c|1"]);
    let error = lake
        .error("INSERT INTO t PARTITION (v = 1) VALUES ('a', 1)")
        .await;
    assert!(error.contains("not partitioned by v"), "{error}");
}

#[tokio::test]
async fn create_table_as_makes_the_table_in_one_version() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE src AS SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
        .await;
    assert_eq!(
        lake.ok("CREATE TABLE raw.t PARTITIONED BY (b) COMMENT 'copy' AS SELECT * FROM src")
            .await,
        2
    );
    assert_eq!(lake.sorted("SELECT a, b FROM raw.t").await, ["1|x", "2|y"]);
    assert!(
        lake.rows("DESCRIBE EXTENDED raw.t")
            .await
            .contains(&"Version|0|".to_string())
    );
    lake.ok("CREATE OR REPLACE TABLE raw.t AS SELECT a * 2 AS a FROM raw.t")
        .await;
    assert_eq!(lake.sorted("SELECT * FROM raw.t").await, ["2", "4"]);
    lake.ok("CREATE TABLE IF NOT EXISTS raw.t AS SELECT 1 AS other")
        .await;
    assert_eq!(lake.rows("SHOW COLUMNS IN raw.t").await, ["a"]);
    for (sql, part) in [
        (
            "CREATE TABLE u AS SELECT count(*) FROM src",
            "name the column with AS",
        ),
        ("CREATE TABLE u AS SELECT a, a FROM src", "a"),
        ("CREATE TABLE u AS SELECT NULL AS n", "CAST(NULL AS STRING)"),
        (
            "CREATE TABLE u USING PARQUET AS SELECT 1 AS a",
            "USING DELTA or USING ICEBERG",
        ),
        ("CREATE TABLE src AS SELECT 1 AS a", "already exists"),
    ] {
        let error = lake.error(sql).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_failed_create_table_as_leaves_nothing() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE src AS SELECT 'abc' AS s").await;
    lake.error("CREATE TABLE t AS SELECT CAST(s AS INT) AS n FROM src")
        .await;
    assert_eq!(lake.rows("SHOW TABLES").await, ["default|src|false"]);
    assert!(lake.files("default/t").is_empty());
    lake.ok("CREATE TABLE t (n INT)").await;
}

#[tokio::test]
async fn truncate_removes_all_rows_in_one_version() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t AS SELECT * FROM generate_series(1, 10)")
        .await;
    assert_eq!(lake.ok("TRUNCATE TABLE t").await, 10);
    assert_eq!(lake.rows("SELECT count(*) FROM t").await, ["0"]);
    assert!(
        lake.rows("DESCRIBE EXTENDED t")
            .await
            .contains(&"Version|1|".to_string())
    );
}

#[tokio::test]
async fn structs_and_lists_are_cast_into_their_columns() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (s STRUCT<w: INT, f: STRING>, v ARRAY<FLOAT>)")
        .await;
    lake.ok("INSERT INTO t VALUES (named_struct('f', 'jpeg', 'w', 4), array(1, 2.5))")
        .await;
    assert_eq!(
        lake.rows("SELECT s.w, s.f, v FROM t").await,
        ["4|jpeg|[1.0, 2.5]"]
    );
    let error = lake
        .error("INSERT INTO t (s) VALUES (struct(1, 'a'))")
        .await;
    assert!(error.contains("named_struct('w', …, 'f', …)"), "{error}");
}

#[tokio::test]
async fn generated_columns_follow_the_others() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT, twice INT GENERATED ALWAYS AS (a * 2), b STRING)")
        .await;
    lake.ok("INSERT INTO t VALUES (1, 'x'); INSERT INTO t VALUES (2, 4, 'y')")
        .await;
    lake.ok("INSERT INTO t (b) VALUES ('z')").await;
    assert_eq!(
        lake.sorted("SELECT a, twice, b FROM t").await,
        ["1|2|x", "2|4|y", "||z"]
    );
    let error = lake.error("INSERT INTO t (a, twice) VALUES (1, 3)").await;
    assert!(
        error.contains("twice GENERATED ALWAYS AS (a * 2)"),
        "{error}"
    );
    let error = lake
        .error("CREATE TABLE u (a INT GENERATED ALWAYS AS (nope))")
        .await;
    assert!(error.contains("nope"), "{error}");
}

#[tokio::test]
async fn years_partition_a_table_too() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (at TIMESTAMP, v INT) PARTITIONED BY (years(at))")
        .await;
    lake.ok("INSERT INTO t VALUES ('2023-12-31', 1), ('2024-01-01', 2)")
        .await;
    assert_eq!(
        lake.sorted("SELECT v, at_year FROM t").await,
        ["1|2023", "2|2024"]
    );
    let error = lake
        .error("CREATE TABLE u (at TIMESTAMP) PARTITIONED BY (hours(at))")
        .await;
    assert!(error.contains("USING ICEBERG"), "{error}");
}
