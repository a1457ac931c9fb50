-- Models: one row per version. Plain TEXT and BIGINT columns only, as in 0001.
CREATE TABLE shoal_models (
    catalog_name TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    -- counted from 1
    version BIGINT NOT NULL,
    location TEXT NOT NULL,
    -- BLAKE3 of the file, in hexadecimal digits
    hash TEXT NOT NULL,
    -- size of the file
    bytes BIGINT NOT NULL,
    -- how it is run, as JSON that the engine reads
    definition TEXT NOT NULL,
    comment TEXT,
    -- milliseconds since 1970-01-01 UTC
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (catalog_name, schema_name, name, version),
    FOREIGN KEY (catalog_name, schema_name) REFERENCES shoal_schemas (catalog_name, name)
);
