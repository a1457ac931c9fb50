//! Where table names are kept, and which foreign catalogs are attached.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::{Secret, secret::MASK};

/// The catalog's database and the catalogs attached beside it.
///
/// `Debug` and `Serialize` print URLs without their password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// `sqlite:///absolute/path/catalog.db` or `postgres://user:password@host/database`. May hold
    /// a password: print [`CatalogSettings::redacted_url`] instead.
    #[serde(serialize_with = "redacted")]
    pub url: String,
    /// Foreign catalogs, each a top-level name beside `lake`.
    pub attach: Vec<AttachedCatalog>,
}

impl CatalogSettings {
    /// The URL with its password replaced, fit for logs and messages.
    pub fn redacted_url(&self) -> String {
        redact_url(&self.url)
    }
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self {
            url: "sqlite://data/catalog.db".into(),
            attach: Vec::new(),
        }
    }
}

impl fmt::Debug for CatalogSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogSettings")
            .field("url", &self.redacted_url())
            .field("attach", &self.attach)
            .finish()
    }
}

/// A foreign catalog.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachedCatalog {
    /// The name it gets in SQL.
    pub name: String,
    /// What it speaks.
    pub kind: AttachedKind,
    /// Database URL (`iceberg_sql`) or service URL (`iceberg_rest`). May hold a password: print
    /// [`AttachedCatalog::redacted_uri`] instead.
    #[serde(serialize_with = "redacted")]
    pub uri: String,
    /// Where new tables go; a path or URL as in `storage`.
    pub warehouse: String,
    /// Bearer token of a REST catalog.
    #[serde(default)]
    pub token: Option<Secret>,
}

impl AttachedCatalog {
    /// The URI with its password replaced, fit for logs and messages.
    pub fn redacted_uri(&self) -> String {
        redact_url(&self.uri)
    }
}

impl fmt::Debug for AttachedCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachedCatalog")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("uri", &self.redacted_uri())
            .field("warehouse", &self.warehouse)
            .field("token", &self.token)
            .finish()
    }
}

/// What an attached catalog speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachedKind {
    /// Iceberg's SQL catalog (the tables PyIceberg and the JDBC catalog use).
    IcebergSql,
    /// Iceberg's REST catalog.
    IcebergRest,
}

fn redacted<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact_url(url))
}

/// `url` without its password, in the user part or in a query parameter. What does not parse as a
/// URL is cut after its scheme, since it cannot be known where a password stands in it.
fn redact_url(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_string();
    }
    let Ok(mut parsed) = Url::parse(url) else {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        return format!("{scheme}://{MASK}");
    };
    if parsed.password().is_some() && parsed.set_password(Some(MASK)).is_err() {
        return format!("{}://{MASK}", parsed.scheme());
    }
    if parsed.query().is_some() {
        let pairs: Vec<(String, String)> = parsed
            .query_pairs()
            .map(|(key, value)| {
                let secret = ["password", "token", "secret"]
                    .iter()
                    .any(|word| key.contains(word));
                (
                    key.to_string(),
                    if secret {
                        MASK.to_string()
                    } else {
                        value.to_string()
                    },
                )
            })
            .collect();
        parsed.query_pairs_mut().clear().extend_pairs(pairs);
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_catalog_url_is_never_printed() {
        for url in [
            "postgres://shoal:hunter2@db:5432/lake",
            "postgres://db/lake?user=shoal&password=hunter2",
            "postgres://shoal:hunter2@db:notaport/lake",
        ] {
            let settings = CatalogSettings {
                url: url.into(),
                attach: Vec::new(),
            };
            let printed = format!(
                "{settings:?} {} {}",
                settings.redacted_url(),
                serde_json::to_string(&settings).unwrap()
            );
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(printed.contains(MASK), "{printed}");
        }
        assert_eq!(
            redact_url("sqlite:///tmp/catalog.db"),
            "sqlite:///tmp/catalog.db"
        );
    }
}
