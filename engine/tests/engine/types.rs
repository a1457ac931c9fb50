//! IMAGE, VECTOR and TENSOR: declared, cast, written, read back, and carried through plans.

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use shoal_engine::Planned;
use shoal_engine::parser::sql_type_of;

use crate::harness::{Lake, Outcome};

const COLUMNS: &str =
    "(id INT, photo IMAGE, v VECTOR(3) COMMENT 'unit', d VECTOR(2, DOUBLE), t TENSOR(2, 3))";

/// One picture of 2 x 1 pixels; the numbers of its struct are BIGINT, as literals are.
const ROW: &str = "SELECT 1 AS id, named_struct('data', X'010203040506', 'height', 1, 'width', 2, 'channels', 3, \
     'mode', 'RGB') AS photo, array(0.5, 1, 2) AS v, array(1, 2) AS d, array(1, 2, 3, 4, 5, 6) AS t";

async fn batches(lake: &Lake, sql: &str) -> Vec<RecordBatch> {
    match lake.run(sql).await {
        Ok(Outcome::Rows(batches)) => batches,
        other => panic!("{sql}: {other:?}"),
    }
}

/// The columns that a client is told of.
async fn announced(lake: &Lake, sql: &str) -> SchemaRef {
    let statement = lake.session.parse(sql).unwrap().remove(0);
    match lake.session.plan(statement, None).await.unwrap() {
        Planned::Query(query) => query.schema(),
        other => panic!("{sql}: {other:?}"),
    }
}

fn extension(field: &Field) -> &str {
    field
        .metadata()
        .get("ARROW:extension:name")
        .map_or("", String::as_str)
}

async fn is_declared_written_described_and_read(lake: &Lake, table: &str, using: &str) {
    lake.ok(&format!("CREATE TABLE {table} {COLUMNS} USING {using}"))
        .await;
    assert_eq!(lake.ok(&format!("INSERT INTO {table} {ROW}")).await, 1);
    lake.ok(&format!("INSERT INTO {table} (id) VALUES (2)"))
        .await;
    assert_eq!(
        lake.rows(&format!("DESCRIBE {table}")).await,
        [
            "id|INT|",
            "photo|IMAGE|",
            "v|VECTOR(3)|unit",
            "d|VECTOR(2, DOUBLE)|",
            "t|TENSOR(2, 3)|"
        ]
    );
    let all = format!("SELECT * FROM {table} ORDER BY id");
    assert_eq!(
        lake.rows(&all).await,
        [
            "1|{data: 010203040506, height: 1, width: 2, channels: 3, mode: RGB}|[0.5, 1.0, 2.0]|[1.0, 2.0]|[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "2||||"
        ]
    );
    let types: Vec<String> = batches(lake, &all).await[0]
        .schema()
        .fields()
        .iter()
        .map(|field| sql_type_of(field))
        .collect();
    assert_eq!(
        types,
        [
            "INT",
            "IMAGE",
            "VECTOR(3)",
            "VECTOR(2, DOUBLE)",
            "TENSOR(2, 3)"
        ]
    );
    // The statement that makes the table makes the same table again.
    let statement = lake
        .rows(&format!("SHOW CREATE TABLE {table}"))
        .await
        .join("\n");
    assert!(!statement.contains("shoal."), "{statement}");
    let again = statement.replacen(table.rsplit('.').next().unwrap(), "again", 1);
    lake.ok(&again).await;
    let mut other = table.to_string();
    other.truncate(table.rfind('.').unwrap());
    assert_eq!(
        lake.rows(&format!("DESCRIBE {other}.again")).await,
        lake.rows(&format!("DESCRIBE {table}")).await
    );
}

#[tokio::test]
async fn delta_tables_have_images_vectors_and_tensors() {
    let lake = Lake::new().await;
    is_declared_written_described_and_read(&lake, "lake.raw.things", "DELTA").await;
}

#[tokio::test]
async fn iceberg_tables_have_images_vectors_and_tensors() {
    let lake = Lake::with_iceberg().await;
    lake.ok("CREATE SCHEMA ice.shop").await;
    is_declared_written_described_and_read(&lake, "ice.shop.things", "ICEBERG").await;
}

#[tokio::test]
async fn a_vector_of_another_length_is_refused_by_column_length_and_row() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE raw.t (id INT, v VECTOR(3))").await;
    let two = "INSERT INTO raw.t VALUES (7, array(1, 2, 3)), (8, array(1, 2))";
    assert_eq!(
        lake.error(two).await,
        "table lake.raw.t: column v takes 3 elements, and 2 are given in the row (id: 8, v: [1.0, 2.0])"
    );
    let cast = "INSERT INTO raw.t SELECT 1, CAST(array(1, 2) AS VECTOR(2))";
    let message = lake.error(cast).await;
    assert!(message.contains("column v of type VECTOR(3)"), "{message}");
    assert!(message.contains("it takes 3 elements, not 2"), "{message}");
    let text = lake.error("INSERT INTO raw.t SELECT 1, '[1, 2, 3]'").await;
    assert!(text.contains("write CAST(… AS VECTOR(3))"), "{text}");
    assert_eq!(lake.rows("SELECT count(*) FROM raw.t").await, ["0"]);
    assert_eq!(
        lake.ok("INSERT INTO raw.t VALUES (1, NULL), (2, array(1, NULL, 3))")
            .await,
        2
    );
}

#[tokio::test]
async fn casts_make_vectors_tensors_and_images() {
    let lake = Lake::new().await;
    assert_eq!(
        lake.rows("SELECT CAST(array(1, 2, 3) AS VECTOR(3)), array(1, 2)::VECTOR(2, DOUBLE)")
            .await,
        ["[1.0, 2.0, 3.0]|[1.0, 2.0]"]
    );
    let message = lake.error("SELECT CAST(array(1, 2) AS VECTOR(3))").await;
    assert!(
        message.contains("lists of 3 elements here, and a row has one of 2"),
        "{message}"
    );
    // Rows that are skipped leave the values of the others where they are.
    let sliced = "SELECT CAST(l AS VECTOR(2)) AS v FROM (SELECT array(value, value) AS l FROM generate_series(1, 4) \
                  ORDER BY value LIMIT 2 OFFSET 1)";
    assert_eq!(lake.rows(sliced).await, ["[2.0, 2.0]", "[3.0, 3.0]"]);
    let schema = announced(
        &lake,
        &format!("SELECT CAST(photo AS IMAGE) AS i, CAST(t AS TENSOR(2, 3)) FROM ({ROW})"),
    )
    .await;
    let types: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| sql_type_of(field))
        .collect();
    assert_eq!(types, ["IMAGE", "TENSOR(2, 3)"]);
    assert_eq!(extension(schema.field(0)), "shoal.image");
    assert_eq!(extension(schema.field(1)), "arrow.fixed_shape_tensor");
    assert_eq!(schema.field(1).name(), "CAST(t AS TENSOR(2, 3))");
}

#[tokio::test]
async fn a_table_made_of_a_query_and_a_view_keep_the_types() {
    let lake = Lake::new().await;
    lake.ok(&format!("CREATE TABLE raw.a {COLUMNS}")).await;
    lake.ok(&format!("INSERT INTO raw.a {ROW}")).await;
    lake.ok("CREATE TABLE raw.b AS SELECT * FROM raw.a").await;
    lake.ok("CREATE VIEW raw.seen AS SELECT * FROM raw.b").await;
    let types = [
        "id|INT|",
        "photo|IMAGE|",
        "v|VECTOR(3)|",
        "d|VECTOR(2, DOUBLE)|",
        "t|TENSOR(2, 3)|",
    ];
    for name in ["raw.b", "raw.seen"] {
        let described = lake.rows(&format!("DESCRIBE {name}")).await;
        let described: Vec<&str> = described
            .iter()
            .map(|row| row.trim_end_matches("unit"))
            .collect();
        assert_eq!(described, types, "{name}");
    }
    lake.ok("INSERT OVERWRITE raw.b SELECT * FROM raw.seen")
        .await;
    assert_eq!(
        lake.rows("SELECT v, t FROM raw.b").await,
        ["[0.5, 1.0, 2.0]|[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]"]
    );
}

/// A table of lists as another engine writes it, taken over with a note that says vectors.
async fn noted(lake: &Lake, lists: &str, name: &str) {
    let folder = lake.folder.path().join("raw");
    let (from, to) = (folder.join(lists), lake.folder.path().join(name));
    std::fs::create_dir_all(to.join("_delta_log")).unwrap();
    for part in ["", "_delta_log"] {
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    let log = to.join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    let none = r#"\"metadata\":{}"#;
    let last = text.rfind(none).unwrap();
    let note = r#"\"metadata\":{\"shoal.type\":\"vector(3)\"}"#;
    let text = format!("{}{note}{}", &text[..last], &text[last + none.len()..]);
    std::fs::write(&log, text).unwrap();
    lake.ok(&format!(
        "CREATE TABLE raw.{name} USING DELTA LOCATION '{}'",
        to.display()
    ))
    .await;
}

#[tokio::test]
async fn lists_in_files_become_vectors_and_one_of_another_length_is_named_with_its_file() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE raw.lists (id INT, v ARRAY<DOUBLE>)")
        .await;
    lake.ok("INSERT INTO raw.lists VALUES (1, array(1, 2, 3)), (2, NULL), (3, array(4, 5, 6))")
        .await;
    noted(&lake, "lists", "vectors").await;
    assert_eq!(
        lake.rows("DESCRIBE raw.vectors").await,
        ["id|INT|", "v|VECTOR(3, DOUBLE)|"]
    );
    let later = "SELECT v FROM raw.vectors ORDER BY id LIMIT 2 OFFSET 1";
    assert_eq!(lake.rows(later).await, ["", "[4.0, 5.0, 6.0]"]);
    let filtered = "SELECT id FROM raw.vectors WHERE v[0] = 4 AND id > 1";
    assert_eq!(lake.rows(filtered).await, ["3"]);
    lake.ok("INSERT INTO raw.vectors VALUES (4, array(7, 8, 9))")
        .await;
    assert_eq!(
        lake.rows("SELECT max(v[2]) FROM raw.vectors").await,
        ["9.0"]
    );

    lake.ok("INSERT INTO raw.lists VALUES (4, array(1, 2))")
        .await;
    noted(&lake, "lists", "uneven").await;
    let message = lake.error("SELECT v FROM raw.uneven").await;
    assert!(
        message.contains("column v takes 3 elements, but the file"),
        "{message}"
    );
    assert!(message.contains("has a row of 2"), "{message}");
    let named = lake
        .files(".parquet")
        .iter()
        .any(|file| file.starts_with("uneven") && message.contains(file.as_str()));
    assert!(named, "{message}");
    assert_eq!(lake.rows("SELECT count(id) FROM raw.uneven").await, ["4"]);
}

/// Where a plan carries the shape of a tensor, and where it does not: those nodes of DataFusion
/// that make a new field of a column's type. `docs/types.md` says so to users.
#[tokio::test]
async fn the_shape_of_a_tensor_goes_through_plans() {
    let lake = Lake::new().await;
    lake.ok(&format!("CREATE TABLE raw.a {COLUMNS}")).await;
    lake.ok(&format!("INSERT INTO raw.a {ROW}")).await;
    lake.ok(&format!("INSERT INTO raw.a {ROW}")).await;
    for (sql, kept) in [
        ("SELECT t FROM raw.a WHERE id = 1 ORDER BY id LIMIT 1", true),
        ("SELECT t AS renamed FROM raw.a", true),
        (
            "SELECT x.t FROM raw.a AS x JOIN raw.a AS y ON x.id = y.id",
            true,
        ),
        (
            "SELECT x.t FROM raw.a AS x LEFT JOIN raw.a AS y ON x.id = y.id + 1",
            true,
        ),
        ("SELECT t, count(*) FROM raw.a GROUP BY t", true),
        ("SELECT DISTINCT t FROM raw.a", true),
        ("SELECT t FROM raw.a UNION ALL SELECT t FROM raw.a", true),
        ("WITH w AS (SELECT t FROM raw.a) SELECT t FROM w", true),
        ("SELECT first_value(t ORDER BY id) FROM raw.a", true),
        (
            "SELECT t, row_number() OVER (PARTITION BY id ORDER BY id) FROM raw.a",
            true,
        ),
        ("SELECT CASE WHEN id = 1 THEN t END FROM raw.a", false),
        ("SELECT coalesce(t, t) FROM raw.a", false),
        ("SELECT lag(t) OVER (ORDER BY id) FROM raw.a", true),
        ("SELECT (SELECT first_value(t) FROM raw.a) AS s", true),
    ] {
        let schema = announced(&lake, sql).await;
        let name = extension(schema.field(0));
        assert_eq!(name == "arrow.fixed_shape_tensor", kept, "{sql}: {name:?}");
        let rows = batches(&lake, sql).await;
        assert!(
            rows.iter()
                .all(|batch| batch.column(0).null_count() < batch.num_rows().max(1)),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn the_information_schema_has_the_names_that_statements_have() {
    let lake = Lake::new().await;
    lake.ok(
        "CREATE TABLE kinds (a STRING, b IMAGE, c VECTOR(3), d TENSOR(2, 3), e ARRAY<STRUCT<x: INT>>, f DECIMAL(9, 2)); \
         CREATE VIEW v AS SELECT c, d FROM kinds",
    )
    .await;
    for table in ["kinds", "v"] {
        let described = lake.rows(&format!("DESCRIBE {table}")).await;
        let described: Vec<&str> = described
            .iter()
            .map(|row| row.trim_end_matches('|'))
            .collect();
        let sql = format!(
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_name = '{table}' ORDER BY ordinal_position"
        );
        assert_eq!(lake.rows(&sql).await, described);
    }
    lake.ok(
        "CREATE VIEW vectors AS SELECT column_name FROM information_schema.columns c \
         WHERE c.data_type LIKE 'VECTOR%' AND table_name = 'kinds'",
    )
    .await;
    assert_eq!(lake.rows("SELECT * FROM vectors").await, ["c"]);
}
