-- Catalogs, schemas and tables. Plain TEXT and BIGINT columns only, so that the same
-- statements run on SQLite and PostgreSQL. Names are stored lower-cased by the crate.
CREATE TABLE shoal_catalogs (
    name TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE shoal_schemas (
    catalog_name TEXT NOT NULL REFERENCES shoal_catalogs (name),
    name TEXT NOT NULL,
    comment TEXT,
    location TEXT,
    PRIMARY KEY (catalog_name, name)
);

CREATE TABLE shoal_tables (
    catalog_name TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    -- 'managed', 'external' or 'view'
    kind TEXT NOT NULL,
    format TEXT,
    location TEXT,
    -- the SQL text of a view
    definition TEXT,
    comment TEXT,
    -- a JSON object of strings
    properties TEXT NOT NULL,
    -- milliseconds since 1970-01-01 UTC
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (catalog_name, schema_name, name),
    FOREIGN KEY (catalog_name, schema_name) REFERENCES shoal_schemas (catalog_name, name)
);

INSERT INTO shoal_catalogs (name) VALUES ('lake');

INSERT INTO shoal_schemas (catalog_name, name, comment) VALUES
    ('lake', 'raw', 'Files and rows as they came in'),
    ('lake', 'processed', 'Cleaned rows and computed features'),
    ('lake', 'curated', 'Results for analysts'),
    ('lake', 'default', NULL);
