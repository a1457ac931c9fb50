//! Statements that analysts know from elsewhere and that Shoal does not offer: each is refused
//! by name, with the nearest thing that it does offer. Policies above all: a policy that is
//! parsed and not kept would be worse than an error.

use super::cursor::Cursor;
use crate::error::{EngineError, Result};

const POLICY: &str = "roles, grants and row and column policies are not kept yet; give access \
                      with a view and the users file of the settings";
const REWRITE: &str = "write the rows to keep with INSERT OVERWRITE … SELECT, of the table or of \
                       one PARTITION";
const OWN_COMMIT: &str = "each statement is committed on its own, whole or not at all";

/// First words of a statement, the name to refuse it by, and what to do instead. The longest
/// match comes first.
const REFUSED: &[(&[&str], &str)] = &[
    (&["UPDATE"], REWRITE),
    (&["DELETE"], REWRITE),
    (&["MERGE"], REWRITE),
    (&["REPLACE", "TABLE"], "CREATE OR REPLACE TABLE"),
    (
        &["OPTIMIZE"],
        "INSERT OVERWRITE t SELECT * FROM t writes the table anew in larger files",
    ),
    (
        &["VACUUM"],
        "DROP TABLE … PURGE removes a table with its files",
    ),
    (
        &["RESTORE"],
        "CREATE TABLE … AS SELECT keeps a copy to go back to",
    ),
    (&["CLONE"], "CREATE TABLE … AS SELECT"),
    (&["CONVERT", "TO"], "CREATE TABLE … USING DELTA AS SELECT"),
    (&["GRANT"], POLICY),
    (&["REVOKE"], POLICY),
    (&["DENY"], POLICY),
    (&["CREATE", "ROLE"], POLICY),
    (&["DROP", "ROLE"], POLICY),
    (&["CREATE", "USER"], POLICY),
    (&["DROP", "USER"], POLICY),
    (&["CREATE", "MASKING"], POLICY),
    (&["DROP", "MASKING"], POLICY),
    (&["CREATE", "ROW"], POLICY),
    (&["DROP", "ROW"], POLICY),
    (&["CREATE", "POLICY"], POLICY),
    (&["DROP", "POLICY"], POLICY),
    (&["CREATE", "OR", "REPLACE", "MASKING"], POLICY),
    (&["CREATE", "OR", "REPLACE", "ROW"], POLICY),
    (
        &["CREATE", "EXTERNAL"],
        "CREATE TABLE … LOCATION '…' registers a table that exists there",
    ),
    (
        &["CREATE", "TEMPORARY"],
        "CREATE VIEW, or WITH in the query",
    ),
    (&["CREATE", "TEMP"], "CREATE VIEW, or WITH in the query"),
    (&["CREATE", "GLOBAL"], "CREATE VIEW, or WITH in the query"),
    (
        &["CREATE", "OR", "REPLACE", "TEMPORARY"],
        "CREATE OR REPLACE VIEW, or WITH in the query",
    ),
    (
        &["CREATE", "OR", "REPLACE", "TEMP"],
        "CREATE OR REPLACE VIEW, or WITH in the query",
    ),
    (
        &["CREATE", "MATERIALIZED"],
        "CREATE VIEW, or CREATE TABLE … AS SELECT",
    ),
    (
        &["CREATE", "FUNCTION"],
        "SHOW FUNCTIONS lists what there is",
    ),
    (
        &["CREATE", "OR", "REPLACE", "FUNCTION"],
        "SHOW FUNCTIONS lists what there is",
    ),
    (&["DROP", "FUNCTION"], "functions are built in"),
    (
        &["CREATE", "SEQUENCE"],
        "row_number() or uuid() in the query",
    ),
    (&["ALTER", "SCHEMA"], "DROP SCHEMA and CREATE SCHEMA"),
    (&["ALTER", "DATABASE"], "DROP SCHEMA and CREATE SCHEMA"),
    (&["ALTER", "CATALOG"], "DROP CATALOG and CREATE CATALOG"),
    (
        &["ANALYZE"],
        "statistics are kept by every write; nothing needs to be computed",
    ),
    (&["CACHE"], "snapshots are cached without being asked"),
    (&["UNCACHE"], "snapshots are cached without being asked"),
    (
        &["REFRESH"],
        "every statement sees the newest version of its tables",
    ),
    (
        &["CLEAR"],
        "every statement sees the newest version of its tables",
    ),
    (&["MSCK"], "partitions are found in the table's log"),
    (&["REPAIR"], "partitions are found in the table's log"),
    (
        &["LOAD"],
        "COPY INTO … FILEFORMAT = IMAGE, or INSERT INTO … SELECT",
    ),
    (&["BEGIN"], OWN_COMMIT),
    (&["START"], OWN_COMMIT),
    (&["COMMIT"], OWN_COMMIT),
    (&["ROLLBACK"], OWN_COMMIT),
    (&["SAVEPOINT"], OWN_COMMIT),
    (
        &["KILL"],
        "cancel the statement from the client that runs it",
    ),
    (&["DECLARE"], "parameters: write $1 or ? and bind a value"),
    (&["LIST"], "SHOW TABLES"),
    (&["ADD"], "functions are built in"),
    (
        &["UNDROP"],
        "a table dropped without PURGE keeps its files: CREATE TABLE … LOCATION '…'",
    ),
];

/// Refuses the statement at `cursor` if it is one of those that are known and not offered.
pub(super) fn refuse(cursor: &Cursor) -> Result<()> {
    let longest = REFUSED
        .iter()
        .filter(|(words, _)| cursor.are(words))
        .max_by_key(|(words, _)| words.len());
    match longest {
        Some((words, instead)) => Err(EngineError::unsupported(words.join(" "), *instead)),
        None => Ok(()),
    }
}

/// The error for `ALTER TABLE name …` other than of properties.
pub(super) fn refuse_alter<T>(cursor: &Cursor) -> Result<T> {
    const ALTERATIONS: &[(&[&str], &str)] = &[
        (
            &["ADD", "CONSTRAINT"],
            "CREATE TABLE with CONSTRAINT … CHECK (…), then INSERT INTO … SELECT",
        ),
        (
            &["ADD"],
            "CREATE OR REPLACE TABLE … AS SELECT with the further column",
        ),
        (
            &["DROP"],
            "CREATE OR REPLACE TABLE … AS SELECT without the column",
        ),
        (
            &["RENAME"],
            "CREATE TABLE … AS SELECT under the new name, or a view",
        ),
        (
            &["ALTER"],
            "CREATE OR REPLACE TABLE … AS SELECT with a CAST",
        ),
        (
            &["CHANGE"],
            "CREATE OR REPLACE TABLE … AS SELECT with a CAST",
        ),
        (&["CLUSTER"], "PARTITIONED BY in CREATE TABLE"),
        (&["RECOVER"], "partitions are found in the table's log"),
        (
            &["SET", "LOCATION"],
            "CREATE TABLE … LOCATION '…' under another name",
        ),
        (&["SET", "ROW"], POLICY),
        (&["SET", "MASKING"], POLICY),
        (&["ENABLE"], POLICY),
        (&["OWNER"], POLICY),
    ];
    let found = ALTERATIONS.iter().find(|(words, _)| cursor.are(words));
    match found {
        Some((words, instead)) => Err(EngineError::unsupported(
            format!("ALTER TABLE … {}", words.join(" ")),
            *instead,
        )),
        None => cursor.unexpected("SET TBLPROPERTIES or UNSET TBLPROPERTIES"),
    }
}
