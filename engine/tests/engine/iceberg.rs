//! Iceberg tables: in Shoal's own catalog, and in one that the settings attach.

use crate::harness::Lake;

const SALES: &str =
    "(id BIGINT NOT NULL, small SMALLINT, category STRING, ts TIMESTAMP, tags ARRAY<STRING>)
    USING ICEBERG PARTITIONED BY (days(ts), category)";

#[tokio::test]
async fn a_table_of_an_attached_catalog_is_made_filled_and_queried() {
    let lake = Lake::with_iceberg().await;
    lake.ok("CREATE SCHEMA ice.shop").await;
    lake.ok(&format!("CREATE TABLE ice.shop.sales {SALES}"))
        .await;
    lake.ok(
        "INSERT INTO ice.shop.sales SELECT value, 1, 'c' || (value % 2), \
             to_timestamp_seconds(1704067200 + value * 43200), array('x') \
             FROM generate_series(0, 5)",
    )
    .await;
    lake.ok("INSERT INTO ice.shop.sales (id, category) VALUES (6, NULL), (7, '')")
        .await;
    assert_eq!(
        lake.rows(
            "SELECT category, count(*), min(ts), max(id) FROM ice.shop.sales GROUP BY 1 ORDER BY 4"
        )
        .await,
        [
            "c0|3|2024-01-01T00:00:00Z|4",
            "c1|3|2024-01-01T12:00:00Z|5",
            "|1||6",
            "|1||7"
        ]
    );
    let plan = lake
        .rows("EXPLAIN SELECT * FROM ice.shop.sales WHERE ts < TIMESTAMP '2024-01-02 00:00:00' AND category = 'c1'")
        .await
        .join("\n");
    assert!(plan.contains("ts_day=2024-01-01/category=c1"), "{plan}");
    assert!(!plan.contains("category=c0"), "{plan}");

    lake.ok("USE CATALOG ice").await;
    lake.ok("USE SCHEMA shop").await;
    assert_eq!(lake.rows("SELECT count(*) FROM sales").await, ["8"]);
    lake.ok("CREATE TABLE copied AS SELECT id, small FROM sales")
        .await;
    assert_eq!(
        lake.rows("SHOW TABLES").await,
        ["shop|copied|false", "shop|sales|false"]
    );
    lake.ok("ALTER TABLE copied SET TBLPROPERTIES ('k' = 'v')")
        .await;
    assert_eq!(lake.rows("SHOW TBLPROPERTIES copied ('k')").await, ["k|v"]);
    lake.ok("DROP TABLE copied PURGE").await;
    assert!(lake.files("warehouse/shop/copied/").is_empty());
    let error = lake.error("SELECT * FROM copied").await;
    assert!(error.contains("ice.shop.copied does not exist"), "{error}");
    assert!(
        lake.error("DROP SCHEMA ice.shop")
            .await
            .contains("not empty")
    );
    lake.ok("DROP SCHEMA ice.shop CASCADE").await;
    assert_eq!(lake.rows("SHOW SCHEMAS IN ice").await, Vec::<String>::new());
}

#[tokio::test]
async fn attached_names_are_listed_beside_shoals_own() {
    let lake = Lake::with_iceberg().await;
    lake.ok("CREATE SCHEMA ice.shop").await;
    lake.ok("CREATE TABLE ice.shop.t (a INT)").await;
    lake.ok("CREATE TABLE raw.t (a INT)").await;
    assert_eq!(lake.rows("SHOW CATALOGS").await, ["ice", "lake"]);
    assert_eq!(lake.rows("SHOW SCHEMAS IN ice").await, ["shop"]);
    let tables = "SELECT table_catalog, table_schema, table_name FROM information_schema.tables \
                  WHERE table_name = 't' ORDER BY 1";
    assert_eq!(lake.rows(tables).await, ["ice|shop|t", "lake|raw|t"]);
}

#[tokio::test]
async fn what_an_attached_catalog_cannot_hold_is_refused_by_name() {
    let lake = Lake::with_iceberg().await;
    lake.ok("CREATE SCHEMA ice.shop").await;
    lake.ok("CREATE TABLE ice.shop.t AS SELECT 1 AS a").await;
    for (sql, part) in [
        (
            "CREATE TABLE ice.shop.d (a INT) USING DELTA",
            "USING ICEBERG",
        ),
        ("CREATE VIEW ice.shop.v AS SELECT 1", "a view in ice"),
        ("CREATE CATALOG ice", "ice"),
        ("DROP CATALOG ice", "DROP CATALOG in ice"),
        ("CREATE SCHEMA ice.shop", "already exists"),
        ("CREATE SCHEMA ice.other COMMENT 'x'", "COMMENT"),
        ("CREATE TABLE ice.shop.t (a INT)", "already exists"),
        (
            "CREATE OR REPLACE TABLE ice.shop.t (a INT)",
            "DROP it first",
        ),
        ("INSERT OVERWRITE ice.shop.t VALUES (2)", "INSERT INTO"),
        ("TRUNCATE TABLE ice.shop.t", "INSERT INTO"),
        ("CREATE TABLE ice.shop.c (a INT CHECK (a > 0))", "CHECK"),
        ("CREATE TABLE ice.nope.t2 (a INT)", "ice.nope"),
    ] {
        let error = lake.error(sql).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
    assert_eq!(lake.rows("SELECT * FROM ice.shop.t").await, ["1"]);
    assert!(lake.files("warehouse/shop/t/data/").len() == 1);
}

#[tokio::test]
async fn an_iceberg_table_in_the_lake_is_dropped_made_again_and_registered() {
    let lake = Lake::new().await;
    lake.ok(&format!("CREATE TABLE raw.sales {SALES}")).await;
    lake.ok("INSERT INTO raw.sales (id) VALUES (1)").await;
    lake.ok("DROP TABLE raw.sales").await;
    lake.ok("CREATE TABLE raw.sales USING ICEBERG AS SELECT 2 AS id")
        .await;
    assert_eq!(lake.rows("SELECT * FROM raw.sales").await, ["2"]);
    let folder = lake.folder.path().display();
    lake.ok(&format!(
        "CREATE TABLE raw.first USING ICEBERG LOCATION '{folder}/raw/sales'"
    ))
    .await;
    assert_eq!(lake.rows("SELECT id FROM raw.first").await, ["1"]);
    lake.ok("INSERT INTO raw.first (id) VALUES (3)").await;
    assert_eq!(lake.rows("SELECT count(*) FROM raw.first").await, ["2"]);
    lake.ok("DROP SCHEMA raw CASCADE").await;
    lake.ok("CREATE SCHEMA raw").await;
    lake.ok("CREATE TABLE raw.sales USING ICEBERG AS SELECT 4 AS id")
        .await;
    assert_eq!(lake.rows("SELECT * FROM raw.sales").await, ["4"]);
}
