//! What the parser accepts and what it makes of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::*;

fn one(sql: &str) -> Statement {
    let mut statements = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0)
}

fn table(sql: &str) -> CreateTable {
    match one(sql) {
        Statement::CreateTable(table) => *table,
        other => panic!("{other:?}"),
    }
}

fn error(sql: &str) -> String {
    match parse(sql) {
        Err(e) => e.to_string(),
        Ok(statements) => panic!("{sql} is taken for {statements:?}"),
    }
}

fn name(parts: &[&str]) -> Name {
    Name(parts.iter().map(ToString::to_string).collect())
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// The seed's statement that creates the table.
fn seed(table: &str) -> &'static str {
    let image_lake = include_str!("../../../tests/seeds/image_lake.sql");
    let data_platform = include_str!("../../../tests/seeds/data_platform.sql");
    let mut statements = image_lake.split("\n\n").chain(data_platform.split("\n\n"));
    let start = format!("CREATE TABLE {table} (");
    statements.find(|sql| sql.contains(&start)).unwrap()
}

#[test]
fn images_of_the_seed() {
    let images = table(seed("raw.images"));
    assert_eq!(images.name, name(&["raw", "images"]));
    assert_eq!(images.using.as_deref(), Some("DELTA"));
    let types: Vec<_> = images.columns.iter().map(|c| c.data_type.clone()).collect();
    let metadata = DataType::Struct(
        vec![
            Field::new("width", DataType::Int32, true),
            Field::new("height", DataType::Int32, true),
            Field::new("channels", DataType::Int32, true),
            Field::new("format", DataType::Utf8, true),
        ]
        .into(),
    );
    let string = DataType::Utf8;
    let expected = [
        string.clone(),
        string.clone(),
        DataType::Binary,
        string,
        DataType::Int64,
        utc(),
        metadata,
        utc(),
    ];
    assert_eq!(types, expected);
    let [PartitionItem::NewColumn(day)] = images.partitioned_by.as_slice() else {
        panic!("{:?}", images.partitioned_by);
    };
    assert_eq!(
        (day.name.as_str(), &day.data_type),
        ("date_partition", &DataType::Utf8)
    );
}

#[test]
fn features_of_the_seed() {
    let features = table(seed("processed.features"));
    let list = DataType::List(Arc::new(Field::new("element", DataType::Float32, true)));
    assert_eq!(features.columns[1].data_type, list);
}

#[test]
fn tables_of_the_second_seed() {
    let users = table(seed("users"));
    assert_eq!(
        users.partitioned_by,
        [PartitionItem::Column("created_at".into())]
    );
    let transactions = table(seed("transactions"));
    let date = PartitionItem::Transform {
        function: PartitionFunction::Date,
        column: "transaction_time".into(),
    };
    assert_eq!(transactions.partitioned_by, [date]);
}

#[test]
fn iceberg_transforms() {
    let t = table(
        "create table t (ts timestamp_ntz, c string, n int) using iceberg
         partitioned by (days(ts), bucket(16, n), truncate(4, c), c)",
    );
    let functions: Vec<_> = t
        .partitioned_by
        .iter()
        .filter_map(|item| match item {
            PartitionItem::Transform { function, .. } => Some(*function),
            _ => None,
        })
        .collect();
    let expected = [
        PartitionFunction::Days,
        PartitionFunction::Bucket(16),
        PartitionFunction::Truncate(4),
    ];
    assert_eq!(functions, expected);
}

#[test]
fn clauses_come_in_any_order() {
    let sql = "CREATE TABLE IF NOT EXISTS c.s.t (a INT NOT NULL COMMENT 'key', \
               b DECIMAL(12, 2) CHECK (b > 0), CONSTRAINT later CHECK (a < 10 OR b IS NULL), \
               d DATE GENERATED ALWAYS AS (CAST(ts AS DATE)), ts TIMESTAMP) \
               COMMENT 'it''s mine' TBLPROPERTIES ('x.y' = '1', z = 2) LOCATION 's3://b/t' \
               PARTITIONED BY (d) USING delta";
    let t = table(sql);
    assert!(t.if_not_exists);
    assert_eq!(t.name, name(&["c", "s", "t"]));
    assert!(!t.columns[0].nullable);
    assert_eq!(t.columns[0].comment.as_deref(), Some("key"));
    assert_eq!(
        t.columns[2].generated.as_ref().unwrap().to_string(),
        "CAST(ts AS DATE)"
    );
    let checks: Vec<_> = t
        .checks
        .iter()
        .map(|c| (c.name.as_str(), c.expression.to_string()))
        .collect();
    let expected = [
        ("b_check", "b > 0".to_string()),
        ("later", "a < 10 OR b IS NULL".to_string()),
    ];
    assert_eq!(checks, expected);
    assert_eq!(t.comment.as_deref(), Some("it's mine"));
    assert_eq!(t.properties["x.y"], "1");
    assert_eq!(t.properties["z"], "2");
    assert_eq!(t.location.as_deref(), Some("s3://b/t"));
}

#[test]
fn nested_types_close_together() {
    let t = table("CREATE TABLE t (a ARRAY<STRUCT<x: MAP<STRING, ARRAY<INT>>>>, b STRUCT<y INT>)");
    let printed: Vec<_> = t.columns.iter().map(|c| sql_type(&c.data_type)).collect();
    assert_eq!(
        printed,
        [
            "ARRAY<STRUCT<x: MAP<STRING, ARRAY<INT>>>>",
            "STRUCT<y: INT>"
        ]
    );
}

#[test]
fn a_printed_type_is_parsed_to_itself() {
    for text in [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(38,10)",
        "STRING",
        "BINARY",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP_NTZ",
        "STRUCT<a: INT NOT NULL, `b c`: ARRAY<BINARY>>",
        "IMAGE",
        "ARRAY<IMAGE>",
        "VECTOR(3)",
        "VECTOR(256, DOUBLE)",
        "TENSOR(2, 3)",
        "TENSOR(224, 224, 3, SMALLINT)",
    ] {
        let t = table(&format!("CREATE TABLE t (c {text})"));
        let column = &t.columns[0];
        let field = Field::new("c", column.data_type.clone(), true);
        assert_eq!(
            sql_type_of(&field.with_metadata(column.extension.clone())),
            text
        );
    }
}

#[test]
fn a_vector_has_a_size_and_is_a_whole_column() {
    for (sql, reason) in [
        ("CREATE TABLE t (v VECTOR(0))", "VECTOR(0) is not a type"),
        (
            "CREATE TABLE t (v VECTOR(2, 2))",
            "VECTOR(2, 2) is not a type",
        ),
        (
            "CREATE TABLE t (v VECTOR(3, STRING))",
            "VECTOR(3, STRING) is not a type",
        ),
        (
            "CREATE TABLE t (v TENSOR(100000, 100000))",
            "at most 67108864 numbers",
        ),
        ("CREATE TABLE t (v VECTOR)", "expected (,"),
        ("CREATE TABLE t (v ARRAY<VECTOR(3)>)", "use ARRAY<FLOAT>"),
    ] {
        let message = error(sql);
        assert!(message.contains(reason), "{sql}: {message}");
    }
}

#[test]
fn create_table_as() {
    let t = table("CREATE OR REPLACE TABLE t USING delta PARTITIONED BY (a) AS SELECT 1 AS a");
    assert!(t.or_replace && t.query.is_some());
    assert!(table("CREATE TABLE t AS (SELECT 1 AS a)").query.is_some());
    assert!(table("CREATE TABLE t SELECT 1 AS a").query.is_some());
    let message = error("CREATE TABLE t (a INT) AS SELECT 1");
    assert!(message.contains("both a column list and AS"), "{message}");
}

#[test]
fn a_table_at_a_location_needs_no_columns() {
    assert!(
        table("CREATE TABLE t USING DELTA LOCATION 's3://b/t'")
            .columns
            .is_empty()
    );
    assert!(error("CREATE TABLE t USING DELTA").contains("has no columns"));
}

#[test]
fn inserts() {
    let Statement::Insert(insert) =
        one("INSERT OVERWRITE TABLE s.t PARTITION (d = '2024-01-01', e) (a, b) SELECT 1, 2, 3")
    else {
        panic!("not an insert");
    };
    assert!(insert.overwrite);
    assert_eq!(insert.partition.len(), 2);
    assert!(insert.partition[0].1.is_some() && insert.partition[1].1.is_none());
    assert_eq!(insert.columns, ["a", "b"]);
    let Statement::Insert(insert) = one("INSERT INTO t VALUES (1, 'a'), (2, 'b')") else {
        panic!("not an insert");
    };
    assert!(insert.columns.is_empty() && !insert.overwrite);
    assert!(
        matches!(one("INSERT INTO t BY NAME SELECT 1 AS a"), Statement::Insert(i) if i.by_name)
    );
    assert!(
        matches!(one("INSERT INTO t (SELECT 1)"), Statement::Insert(i) if i.columns.is_empty())
    );
    assert!(error("INSERT INTO t VALUES (1) RETURNING a").contains("RETURNING"));
    assert!(error("INSERT INTO t (a, A) VALUES (1, 2)").contains("twice"));
}

#[test]
fn question_marks_are_numbered_per_statement() {
    let statements = parse("SELECT ?, ?; SELECT ? + 1").unwrap();
    let text: Vec<_> = statements
        .iter()
        .map(|s| match s {
            Statement::Query(query) => query.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(text, ["SELECT $1, $2", "SELECT $1 + 1"]);
}

#[test]
fn queries_of_several_dialects() {
    for sql in [
        "SELECT a::INT, \"b c\", `d` FROM \"s\".t WHERE x = 'y' LIMIT 3",
        "SELECT * EXCEPT (a) FROM t",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT * FROM VALUES (1, 'a'), (2, 'b') AS t (x, y)",
        "VALUES (1), (2)",
        "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
        "SELECT array(1, 2), array_transform(v, x -> x + 1) FROM t",
        "SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ROLLUP (b)",
        "SELECT sum(x) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT DATE '2024-01-01' + INTERVAL '3' MONTH, INTERVAL '1 day', INTERVAL 2 HOURS",
        "SELECT extract(year FROM d), substring(s FROM 1 FOR 2), trim(both ' ' from s) FROM t",
        "SELECT metadata.width, v[1] FROM raw.images",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
        "SELECT 1 -- comment\n /* another */ ;",
        "SELECT CASE WHEN a THEN 1 ELSE 2 END, a IS NOT DISTINCT FROM b, a <=> b FROM t",
        "SELECT größe FROM t",
    ] {
        assert!(matches!(one(sql), Statement::Query(_)), "{sql}");
    }
}

#[test]
fn show_and_describe() {
    let show = |sql: &str| match one(sql) {
        Statement::Show(show) => show,
        other => panic!("{other:?}"),
    };
    let tables = Show::Tables {
        schema: Some(name(&["lake", "raw"])),
        pattern: Some("im*".into()),
    };
    assert_eq!(show("SHOW TABLES IN lake.raw LIKE 'im*'"), tables);
    assert_eq!(
        show("show columns from images in raw"),
        Show::Columns(name(&["raw", "images"]))
    );
    assert_eq!(show("SHOW CREATE TABLE t"), Show::CreateTable(name(&["t"])));
    assert_eq!(show("SHOW EXECUTORS"), Show::Executors);
    assert_eq!(
        show("SHOW query.placement"),
        Show::Setting("query.placement".into())
    );
    assert_eq!(show("SHOW ALL"), Show::Settings);
    assert_eq!(show("SET"), Show::Settings);
    assert_eq!(
        show("SET query.placement"),
        Show::Setting("query.placement".into())
    );
    let described = Statement::Describe(Describe::Table {
        name: name(&["raw", "images"]),
        extended: true,
    });
    assert_eq!(one("DESC TABLE EXTENDED raw.images"), described);
    assert!(matches!(
        one("DESCRIBE SELECT 1"),
        Statement::Describe(Describe::Query(_))
    ));
    assert!(matches!(one("DESCRIBE history"), Statement::Describe(_)));
    assert!(matches!(
        one("DESCRIBE FUNCTION EXTENDED image_info"),
        Statement::Describe(Describe::Function { extended: true, .. })
    ));
}

#[test]
fn explain_takes_every_statement_but_itself() {
    let Statement::Explain(explain) = one("EXPLAIN ANALYZE VERBOSE SELECT 1") else {
        panic!("not an explain");
    };
    assert!(explain.analyze && explain.verbose);
    let Statement::Explain(explain) = one("EXPLAIN FORMAT TREE INSERT INTO t SELECT 1") else {
        panic!("not an explain");
    };
    assert_eq!(explain.format, ExplainFormat::Tree);
    error(&"EXPLAIN ".repeat(100_000));
}

#[test]
fn settings() {
    let set = |key: &str, value: &str| Statement::Set {
        key: key.into(),
        value: value.into(),
    };
    assert_eq!(
        one("SET query.local_max_bytes = 64MiB"),
        set("query.local_max_bytes", "64MiB")
    );
    assert_eq!(
        one("SET query.placement TO 'local'"),
        set("query.placement", "local")
    );
    assert_eq!(one("SET x = -1"), set("x", "-1"));
    assert_eq!(
        one("SET TIME ZONE 'UTC'"),
        set("datafusion.execution.time_zone", "UTC")
    );
    assert_eq!(
        one("RESET query.placement"),
        Statement::Reset(Some("query.placement".into()))
    );
    assert_eq!(one("RESET"), Statement::Reset(None));
    assert_eq!(
        one("USE CATALOG lake"),
        Statement::Use(Use::Catalog("lake".into()))
    );
    assert_eq!(one("USE raw"), Statement::Use(Use::Schema(name(&["raw"]))));
    assert_eq!(
        one("USE SCHEMA lake.raw"),
        Statement::Use(Use::Schema(name(&["lake", "raw"])))
    );
}

#[test]
fn definitions() {
    assert!(matches!(
        one("CREATE SCHEMA IF NOT EXISTS lake.x COMMENT 'c' LOCATION '/d'"),
        Statement::CreateSchema {
            if_not_exists: true,
            location: Some(_),
            ..
        }
    ));
    assert!(matches!(
        one("DROP SCHEMA x CASCADE"),
        Statement::DropSchema { cascade: true, .. }
    ));
    assert!(matches!(
        one("DROP TABLE IF EXISTS t PURGE"),
        Statement::DropTable {
            if_exists: true,
            purge: true,
            ..
        }
    ));
    assert!(matches!(
        one("CREATE CATALOG c"),
        Statement::CreateCatalog { .. }
    ));
    assert!(
        matches!(one("CREATE OR REPLACE VIEW v (a, b) COMMENT 'c' AS SELECT 1, 2"),
        Statement::CreateView(view) if view.columns.len() == 2 && view.or_replace)
    );
    assert!(matches!(
        one("COMMENT ON TABLE t IS NULL"),
        Statement::Comment { comment: None, .. }
    ));
    assert!(matches!(
        one("ALTER TABLE t SET TBLPROPERTIES ('a' = 'b')"),
        Statement::SetProperties { .. }
    ));
    assert!(matches!(one("TRUNCATE TABLE t"), Statement::Truncate(_)));
    assert!(matches!(
        one("PREPARE p AS SELECT $1"),
        Statement::Prepare { .. }
    ));
    assert!(
        matches!(one("EXECUTE p (1, 'x')"), Statement::Execute { arguments, .. }
        if arguments.len() == 2)
    );
}

#[test]
fn copy_of_images() {
    let Statement::CopyImages(copy) =
        one("COPY INTO raw.images FROM 's3://b/p' FILEFORMAT = IMAGE OPTIONS ('Glob' = '*.jpg')")
    else {
        panic!("not a copy");
    };
    assert_eq!(
        (copy.source.as_str(), copy.options["glob"].as_str()),
        ("s3://b/p", "*.jpg")
    );
    assert!(error("COPY INTO t FROM 'x' FILEFORMAT = CSV").contains("FILEFORMAT = IMAGE"));
}
