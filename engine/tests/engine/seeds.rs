//! The statements of the two platforms that Shoal takes the place of, word for word.

use crate::harness::Lake;

const SEED_TABLES: [&str; 6] = [
    "CREATE TABLE raw.images (
    id STRING,
    filename STRING,
    content BINARY,
    mime_type STRING,
    size BIGINT,
    created_at TIMESTAMP,
    metadata STRUCT<
        width: INT,
        height: INT,
        channels: INT,
        format: STRING
    >,
    ingestion_time TIMESTAMP
)
USING DELTA
PARTITIONED BY (date_partition STRING)",
    "CREATE TABLE processed.features (
    image_id STRING,
    feature_vector ARRAY<FLOAT>,
    model_version STRING,
    extracted_at TIMESTAMP,
    confidence DOUBLE
)
USING DELTA
PARTITIONED BY (date_partition STRING)",
    "CREATE TABLE curated.analytics (
    image_id STRING,
    classification STRING,
    confidence DOUBLE,
    processing_time DOUBLE,
    created_at TIMESTAMP
)
USING DELTA
PARTITIONED BY (date_partition STRING)",
    "-- Users table
CREATE TABLE users (
    user_id STRING,
    name STRING,
    email STRING,
    created_at TIMESTAMP,
    last_login TIMESTAMP
) USING DELTA
PARTITIONED BY (created_at)",
    "-- Products table
CREATE TABLE products (
    product_id STRING,
    name STRING,
    category STRING,
    price DOUBLE,
    created_at TIMESTAMP
) USING DELTA
PARTITIONED BY (category)",
    "-- Transactions table
CREATE TABLE transactions (
    transaction_id STRING,
    user_id STRING,
    product_id STRING,
    quantity INT,
    total_amount DOUBLE,
    transaction_time TIMESTAMP
) USING DELTA
PARTITIONED BY (date(transaction_time))",
];

#[tokio::test]
async fn all_tables_of_the_seeds_are_made_and_take_rows() {
    let lake = Lake::new().await;
    for sql in SEED_TABLES {
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
    lake.ok(SEED_TABLES[5]).await;
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
