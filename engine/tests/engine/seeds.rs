//! The statements of the two platforms that Shoal takes the place of, word for word.

use crate::harness::Lake;

/// The statements of both seeds, which stand without semicolons between blank lines.
fn seed_tables() -> Vec<&'static str> {
    let image_lake = include_str!("../../../tests/seeds/image_lake.sql");
    let data_platform = include_str!("../../../tests/seeds/data_platform.sql");
    let statements = image_lake.split("\n\n").chain(data_platform.split("\n\n"));
    statements.collect()
}

#[tokio::test]
async fn all_tables_of_the_seeds_are_made_and_take_rows() {
    let lake = Lake::new().await;
    let tables = seed_tables();
    assert_eq!(tables.len(), 6);
    for sql in tables {
        lake.ok(sql).await;
    }
    lake.ok(
        "INSERT INTO raw.images VALUES ('a', 'a.jpg', X'FFD8', 'image/jpeg', 2, \
         '2024-05-06 07:08:09', named_struct('width', 4, 'height', 3, 'channels', 3, 'format', 'jpeg'), \
         now(), '2024-05-06')",
    )
    .await;
    assert_eq!(
        lake.rows("SELECT id, metadata.width, created_at, date_partition FROM raw.images")
            .await,
        ["a|4|2024-05-06T07:08:09Z|2024-05-06"]
    );
    lake.ok(
        "INSERT INTO processed.features VALUES ('a', array(0.5, 1), 'v1', now(), 0.9, '2024-05-06')",
    )
    .await;
    assert_eq!(
        lake.rows("SELECT feature_vector, size(feature_vector) FROM processed.features")
            .await,
        ["[0.5, 1.0]|2"]
    );
    lake.ok("INSERT INTO curated.analytics (image_id, classification) VALUES ('a', 'cat')")
        .await;
    lake.ok("INSERT INTO products VALUES ('p1', 'Pen', 'office', 1.5, now())")
        .await;
    lake.ok("INSERT INTO users VALUES ('u', 'Ann', 'a@b.c', '2024-01-01', '2024-01-02')")
        .await;
    assert_eq!(
        lake.rows("SELECT created_at, last_login FROM users").await,
        ["2024-01-01T00:00:00Z|2024-01-02T00:00:00Z"]
    );
}

#[tokio::test]
async fn a_day_of_a_timestamp_is_filled_on_write_and_prunes_files_on_read() {
    let lake = Lake::new().await;
    let tables = seed_tables();
    lake.ok(tables.last().unwrap()).await;
    lake.ok("INSERT INTO transactions VALUES \
         ('t1', 'u', 'p', 1, 2.5, '2024-05-06 23:59:59'), \
         ('t2', 'u', 'p', 2, 3.5, '2024-05-07 00:00:00')")
        .await;
    assert_eq!(
        lake.sorted("SELECT transaction_id, transaction_time_date FROM transactions")
            .await,
        ["t1|2024-05-06", "t2|2024-05-07"]
    );
    let filter = "WHERE transaction_time >= '2024-05-07'";
    let plan = lake
        .rows(&format!("EXPLAIN SELECT * FROM transactions {filter}"))
        .await;
    let files = plan.iter().find(|line| line.starts_with("files|")).unwrap();
    assert!(files.contains("1 of 2 files"), "{files}");
    assert_eq!(
        lake.rows(&format!("SELECT transaction_id FROM transactions {filter}"))
            .await,
        ["t2"]
    );
    let wrong = lake
        .error(
            "INSERT INTO transactions VALUES \
             ('t3', 'u', 'p', 1, 1, '2024-05-06 01:00:00', DATE '2024-05-07')",
        )
        .await;
    assert!(wrong.contains("transaction_time_date GENERATED"), "{wrong}");
}
