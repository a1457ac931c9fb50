//! What the catalog knows about a schema, a table or a view.

use std::collections::BTreeMap;

use crate::{CatalogError, ObjectKind, Result};

/// What a name in a schema stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// A table whose files Shoal placed; `DROP … PURGE` removes them.
    Managed,
    /// A table at a location the user named; its files are never removed.
    External,
    /// A stored query.
    View,
}

impl TableKind {
    /// The word stored in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::External => "external",
            Self::View => "view",
        }
    }

    /// The kind stored as `word` for the object called `name`.
    pub(crate) fn parse(word: &str, name: &str) -> Result<Self> {
        match word {
            "managed" => Ok(Self::Managed),
            "external" => Ok(Self::External),
            "view" => Ok(Self::View),
            other => Err(CatalogError::InvalidRow {
                name: name.to_owned(),
                reason: format!("unknown kind {other:?}"),
            }),
        }
    }

    /// "view" or "table", as a message says it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Managed | Self::External => "table",
        }
    }
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaEntry {
    /// The catalog it belongs to.
    pub catalog: String,
    /// Its name.
    pub name: String,
    /// What a user wrote about it.
    pub comment: Option<String>,
    /// URL of the folder its managed tables are placed below; `None` means the zone of the
    /// settings, or a folder of the schema's name below the default zone.
    pub location: Option<String>,
}

impl SchemaEntry {
    /// `catalog.schema`, lower-cased.
    pub fn full_name(&self) -> String {
        full_name(&[&self.catalog, &self.name])
    }
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// The catalog it belongs to.
    pub catalog: String,
    /// The schema it belongs to.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Table or view.
    pub kind: TableKind,
    /// Table format, such as `delta`; `None` for a view.
    pub format: Option<String>,
    /// URL of the table's root folder; `None` for a view.
    pub location: Option<String>,
    /// The SQL text of a view; `None` for a table.
    pub definition: Option<String>,
    /// What a user wrote about it.
    pub comment: Option<String>,
    /// Properties a user set.
    pub properties: BTreeMap<String, String>,
    /// When it was created, in milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
}

impl TableEntry {
    /// An entry without format, location, definition, comment or properties, created now.
    pub fn new(catalog: &str, schema: &str, name: &str, kind: TableKind) -> Self {
        Self {
            catalog: catalog.to_owned(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            format: None,
            location: None,
            definition: None,
            comment: None,
            properties: BTreeMap::new(),
            created_at_ms: chrono::Utc::now().timestamp_millis(),
        }
    }

    /// `catalog.schema.table`, lower-cased.
    pub fn full_name(&self) -> String {
        full_name(&[&self.catalog, &self.schema, &self.name])
    }
}

/// What to do when the name of a new table or view is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Fail with [`CatalogError::AlreadyExists`].
    Fail,
    /// Leave what is there as it is.
    IfNotExists,
    /// Put the new entry in its place. A view replaces only a view, a table only a table.
    Replace,
}

/// All names: catalog → schema → table or view → its kind. Empty schemas are present.
pub type Listing = BTreeMap<String, BTreeMap<String, BTreeMap<String, TableKind>>>;

/// `name` as it is stored: lower-cased.
///
/// # Errors
/// [`CatalogError::InvalidName`] if it is empty or holds control characters.
pub(crate) fn stored_name(kind: ObjectKind, name: &str) -> Result<String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(CatalogError::InvalidName {
            kind,
            name: name.to_owned(),
        });
    }
    Ok(name.to_lowercase())
}

/// The parts of a name joined by dots, lower-cased, for messages.
pub(crate) fn full_name(parts: &[&str]) -> String {
    parts.join(".").to_lowercase()
}
