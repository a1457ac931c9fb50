//! What can go wrong with names, said so that a user knows which object is meant and what to do.
//! No message holds a password: URLs appear only in the form made by [`redacted`].

use std::fmt;

use url::Url;

/// The kind of object an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A catalog, the outermost part of a name.
    Catalog,
    /// A schema within a catalog.
    Schema,
    /// A table or a view: they share one name space.
    Table,
    /// A model.
    Model,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Catalog => "catalog",
            Self::Schema => "schema",
            Self::Table => "table or view",
            Self::Model => "model",
        })
    }
}

/// An error of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The catalog URL cannot be used at all.
    #[error(
        "catalog URL {url} is not usable: {reason}. Use sqlite:///absolute/path.db or postgres://user:password@host/database"
    )]
    InvalidUrl {
        /// The URL without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database did not answer or refused the login.
    #[error(
        "cannot open the catalog database {url}: {source}. Check that it is running and that the user may log in"
    )]
    Connect {
        /// The URL without its password.
        url: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The folder of a SQLite file could not be made.
    #[error("cannot create the folder {path} for the catalog file: {source}")]
    CreateFolder {
        /// The folder.
        path: String,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// The tables of the catalog could not be brought to this version's layout.
    #[error(
        "cannot bring the catalog database {url} to the layout of this version: {source}. If a newer Shoal has used it, start that version instead"
    )]
    Migrate {
        /// The URL without its password.
        url: String,
        /// Which migration failed, and why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A name is empty or holds a character that no name may hold.
    #[error(
        "{name:?} is not a valid {kind} name: it must be non-empty and free of control characters"
    )]
    InvalidName {
        /// What was to be named.
        kind: ObjectKind,
        /// The name as given.
        name: String,
    },
    /// There is no such object.
    #[error("{kind} {name} does not exist")]
    NotFound {
        /// What was looked for.
        kind: ObjectKind,
        /// Its full name.
        name: String,
    },
    /// The name is taken.
    #[error("{kind} {name} already exists")]
    AlreadyExists {
        /// What was to be created.
        kind: ObjectKind,
        /// Its full name.
        name: String,
    },
    /// A table was to be replaced by a view, or a view by a table.
    #[error("{name} is a {found}, not a {wanted}: drop it first")]
    WrongKind {
        /// The full name.
        name: String,
        /// What the name stands for now.
        found: &'static str,
        /// What was to replace it.
        wanted: &'static str,
    },
    /// A catalog or schema still holds something.
    #[error("{kind} {name} is not empty: drop what it holds first, or use CASCADE")]
    NotEmpty {
        /// What was to be dropped.
        kind: ObjectKind,
        /// Its full name.
        name: String,
    },
    /// A row of the catalog database does not mean anything to this version.
    #[error("the catalog's row for {name} cannot be read: {reason}")]
    InvalidRow {
        /// The full name of the object.
        name: String,
        /// What is wrong with the row.
        reason: String,
    },
    /// The database failed while a statement ran.
    #[error("catalog database failed to {action}: {source}")]
    Query {
        /// What was being done, to which object.
        action: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
}

/// `url` fit for a message: no password, and no query, which may hold one too.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
        return format!("{}://***", url.scheme());
    }
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_url_holds_no_password_in_either_place() {
        let url = Url::parse("postgres://me:hunter2@db:5432/names?password=hunter3").unwrap();
        assert_eq!(redacted(&url), "postgres://me:***@db:5432/names");
    }
}
