CREATE TABLE raw.images (
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
PARTITIONED BY (date_partition STRING)

CREATE TABLE processed.features (
    image_id STRING,
    feature_vector ARRAY<FLOAT>,
    model_version STRING,
    extracted_at TIMESTAMP,
    confidence DOUBLE
)
USING DELTA
PARTITIONED BY (date_partition STRING)

CREATE TABLE curated.analytics (
    image_id STRING,
    classification STRING,
    confidence DOUBLE,
    processing_time DOUBLE,
    created_at TIMESTAMP
)
USING DELTA
PARTITIONED BY (date_partition STRING)
