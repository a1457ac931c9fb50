//! Queries: names, functions of several dialects, parameters, placement, plans.

use std::sync::Arc;

use datafusion::common::{ParamValues, ScalarValue};
use shoal_engine::{Estimate, Place};

use crate::harness::{Lake, Outcome, execute, lines};

#[tokio::test]
async fn functions_that_spark_users_type() {
    let lake = Lake::new().await;
    for (sql, result) in [
        ("year(TIMESTAMP '2024-05-06 07:08:09')", "2024"),
        ("month(DATE '2024-05-06')", "5"),
        ("dayofweek(DATE '2024-05-05')", "1"),
        ("hour(TIMESTAMP '2024-05-06 07:08:09')", "7"),
        ("date_add(DATE '2024-05-06', 3)", "2024-05-09"),
        ("datediff(DATE '2024-05-06', DATE '2024-05-01')", "5"),
        (
            "date_format(TIMESTAMP '2024-05-06 07:08:09', 'dd/MM/yyyy HH:mm')",
            "06/05/2024 07:08",
        ),
        ("to_date('06.05.2024', 'dd.MM.yyyy')", "2024-05-06"),
        ("add_months(DATE '2024-01-31', 1)", "2024-02-29"),
        ("slice(array(1, 2, 3), 2, 2)", "[2, 3]"),
        (
            "sha2('a', 256)",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        ("pmod(-7, 3)", "2"),
        ("elt(2, 'a', 'b')", "b"),
        ("last_day(DATE '2024-02-03')", "2024-02-29"),
        ("next_day(DATE '2024-05-06', 'Fri')", "2024-05-10"),
        ("from_unixtime(0)", "1970-01-01T00:00:00"),
        ("unix_timestamp(TIMESTAMP '1970-01-01 00:01:00')", "60"),
        ("element_at(array(1, 2, 3), -1)", "3"),
        ("element_at(map(array('a', 'b'), array(1, 2)), 'b')", "2"),
        ("element_at(map(array('a'), array(1)), 'z') IS NULL", "true"),
        ("bit_count(7)", "3"),
        ("length('hé')", "2"),
        ("octet_length('hé')", "3"),
        ("length(X'00ff01')", "3"),
        ("octet_length(X'00ff01')", "3"),
        ("bit_length(X'00ff01')", "24"),
        ("octet_length(CAST(NULL AS BINARY)) IS NULL", "true"),
        ("image_width(CAST(NULL AS BINARY)) IS NULL", "true"),
        ("image_info(X'FFD8') IS NULL", "true"),
        ("hex(255)", "FF"),
        ("if(1 > 2, 'a', 'b')", "b"),
        ("nvl(NULL, 'x')", "x"),
        ("size(array(1, 2, 3))", "3"),
        ("array_contains(array(1, 2), 2)", "true"),
        ("sort_array(array(3, 1, 2))", "[1, 2, 3]"),
        ("lcase('ABC')", "abc"),
        ("split('a,b', ',')", "[a, b]"),
        ("startswith('abc', 'ab')", "true"),
        ("string(5)", "5"),
        ("int('7')", "7"),
        ("isnull(NULL)", "true"),
        ("'a' || 'b'", "ab"),
        ("typeof(1)", "Int64"),
        ("array_transform(array(1, 2), x -> x * 10)", "[10, 20]"),
        ("CAST(X'61' AS STRING)", "a"),
        ("CAST(5 AS TINYINT) + CAST(1 AS SMALLINT)", "6"),
        ("'n' || 7 % 4 || 'm'", "n3m"),
        ("regexp_extract('a1b22', '([a-z])([0-9]+)', 2)", "1"),
        ("regexp_extract('a1b22', '[a-z]([0-9]{2})', 0)", "b22"),
        ("regexp_extract('a1b22', '[a-z]([0-9]{2})')", "22"),
        ("regexp_extract('a1b22', 'c(.)', 1)", ""),
        ("regexp_extract(NULL, 'c(.)', 1) IS NULL", "true"),
    ] {
        assert_eq!(lake.rows(&format!("SELECT {sql}")).await, [result], "{sql}");
    }
    let rows = "VALUES (1, 'a'), (2, 'b'), (2, 'c') AS t (k, v)";
    for (sql, result) in [
        ("count_if(k > 1)", "2"),
        ("size(collect_list(v))", "3"),
        ("approx_count_distinct(k)", "2"),
        ("any(k = 1)", "true"),
        ("first(v ORDER BY v DESC)", "c"),
    ] {
        assert_eq!(
            lake.rows(&format!("SELECT {sql} FROM {rows}")).await,
            [result],
            "{sql}"
        );
    }
    assert_eq!(
        lake.rows("SELECT * FROM explode(array(1, 2))").await,
        ["1", "2"]
    );
}

#[tokio::test]
async fn literals_of_every_kind() {
    let lake = Lake::new().await;
    for (sql, result) in [
        ("1.5e0", "1.5"),
        ("CAST(1.25 AS DECIMAL(10, 2))", "1.25"),
        ("TRUE", "true"),
        ("[1, 2]", "[1, 2]"),
        ("X'00FF'", "00ff"),
        ("named_struct('a', 1, 'b', 'x')['b']", "x"),
        ("'n' || 7", "n7"),
        (
            "TIMESTAMP '2024-01-01 00:00:00' + 3 * INTERVAL '1 hour'",
            "2024-01-01T03:00:00",
        ),
        (
            "TIMESTAMP '2024-02-29 12:34:56.789'",
            "2024-02-29T12:34:56.789",
        ),
        ("DATE '2024-01-01' + INTERVAL 2 DAYS", "2024-01-03"),
        ("current_schema()", "default"),
        ("current_catalog()", "lake"),
        ("current_user()", "tester"),
    ] {
        assert_eq!(lake.rows(&format!("SELECT {sql}")).await, [result], "{sql}");
    }
}

#[tokio::test]
async fn names_are_found_whatever_their_case() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE T (userId INT, Meta STRUCT<itemCount: INT>)")
        .await;
    lake.ok("INSERT INTO t (USERID, meta) SELECT 1, named_struct('itemCount', 9)")
        .await;
    assert_eq!(
        lake.rows(
            "SELECT USERID, x.userid + 1, meta.ITEMCOUNT FROM LAKE.Default.t x WHERE userId = 1"
        )
        .await,
        ["1|2|9"]
    );
    assert_eq!(lake.rows("DESCRIBE t").await[0], "userId|INT|");
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_its_nearest() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE raw.images (a INT)").await;
    for (sql, part) in [
        ("SELECT * FROM raw.imgaes", "did you mean images?"),
        ("SELECT * FROM images", "there is lake.raw.images"),
        ("SELECT * FROM rwa.images", "did you mean raw?"),
        (
            "SELECT * FROM nowhere.raw.images",
            "catalog nowhere does not exist",
        ),
        ("SELECT b FROM raw.images", "b"),
        ("DESCRIBE FUNCTION lwoer", "did you mean lower?"),
    ] {
        let error = lake.error(sql).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn parameters_are_typed_by_where_they_stand() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT, b STRING, c DOUBLE)").await;
    let types = async |sql: &str| {
        let statement = lake.session.parse(sql).unwrap().remove(0);
        let planned = lake.session.plan(statement, None).await.unwrap();
        let fields = planned.parameters().unwrap();
        let types = fields.fields().iter().map(|f| f.data_type().to_string());
        types.collect::<Vec<_>>()
    };
    assert_eq!(
        types("SELECT * FROM t WHERE a > ? AND b = ?").await,
        ["Int32", "Utf8"]
    );
    assert_eq!(
        types("INSERT INTO t VALUES (?, ?, ?)").await,
        ["Int32", "Utf8", "Float64"]
    );
    assert_eq!(
        types("INSERT INTO t (c, a) SELECT $1, $2").await,
        ["Float64", "Int32"]
    );
    let insert = lake
        .session
        .parse("INSERT INTO t VALUES (?, ?, ?)")
        .unwrap()
        .remove(0);
    let values = [
        ScalarValue::Int32(Some(1)),
        ScalarValue::Utf8(Some("x".into())),
        ScalarValue::Float64(None),
    ];
    let values = ParamValues::List(values.into_iter().map(Into::into).collect());
    let planned = lake.session.plan(insert, Some(values)).await.unwrap();
    assert!(matches!(
        execute(planned).await.unwrap(),
        Outcome::Affected(1)
    ));
    let query = lake
        .session
        .parse("SELECT b FROM t WHERE a = $1 LIMIT $2")
        .unwrap()
        .remove(0);
    let values = [ScalarValue::Int64(Some(1)), ScalarValue::Int64(Some(5))];
    let values = ParamValues::List(values.into_iter().map(Into::into).collect());
    let planned = lake.session.plan(query, Some(values)).await.unwrap();
    let Outcome::Rows(rows) = execute(planned).await.unwrap() else {
        panic!("no rows");
    };
    assert_eq!(lines(&rows), ["x"]);
    lake.ok("PREPARE p AS SELECT a + $1 FROM t").await;
    assert_eq!(lake.rows("EXECUTE p (41)").await, ["42"]);
    lake.ok("DEALLOCATE p").await;
    assert!(lake.error("EXECUTE p (1)").await.contains("does not exist"));
}

#[tokio::test]
async fn placement_follows_what_is_read() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t AS SELECT * FROM generate_series(1, 1000)")
        .await;
    let place = async |sql: &str| {
        let statement = lake.session.parse(sql).unwrap().remove(0);
        let planned = lake.session.plan(statement, None).await.unwrap();
        let estimate = Estimate::of(&planned).unwrap();
        estimate.decide(&lake.session.query_settings()).place
    };
    assert_eq!(place("SELECT sum(value) FROM t").await, Place::Scheduler);
    lake.ok("SET query.local_max_bytes = 1").await;
    assert_eq!(place("SELECT sum(value) FROM t").await, Place::Executors);
    assert_eq!(
        place("INSERT INTO t SELECT * FROM t").await,
        Place::Executors
    );
    assert_eq!(
        place("SELECT * FROM information_schema.tables").await,
        Place::Scheduler
    );
    assert_eq!(place("SHOW TABLES").await, Place::Scheduler);
    assert_eq!(place("SELECT 1").await, Place::Scheduler);
    lake.ok("SET query.placement = distributed").await;
    assert_eq!(place("SELECT 1").await, Place::Executors);
}

#[tokio::test]
async fn explain_prints_plans_files_and_place() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t AS SELECT * FROM generate_series(1, 10)")
        .await;
    let text = lake
        .rows("EXPLAIN SELECT value FROM t WHERE value > 5")
        .await
        .join("\n");
    for part in [
        "logical_plan",
        "physical_plan",
        "DataSourceExec",
        "1 of 1 files",
        "scheduler: it reads",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let pruned = lake
        .rows("EXPLAIN SELECT value FROM t WHERE value > 50")
        .await
        .join("\n");
    assert!(
        pruned.contains("0 of 1 files") && pruned.contains("1 pruned"),
        "{pruned}"
    );
    let tree = lake
        .rows("EXPLAIN FORMAT TREE SELECT sum(value) FROM t")
        .await
        .join("\n");
    assert!(tree.contains('┌'), "{tree}");
    let write = lake.rows("EXPLAIN INSERT INTO t SELECT 1").await.join("\n");
    assert!(write.contains("one version of lake.default.t"), "{write}");
    let verbose = lake.rows("EXPLAIN VERBOSE SELECT 1").await.join("\n");
    assert!(verbose.contains("initial_logical_plan"), "{verbose}");
    let command = lake.rows("EXPLAIN DROP TABLE t").await.join("\n");
    assert!(command.contains("DropTable"), "{command}");
    assert_eq!(lake.rows("SELECT count(*) FROM t").await, ["10"]);
}

#[tokio::test]
async fn array_elements_are_counted_from_zero_as_in_spark() {
    let lake = Lake::new().await;
    let sql = "SELECT a[0], a[2], a[3], a[-1], a[n], m['k'], b[1][0] FROM \
               (SELECT array(10, 20, 30) AS a, 1 AS n, map('k', 7) AS m, array(array(1), array(2)) AS b)";
    assert_eq!(lake.rows(sql).await, ["10|30|||20|7|2"]);
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_log() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t AS SELECT * FROM generate_series(1, 1000)")
        .await;
    let sql = "SELECT count(*), min(value), max(value) FROM t";
    assert_eq!(lake.rows(sql).await, ["1000|1|1000"]);
    let plan = lake.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    assert!(!plan.contains("DataSourceExec: file_groups"), "{plan}");
}

#[tokio::test]
async fn a_statement_sees_one_version_of_a_table() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")
        .await;
    let sql = "SELECT count(*) FROM t x JOIN t y ON x.a = y.a";
    let statement = lake.session.parse(sql).unwrap().remove(0);
    let planned = lake.session.plan(statement, None).await.unwrap();
    lake.ok("INSERT INTO t VALUES (1)").await;
    let Outcome::Rows(rows) = execute(planned).await.unwrap() else {
        panic!("no rows");
    };
    assert_eq!(lines(&rows), ["1"]);
    assert_eq!(lake.rows(sql).await, ["4"]);
}

#[tokio::test]
async fn functions_are_documented() {
    let lake = Lake::new().await;
    let page = lake
        .rows("DESCRIBE FUNCTION EXTENDED lower")
        .await
        .join("\n");
    assert!(page.contains("Usage: lower(str)"), "{page}");
    let page = lake
        .rows("DESCRIBE FUNCTION image_features")
        .await
        .join("\n");
    assert!(page.contains("histogram"), "{page}");
    let functions = lake.rows("SHOW FUNCTIONS LIKE 'image_*|vector_*'").await;
    assert!(functions.len() >= 8, "{functions:?}");
    assert_eq!(
        lake.rows("DESCRIBE FUNCTION year").await,
        ["Function: year", "Same as date_part('year', $1)."]
    );
    let functions = lake.rows("SHOW FUNCTIONS LIKE 'date_*'").await;
    assert!(functions.len() >= 5, "{functions:?}");
}

#[tokio::test]
async fn bulk_rows_go_by_column_name() {
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use shoal_engine::IngestMode;
    use shoal_engine::parser::Name;

    let lake = Lake::new().await;
    let name = Name(vec!["raw".into(), "Bulk".into()]);
    let rows = |from: i64| {
        let a = Arc::new(Int64Array::from(vec![from, from + 1]));
        let b = Arc::new(StringArray::from(vec![Some("x"), None]));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("b", b as arrow::array::ArrayRef, true),
            ("a", a as arrow::array::ArrayRef, true),
        ])
        .unwrap();
        let schema = batch.schema();
        let rows = futures::stream::iter([Ok(batch)]);
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    };
    let ingest = async |from: i64, mode: IngestMode| {
        let plan = lake.session.plan_ingest(&name, mode, rows(from)).await?;
        crate::harness::write_and_commit(plan).await
    };
    assert!(ingest(1, IngestMode::Append).await.is_err());
    assert_eq!(ingest(1, IngestMode::Create).await.unwrap(), 2);
    assert!(ingest(1, IngestMode::Create).await.is_err());
    assert_eq!(ingest(3, IngestMode::CreateAppend).await.unwrap(), 2);
    assert_eq!(
        lake.sorted("SELECT a, b FROM raw.bulk").await,
        ["1|x", "2|", "3|x", "4|"]
    );
    assert_eq!(ingest(5, IngestMode::Replace).await.unwrap(), 2);
    assert_eq!(lake.sorted("SELECT a FROM raw.bulk").await, ["5", "6"]);
}
