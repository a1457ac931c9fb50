//! Names: tables, schemas, catalogs, views, properties, and what is shown of them.

use crate::harness::Lake;

#[tokio::test]
async fn a_table_is_described_and_its_statement_makes_it_again() {
    let lake = Lake::new().await;
    lake.ok(
        "CREATE TABLE t (id INT NOT NULL COMMENT 'key', price DECIMAL(8,2) CHECK (price >= 0), \
         at TIMESTAMP, tags MAP<STRING, ARRAY<INT>>, day DATE GENERATED ALWAYS AS (CAST(at AS DATE))) \
         PARTITIONED BY (day) COMMENT 'it''s a test' TBLPROPERTIES ('owner' = 'me')",
    )
    .await;
    let described = lake.rows("DESCRIBE EXTENDED t").await;
    for line in [
        "id|INT|key",
        "price|DECIMAL(8,2)|",
        "# Partition Information||",
        "Type|MANAGED|",
        "Comment|it's a test|",
        "Version|0|",
    ] {
        assert!(
            described.iter().any(|row| row == line),
            "{line} is not in {described:#?}"
        );
    }
    let statement = lake.rows("SHOW CREATE TABLE t").await.join("\n");
    assert!(
        statement.contains("TBLPROPERTIES ('owner' = 'me')"),
        "{statement}"
    );
    let again = statement.replace("default.t", "default.again");
    lake.ok(&again).await;
    assert_eq!(lake.rows("SHOW CREATE TABLE again").await.join("\n"), again);
    assert_eq!(
        lake.rows("DESCRIBE again").await,
        lake.rows("DESCRIBE t").await
    );
    assert_eq!(
        lake.rows("SHOW TBLPROPERTIES t ('owner')").await,
        ["owner|me"]
    );
}

#[tokio::test]
async fn names_are_listed() {
    let lake = Lake::new().await;
    lake.ok(
        "CREATE SCHEMA shop; CREATE TABLE shop.items (a INT); CREATE VIEW shop.v AS SELECT 1 AS x",
    )
    .await;
    assert_eq!(lake.rows("SHOW CATALOGS").await, ["lake"]);
    assert_eq!(
        lake.rows("SHOW SCHEMAS").await,
        ["curated", "default", "processed", "raw", "shop"]
    );
    assert_eq!(
        lake.rows("SHOW TABLES IN shop").await,
        ["shop|items|false", "shop|v|false"]
    );
    assert_eq!(
        lake.rows("SHOW TABLES IN shop LIKE 'it*'").await,
        ["shop|items|false"]
    );
    assert_eq!(lake.rows("SHOW VIEWS IN lake.shop").await, ["shop|v|false"]);
    assert_eq!(lake.rows("SHOW COLUMNS IN shop.items").await, ["a"]);
    assert_eq!(
        lake.rows(
            "SELECT table_name, table_type FROM information_schema.tables \
             WHERE table_schema = 'shop' ORDER BY 1"
        )
        .await,
        ["items|BASE TABLE", "v|VIEW"]
    );
    assert_eq!(
        lake.rows(
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_schema = 'shop' AND table_name = 'items'"
        )
        .await,
        ["a|INT"]
    );
    let error = lake.error("SHOW TABLES IN shpo").await;
    assert!(error.contains("did you mean shop?"), "{error}");
}

#[tokio::test]
async fn views_keep_the_names_they_were_made_with() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE raw.t (a INT, b STRING); INSERT INTO raw.t VALUES (1, 'x'), (2, 'y')")
        .await;
    lake.ok(
        "USE raw; CREATE VIEW big (n, label) COMMENT 'c' AS SELECT a, upper(b) FROM t WHERE a > 1",
    )
    .await;
    lake.ok("USE curated; CREATE VIEW v AS SELECT label FROM raw.big")
        .await;
    assert_eq!(lake.rows("SELECT * FROM lake.raw.big").await, ["2|Y"]);
    assert_eq!(lake.rows("SELECT * FROM v").await, ["Y"]);
    lake.ok("CREATE OR REPLACE VIEW raw.big (n, label) AS SELECT 7, 'z'")
        .await;
    assert_eq!(lake.rows("SELECT * FROM v").await, ["z"]);
    let error = lake
        .error("CREATE OR REPLACE VIEW raw.big AS SELECT label FROM curated.v")
        .await;
    assert!(error.contains("selects from itself"), "{error}");
    assert_eq!(lake.rows("SELECT n FROM raw.big").await, ["7"]);
    assert!(
        lake.error("INSERT INTO v SELECT 'a'")
            .await
            .contains("is a view")
    );
    assert!(lake.error("DROP TABLE v").await.contains("DROP VIEW"));
    lake.ok("DROP VIEW v; DROP VIEW IF EXISTS v").await;
}

#[tokio::test]
async fn dropped_tables_keep_their_files_without_purge() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT); INSERT INTO t VALUES (1); DROP TABLE t")
        .await;
    assert!(!lake.files("default/t/part-").is_empty() || !lake.files("default/t/").is_empty());
    lake.ok("CREATE TABLE t (a INT)").await;
    assert_eq!(lake.rows("SELECT count(*) FROM t").await, ["0"]);
    lake.ok("INSERT INTO t VALUES (2); DROP TABLE t PURGE")
        .await;
    let path = lake.folder.path().join("default/t").display().to_string();
    lake.ok(&format!("CREATE TABLE old USING DELTA LOCATION '{path}'"))
        .await;
    assert_eq!(lake.rows("SELECT a FROM old").await, ["1"]);
    let error = lake.error("DROP TABLE old PURGE").await;
    assert!(error.contains("external"), "{error}");
    lake.ok("DROP TABLE old").await;
    assert!(!lake.files("default/t/_delta_log").is_empty());
    let error = lake.error("DROP TABLE old").await;
    assert!(error.contains("does not exist"), "{error}");
}

#[tokio::test]
async fn create_or_replace_and_if_not_exists() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")
        .await;
    lake.ok("CREATE TABLE IF NOT EXISTS t (b STRING)").await;
    assert_eq!(lake.rows("SELECT a FROM t").await, ["1"]);
    let error = lake.error("CREATE TABLE t (b STRING)").await;
    assert!(
        error.contains("already exists") && error.contains("OR REPLACE"),
        "{error}"
    );
    lake.ok("CREATE OR REPLACE TABLE t (b STRING)").await;
    assert_eq!(lake.rows("SELECT count(b) FROM t").await, ["0"]);
}

#[tokio::test]
async fn properties_and_comments() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE t (a INT); ALTER TABLE t SET TBLPROPERTIES ('x' = '1', 'y' = '2')")
        .await;
    lake.ok("ALTER TABLE t UNSET TBLPROPERTIES ('x'); COMMENT ON TABLE t IS 'hello'")
        .await;
    assert_eq!(lake.rows("SHOW TBLPROPERTIES t").await, ["y|2"]);
    let described = lake.rows("DESCRIBE EXTENDED t").await;
    assert!(
        described.contains(&"Comment|hello|".to_string()),
        "{described:#?}"
    );
    let error = lake.error("ALTER TABLE t UNSET TBLPROPERTIES ('x')").await;
    assert!(error.contains("IF EXISTS"), "{error}");
}

#[tokio::test]
async fn schemas_and_catalogs_come_and_go() {
    let lake = Lake::new().await;
    let place = lake.folder.path().join("elsewhere").display().to_string();
    lake.ok(&format!(
        "CREATE SCHEMA s COMMENT 'mine' LOCATION '{place}'; CREATE TABLE s.t (a INT)"
    ))
    .await;
    assert!(!lake.files("elsewhere/t/_delta_log").is_empty());
    let described = lake.rows("DESCRIBE SCHEMA s").await;
    assert!(
        described.contains(&"Comment|mine".to_string()),
        "{described:?}"
    );
    assert!(lake.error("DROP SCHEMA s").await.contains("CASCADE"));
    lake.ok("DROP SCHEMA s CASCADE; DROP SCHEMA IF EXISTS s")
        .await;
    lake.ok("CREATE CATALOG other; USE CATALOG other; CREATE TABLE t AS SELECT 1 AS a")
        .await;
    assert_eq!(lake.rows("SELECT a FROM other.default.t").await, ["1"]);
    assert!(!lake.files("default/other/default/t/").is_empty());
    lake.ok("USE lake; DROP CATALOG other CASCADE").await;
    assert!(lake.error("USE other").await.contains("does not exist"));
}

#[tokio::test]
async fn no_name_leads_out_of_its_folder() {
    let lake = Lake::new().await;
    lake.ok(
        "CREATE TABLE raw.`../../x` (a INT); CREATE SCHEMA `..`; CREATE TABLE `..`.`.` (a INT)",
    )
    .await;
    assert!(!lake.files("raw/______x/_delta_log").is_empty());
    assert!(!lake.files("default/__/_/_delta_log").is_empty());
    lake.ok("DROP TABLE `..`.`.` PURGE").await;
    assert!(!lake.files("raw/______x/_delta_log").is_empty());
}

#[tokio::test]
async fn settings_hold_for_the_session() {
    let lake = Lake::new().await;
    assert_eq!(
        lake.rows("SHOW query.placement").await,
        ["query.placement|auto"]
    );
    lake.ok("SET query.placement = distributed; SET spark.sql.shuffle.partitions = 3")
        .await;
    assert_eq!(
        lake.rows("SHOW query.placement").await,
        ["query.placement|distributed"]
    );
    assert_eq!(
        lake.rows("SET datafusion.execution.target_partitions")
            .await,
        ["datafusion.execution.target_partitions|3"]
    );
    lake.ok("RESET query.placement").await;
    assert_eq!(
        lake.rows("SHOW query.placement").await,
        ["query.placement|auto"]
    );
    assert!(lake.rows("SHOW ALL").await.len() > 50);
    assert!(lake.error("SET no.such = 1").await.contains("SHOW ALL"));
}
