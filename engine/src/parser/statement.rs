//! The statements of Shoal as the parser hands them on. Names are kept as written; the session
//! completes them with the current catalog and schema.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Expr, Query};

use shoal_lake::IndexKind;

use super::types::quoted;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`, `WITH`, `VALUES`.
    Query(Box<Query>),
    /// `CREATE TABLE`, with or without a query.
    CreateTable(Box<CreateTable>),
    /// `DROP TABLE`.
    DropTable {
        /// The table.
        name: Name,
        /// No error if there is none.
        if_exists: bool,
        /// Remove a managed table's files as well.
        purge: bool,
    },
    /// `TRUNCATE TABLE`.
    Truncate(Name),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// `CREATE SCHEMA`.
    CreateSchema {
        /// The schema.
        name: Name,
        /// No error if there is one.
        if_not_exists: bool,
        /// Its comment.
        comment: Option<String>,
        /// Where its managed tables go.
        location: Option<String>,
    },
    /// `DROP SCHEMA`.
    DropSchema {
        /// The schema.
        name: Name,
        /// No error if there is none.
        if_exists: bool,
        /// Drop its tables and views too.
        cascade: bool,
    },
    /// `CREATE CATALOG`.
    CreateCatalog {
        /// The catalog.
        name: String,
        /// No error if there is one.
        if_not_exists: bool,
    },
    /// `DROP CATALOG`.
    DropCatalog {
        /// The catalog.
        name: String,
        /// No error if there is none.
        if_exists: bool,
        /// Drop its schemas too.
        cascade: bool,
    },
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `DROP VIEW`.
    DropView {
        /// The view.
        name: Name,
        /// No error if there is none.
        if_exists: bool,
    },
    /// `CREATE MODEL`.
    CreateModel(Box<CreateModel>),
    /// `DROP MODEL`.
    DropModel {
        /// The model.
        name: Name,
        /// No error if there is none.
        if_exists: bool,
    },
    /// `ALTER TABLE … SET TBLPROPERTIES`.
    SetProperties {
        /// The table or view.
        name: Name,
        /// Properties to set.
        properties: BTreeMap<String, String>,
    },
    /// `ALTER TABLE … UNSET TBLPROPERTIES`.
    UnsetProperties {
        /// The table or view.
        name: Name,
        /// Properties to remove.
        keys: Vec<String>,
        /// No error for one that is not set.
        if_exists: bool,
    },
    /// `COMMENT ON TABLE | VIEW … IS`.
    Comment {
        /// The table or view.
        name: Name,
        /// The comment; none removes it.
        comment: Option<String>,
    },
    /// `CREATE INDEX`.
    CreateIndex(CreateIndex),
    /// `REFRESH INDEX`.
    RefreshIndex {
        /// The index, in lower case.
        name: String,
        /// The table it is of.
        table: Name,
    },
    /// `DROP INDEX`.
    DropIndex {
        /// The index, in lower case.
        name: String,
        /// The table it is of.
        table: Name,
        /// No error if there is none.
        if_exists: bool,
    },
    /// `USE`.
    Use(Use),
    /// `SET key = value`.
    Set {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
    },
    /// `RESET`, of one setting or of all.
    Reset(Option<String>),
    /// `SHOW`.
    Show(Show),
    /// `DESCRIBE`.
    Describe(Describe),
    /// `EXPLAIN`.
    Explain(Box<Explain>),
    /// `COPY INTO … FILEFORMAT = IMAGE`.
    CopyImages(CopyImages),
    /// `CALL procedure(…)`.
    Call(Call),
    /// `PREPARE name AS statement`.
    Prepare {
        /// Name within the session.
        name: String,
        /// What it runs.
        statement: Box<Statement>,
    },
    /// `EXECUTE name (arguments)`.
    Execute {
        /// Name within the session.
        name: String,
        /// Constant expressions, one per parameter.
        arguments: Vec<Expr>,
    },
    /// `DEALLOCATE name`.
    Deallocate(String),
}

/// A name of one to three parts: `table`, `schema.table`, `catalog.schema.table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<String>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Name {
    /// The name as it can stand in SQL.
    pub fn to_sql(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|part| quoted(part)).collect();
        parts.join(".")
    }

    /// The name of a table beside this one.
    pub fn with_suffix(&self, suffix: &str) -> Name {
        let mut parts = self.0.clone();
        if let Some(table) = parts.last_mut() {
            table.push_str(suffix);
        }
        Name(parts)
    }
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, in the case written.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Field metadata that makes the type an extension type; empty for others.
    pub extension: HashMap<String, String>,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// `GENERATED ALWAYS AS (…)`.
    pub generated: Option<Expr>,
}

/// A `CHECK` constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name; given by the parser where the statement gives none.
    pub name: String,
    /// What must not be false.
    pub expression: Expr,
}

/// An entry of `PARTITIONED BY (…)`.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionItem {
    /// A column of the list above.
    Column(String),
    /// A further column, as Hive and Spark write it.
    NewColumn(Column),
    /// A function of a column.
    Transform {
        /// The function.
        function: PartitionFunction,
        /// The column it is applied to.
        column: String,
    },
}

/// A function that `PARTITIONED BY` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionFunction {
    /// The calendar day, as a DATE.
    Date,
    /// Years since 1970.
    Years,
    /// Months since 1970-01.
    Months,
    /// Days since 1970-01-01.
    Days,
    /// Hours since 1970-01-01 00:00.
    Hours,
    /// Hash modulo n.
    Bucket(u32),
    /// Prefix of n characters, or the number rounded down to a multiple of n.
    Truncate(u32),
}

/// `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table.
    pub name: Name,
    /// Replace an existing one.
    pub or_replace: bool,
    /// Leave an existing one alone.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// CHECK constraints of columns and table.
    pub checks: Vec<Check>,
    /// Format as written: `DELTA`, `ICEBERG`.
    pub using: Option<String>,
    /// `PARTITIONED BY`.
    pub partitioned_by: Vec<PartitionItem>,
    /// `LOCATION`.
    pub location: Option<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `TBLPROPERTIES`.
    pub properties: BTreeMap<String, String>,
    /// `AS query`.
    pub query: Option<Box<Query>>,
}

impl CreateTable {
    /// A new table of which nothing but its name is said.
    pub(crate) fn named(name: Name) -> Self {
        Self {
            name,
            or_replace: false,
            if_not_exists: false,
            columns: Vec::new(),
            checks: Vec::new(),
            using: None,
            partitioned_by: Vec::new(),
            location: None,
            comment: None,
            properties: BTreeMap::new(),
            query: None,
        }
    }
}

/// `CREATE INDEX … USING IVF | HNSW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// The index, in lower case.
    pub name: String,
    /// Leave an existing one alone.
    pub if_not_exists: bool,
    /// The table it is of.
    pub table: Name,
    /// How it finds what is near.
    pub kind: IndexKind,
    /// The column of vectors.
    pub column: String,
    /// `WITH (…)`.
    pub options: BTreeMap<String, String>,
}

/// `CREATE VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The view.
    pub name: Name,
    /// Replace an existing one.
    pub or_replace: bool,
    /// Leave an existing one alone.
    pub if_not_exists: bool,
    /// Column names, if given.
    pub columns: Vec<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// `TBLPROPERTIES`.
    pub properties: BTreeMap<String, String>,
    /// What it selects.
    pub query: Box<Query>,
}

/// `CREATE MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateModel {
    /// The model.
    pub name: Name,
    /// Make another version of an existing one.
    pub or_replace: bool,
    /// Leave an existing one alone.
    pub if_not_exists: bool,
    /// URL of an ONNX file.
    pub location: String,
    /// `OPTIONS (…)`, keys in lower case, lists joined by commas.
    pub options: BTreeMap<String, String>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A model, and the version of it that is meant; the newest if none is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The model.
    pub name: Name,
    /// `@2`.
    pub version: Option<u64>,
}

/// `INSERT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub name: Name,
    /// Replace what the table, or the partition, holds.
    pub overwrite: bool,
    /// `PARTITION (a = 1, b)`: a column and, if static, its value.
    pub partition: Vec<(String, Option<Expr>)>,
    /// Column list; empty if none.
    pub columns: Vec<String>,
    /// `BY NAME`: columns of the query go to columns of the same name.
    pub by_name: bool,
    /// The rows.
    pub query: Box<Query>,
}

/// `USE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// `USE CATALOG c`.
    Catalog(String),
    /// `USE [SCHEMA] [c.]s`.
    Schema(Name),
}

/// `SHOW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// `SHOW CATALOGS`.
    Catalogs {
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW SCHEMAS`.
    Schemas {
        /// `IN`.
        catalog: Option<String>,
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW TABLES`.
    Tables {
        /// `IN`.
        schema: Option<Name>,
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW VIEWS`.
    Views {
        /// `IN`.
        schema: Option<Name>,
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW MODELS`.
    Models {
        /// `IN`.
        schema: Option<Name>,
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW COLUMNS IN`.
    Columns(Name),
    /// `SHOW CREATE TABLE`.
    CreateTable(Name),
    /// `SHOW TBLPROPERTIES t [(key)]`.
    Properties {
        /// The table or view.
        name: Name,
        /// Only this one.
        key: Option<String>,
    },
    /// `SHOW PARTITIONS`.
    Partitions(Name),
    /// `SHOW INDEXES [ON t]`.
    Indexes(Option<Name>),
    /// `SHOW FUNCTIONS`.
    Functions {
        /// `LIKE`.
        pattern: Option<String>,
    },
    /// `SHOW EXECUTORS`.
    Executors,
    /// `SHOW JOBS`.
    Jobs,
    /// `SHOW ALL`, `SET`.
    Settings,
    /// `SHOW key`, `SET key`.
    Setting(String),
}

/// `DESCRIBE`.
#[derive(Debug, Clone, PartialEq)]
pub enum Describe {
    /// A table or view.
    Table {
        /// The table.
        name: Name,
        /// More than its columns.
        extended: bool,
    },
    /// A schema.
    Schema {
        /// The schema.
        name: Name,
    },
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// With its examples.
        extended: bool,
    },
    /// A model.
    Model(ModelName),
    /// The columns of a query.
    Query(Box<Query>),
}

/// How `EXPLAIN` prints plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    /// Indented lines, logical and physical.
    #[default]
    Indent,
    /// The physical plan drawn as a tree.
    Tree,
}

/// `EXPLAIN`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// Run it and print what it measured.
    pub analyze: bool,
    /// Every step of the optimizer.
    pub verbose: bool,
    /// How to print.
    pub format: ExplainFormat,
    /// What is explained.
    pub statement: Statement,
}

/// `CALL procedure(name => value, …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name, in lower case.
    pub procedure: String,
    /// Values by name; names in lower case.
    pub arguments: BTreeMap<String, String>,
}

/// `COPY INTO table FROM 'url' FILEFORMAT = IMAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyImages {
    /// The table that takes the images in.
    pub table: Name,
    /// A folder or an object-store prefix.
    pub source: String,
    /// `OPTIONS (…)`, keys in lower case.
    pub options: BTreeMap<String, String>,
}
