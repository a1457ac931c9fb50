//! Makes every path in the settings absolute, so that a process means the same place wherever it
//! changes directory to and whichever process of the cluster reads it.

use std::path::{Path, PathBuf};

use url::Url;

use crate::layers::Origins;
use crate::{ConfigError, Settings, shown_url};

/// Schemes of the object stores Shoal reads and writes.
pub const STORE_SCHEMES: [&str; 5] = ["file", "s3", "az", "abfss", "gs"];
/// Schemes of the databases that can keep the catalog.
const CATALOG_SCHEMES: [&str; 3] = ["sqlite", "postgres", "postgresql"];

/// Resolves all paths against `folder`, the current directory.
pub(crate) fn resolve(
    settings: &mut Settings,
    folder: &Path,
    origins: &Origins,
) -> Result<(), ConfigError> {
    let storage = &mut settings.storage;
    for (key, path) in [
        ("storage.raw_path", &mut storage.raw_path),
        ("storage.processed_path", &mut storage.processed_path),
        ("storage.curated_path", &mut storage.curated_path),
        ("storage.default_path", &mut storage.default_path),
    ] {
        *path = store_url(path, folder).map_err(|message| origins.refuse(key, message))?;
    }
    for (index, attached) in settings.catalog.attach.iter_mut().enumerate() {
        let key = |name: &str| format!("catalog.attach[{index}].{name}");
        attached.warehouse = store_url(&attached.warehouse, folder)
            .map_err(|message| origins.refuse(&key("warehouse"), message))?;
        if attached.kind == crate::AttachedKind::IcebergSql {
            attached.uri = database_url(&attached.uri, folder)
                .map_err(|message| origins.refuse(&key("uri"), message))?;
        }
    }
    settings.catalog.url = database_url(&settings.catalog.url, folder)
        .map_err(|message| origins.refuse("catalog.url", message))?;

    let executor = &mut settings.cluster.executor;
    let optional = [
        &mut settings.storage.gcs.service_account_path,
        &mut settings.flight.users_file,
        &mut settings.models.onnxruntime_library,
    ];
    for path in [&mut executor.work_dir, &mut executor.spill_dir]
        .into_iter()
        .chain(optional.into_iter().flatten())
    {
        *path = absolute(path, folder);
    }
    Ok(())
}

/// `folder/path` without `.` and `..`; an absolute path stays where it is.
fn absolute(path: &Path, folder: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    resolved
}

/// A local path or store URL as an absolute URL that ends in `/`; a relative path is below `folder`.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with its name.
pub fn store_url(text: &str, folder: &Path) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; give a path or a URL such as s3://bucket/prefix/".into());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let path = absolute(Path::new(text), folder);
        return Url::from_directory_path(&path)
            .map(String::from)
            .map_err(|()| format!("\"{text}\" cannot be made an absolute path"));
    };
    if !STORE_SCHEMES.contains(&scheme) {
        return Err(format!(
            "\"{scheme}://\" is not a store Shoal knows; use a path or one of {}",
            STORE_SCHEMES
                .map(|scheme| format!("{scheme}://"))
                .join(", ")
        ));
    }
    if scheme == "file" && !rest.starts_with('/') {
        return Err(format!(
            "\"{}\" is not absolute; write file:///path or a plain path",
            shown_url(text)
        ));
    }
    let mut url = Url::parse(text)
        .map_err(|error| format!("\"{}\" is not a URL: {error}", shown_url(text)))?;
    check_store_url(&url)?;
    if scheme != "file" && url.host_str().is_none_or(str::is_empty) {
        return Err(format!(
            "\"{}\" names no bucket; write {scheme}://bucket/prefix/",
            shown_url(text)
        ));
    }
    if !url.path().ends_with('/') {
        let with_slash = format!("{}/", url.path());
        url.set_path(&with_slash);
    }
    Ok(url.into())
}

/// Checks that the URL of something in a store names its place and no more.
///
/// # Errors
/// When it holds credentials, which it would carry into plans, catalogs and messages, or a query or fragment, which
/// no store is asked with. The error is the rest of a sentence that begins with the URL.
pub fn check_store_url(url: &Url) -> Result<(), String> {
    let is_container = url.scheme() == "abfss";
    if url.password().is_some() || !(url.username().is_empty() || is_container) {
        return Err(
            "holds a user or password; credentials belong in the keys of the store below `storage:`"
                .into(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "goes on after its path with ? or #; leave that out, or write %3F or %23 if it belongs to a name"
                .into(),
        );
    }
    Ok(())
}

/// A database URL; the file of a SQLite one is made absolute. Messages never repeat the URL, which
/// may hold a password.
fn database_url(text: &str, folder: &Path) -> Result<String, String> {
    let expected = "expected sqlite://path/catalog.db or postgres://user:password@host/database";
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    if !CATALOG_SCHEMES.contains(&scheme) {
        return Err(format!(
            "\"{scheme}://\" is not a database Shoal knows; {expected}"
        ));
    }
    if scheme != "sqlite" {
        Url::parse(text).map_err(|error| format!("is not a URL ({error}); {expected}"))?;
        return Ok(text.to_string());
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (rest, String::new()),
    };
    if path.is_empty() || path == ":memory:" {
        return Err("names no file; every process of a cluster must see the same catalog".into());
    }
    Ok(format!(
        "sqlite://{}{query}",
        absolute(Path::new(path), folder).display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_become_file_urls_with_a_slash() {
        let folder = Path::new("/lake");
        for (text, url) in [
            ("data/raw", "file:///lake/data/raw/"),
            ("./a/../b c", "file:///lake/b%20c/"),
            ("/abs/", "file:///abs/"),
            ("file:///abs", "file:///abs/"),
            ("s3://datalake/raw", "s3://datalake/raw/"),
            ("s3://datalake", "s3://datalake/"),
            ("abfss://box@acct/raw", "abfss://box@acct/raw/"),
        ] {
            assert_eq!(store_url(text, folder).as_deref(), Ok(url), "{text}");
        }
        for text in ["", "hdfs://x/y", "file://x", "s3:///x"] {
            assert!(store_url(text, folder).is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_holds_no_credentials_and_its_refusal_does_not_repeat_them() {
        for (text, reason) in [
            ("s3://me:secret@b/x", "credentials belong"),
            ("s3://secret@b/x", "credentials belong"),
            ("abfss://box:secret@acct/x", "credentials belong"),
            ("az://box/x?sig=secret", "%3F"),
            ("s3://b/x#secret", "%23"),
            ("s3://me:secret@", "is not a URL"),
            ("file://secret@x/", "is not absolute"),
            ("https://me:secret@h/?secret", "not a store"),
        ] {
            let refused = store_url(text, Path::new("/lake")).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
            assert!(!refused.contains("secret"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_sqlite_catalog_is_found_from_any_directory() {
        let folder = Path::new("/lake");
        assert_eq!(
            database_url("sqlite://data/c.db?mode=rwc", folder).unwrap(),
            "sqlite:///lake/data/c.db?mode=rwc"
        );
        assert_eq!(
            database_url("sqlite:///x/c.db", folder).unwrap(),
            "sqlite:///x/c.db"
        );
        assert!(database_url("sqlite://:memory:", folder).is_err());
    }

    #[test]
    fn a_bad_database_url_is_refused_without_its_password() {
        for text in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "hunter2",
        ] {
            let message = database_url(text, Path::new("/")).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
