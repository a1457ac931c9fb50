//! The names of the lakehouse: which catalogs, schemas, tables, views and models exist, and where a
//! table's data lies. It never reads the data itself; `shoal-lake` does.
//!
//! The names are kept in SQLite or PostgreSQL, chosen by URL, through one code path:
//!
//! ```no_run
//! # async fn example() -> Result<(), shoal_catalog::CatalogError> {
//! let catalog = shoal_catalog::Catalog::open("sqlite:///var/lib/shoal/catalog.db").await?;
//! for table in catalog.tables("lake", "raw").await? {
//!     println!("{}: {:?}", table.full_name(), table.location);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Promises:
//! - names are case-insensitive: stored and looked up in lower case;
//! - each call is one transaction. Of two callers that create the same name one succeeds and the
//!   other gets [`CatalogError::AlreadyExists`], also across processes;
//! - nothing is cached: what one process has changed, the next call of any other process sees.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod connection;
mod entry;
mod error;
mod models;
mod schemas;
mod tables;

pub use connection::Catalog;
pub use entry::{CreateMode, Listing, SchemaEntry, TableEntry, TableKind};
pub use error::{CatalogError, ObjectKind};
pub use models::ModelEntry;

/// The catalog every installation starts with, and the one a session starts in.
pub const DEFAULT_CATALOG: &str = "lake";

/// The schema a session starts in.
pub const DEFAULT_SCHEMA: &str = "default";

/// The result of every call into this crate.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;
