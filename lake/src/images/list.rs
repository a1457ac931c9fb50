//! The objects below a folder or bucket prefix, or those that a pattern names.

use std::sync::Arc;

use futures::TryStreamExt as _;
use glob::{MatchOptions, Pattern};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, path::Path};
use url::{Position, Url};

use crate::{
    error::{LakeError, Result},
    stores::Stores,
};

/// An object that may be a picture. There may be millions of them in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageObject {
    /// The URL of its store, which all objects of a listing share.
    store: Arc<str>,
    /// Path, size and time of last change in its store.
    pub meta: ObjectMeta,
}

impl ImageObject {
    /// An object of the store at `store`, such as `s3://bucket`. Only its path, size and time are kept.
    pub fn new(store: Arc<str>, meta: ObjectMeta) -> Self {
        let meta = ObjectMeta {
            e_tag: None,
            version: None,
            ..meta
        };
        ImageObject { store, meta }
    }

    /// Its URL: what the `filename` column holds. Not percent-encoded, so that people and `LIKE` find the
    /// name they know.
    pub fn url(&self) -> String {
        format!("{}/{}", self.store, self.meta.location)
    }

    /// Its size in bytes.
    pub fn size(&self) -> i64 {
        i64::try_from(self.meta.size).unwrap_or(i64::MAX)
    }

    /// Time of the last change, in microseconds since 1970.
    pub fn modified_micros(&self) -> i64 {
        self.meta.last_modified.timestamp_micros()
    }

    /// About how many bytes it takes in a plan that travels to executors: its path, its URL, and numbers.
    pub fn plan_bytes(&self) -> u64 {
        let path = self.meta.location.as_ref().len();
        (2 * path + self.store.len() + PLAN_NUMBERS) as u64
    }
}

/// What the size and time of an object, twice, and the structure around them take in a plan.
const PLAN_NUMBERS: usize = 96;

/// Splits a location at its first part with a wildcard: a folder, and a pattern for the paths below it.
pub fn split_pattern(location: &str) -> (&str, Option<&str>) {
    let Some(wildcard) = location.find(['*', '?', '[']) else {
        return (location, None);
    };
    let before = location.get(..wildcard).unwrap_or_default();
    let part = before.rfind('/').map_or(0, |slash| slash + 1);
    let (folder, pattern) = location.split_at(part);
    (folder, Some(pattern))
}

/// Gives `take` all objects at or below `folder`, in no order, or those whose path below it matches a pattern.
/// In a pattern, `*` and `?` stand for anything within one part of a path, `**` for any number of parts, `[a-c]`
/// for one of these characters. A name that begins with `.` or `_`, be it a file's or a folder's, is passed over,
/// as Spark does.
///
/// # Errors
/// When the store cannot be listed, when the pattern is none, when there is nothing, and when `take` fails: then
/// the rest is not listed.
pub async fn list<E: From<LakeError>>(
    stores: &Stores,
    folder: &Url,
    pattern: Option<&str>,
    mut take: impl FnMut(ImageObject) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let matcher = pattern.map(parsed).transpose()?;
    let prefix = Stores::path(folder)?;
    let listing = |error| LakeError::store(format!("listing {folder}"))(error);
    let opened = stores.store(folder)?;
    let store: Arc<str> = Arc::from(&folder[..Position::BeforePath]);
    let mut found = opened.list(Some(&prefix));
    let mut is_empty = true;
    while let Some(object) = found.try_next().await.map_err(listing)? {
        let is_wanted = matcher
            .as_ref()
            .is_none_or(|matcher| is_match(matcher, &prefix, &object.location));
        if !is_wanted {
            continue;
        }
        if is_hidden(&prefix, &object.location) {
            is_empty &= pattern.is_some();
            continue;
        }
        is_empty = false;
        take(ImageObject::new(store.clone(), object))?;
    }
    if !is_empty {
        return Ok(());
    }
    match pattern {
        Some(pattern) => Err(LakeError::Invalid(format!(
            "no file matches {folder}{}; check the path, and the storage section of the settings",
            shown_pattern(pattern)
        ))
        .into()),
        None => match opened.head(&prefix).await {
            Ok(single) => take(ImageObject::new(store, single)),
            Err(_) => Err(LakeError::Invalid(format!(
                "there are no files at {folder}; check the path, and the storage section of the settings"
            ))
            .into()),
        },
    }
}

fn is_match(matcher: &Pattern, prefix: &Path, location: &Path) -> bool {
    let below = location.as_ref().strip_prefix(prefix.as_ref());
    below.is_some_and(|below| matcher.matches_with(below.trim_start_matches('/'), WITHIN_PARTS))
}

/// A pattern as messages show it: without what looks like the query of a signed URL.
fn shown_pattern(pattern: &str) -> String {
    match pattern.split_once('?') {
        Some((before, after)) if after.contains('=') => format!("{before}?…"),
        _ => pattern.to_owned(),
    }
}

/// A wildcard does not stand for `/`.
const WITHIN_PARTS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

fn parsed(pattern: &str) -> Result<Pattern> {
    Pattern::new(pattern).map_err(|error| {
        let shown = shown_pattern(pattern);
        LakeError::Invalid(format!("the pattern {shown} is no glob: {error}"))
    })
}

fn is_hidden(prefix: &Path, location: &Path) -> bool {
    location
        .prefix_match(prefix)
        .is_some_and(|mut parts| parts.any(|part| part.as_ref().starts_with(['.', '_'])))
}

#[cfg(test)]
mod tests {
    use shoal_config::Storage;

    use super::*;

    #[tokio::test]
    async fn a_listing_ends_where_no_more_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", ".hidden"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let url = Url::from_directory_path(folder.path()).unwrap();
        let stores = Stores::new(&Storage::default(), 0);
        for (pattern, most) in [(None, 3), (None, 2), (Some("[ab]"), 2), (Some("?"), 1)] {
            let mut taken = Vec::new();
            let listed = list(&stores, &url, pattern, |object| match taken.len() == most {
                true => Err(LakeError::Invalid("enough".into())),
                false => {
                    taken.push(object.url());
                    Ok(())
                }
            });
            let listed = listed.await.map_err(|error| error.to_string());
            assert_eq!(taken.len(), most);
            match (pattern, most) {
                (None, 3) | (Some("[ab]"), _) => assert_eq!(listed, Ok(())),
                _ => assert_eq!(listed, Err("enough".to_string())),
            }
        }
    }

    #[test]
    fn a_pattern_begins_at_the_first_part_with_a_wildcard() {
        for (location, folder, pattern) in [
            ("s3://b/p/**/*.jpg", "s3://b/p/", Some("**/*.jpg")),
            ("s3://b/a?.jpg", "s3://b/", Some("a?.jpg")),
            (
                "/photos/2024-0[56]/x.png",
                "/photos/",
                Some("2024-0[56]/x.png"),
            ),
            ("/photos/", "/photos/", None),
            ("*.jpg", "", Some("*.jpg")),
        ] {
            assert_eq!(split_pattern(location), (folder, pattern));
        }
    }

    #[test]
    fn a_star_stays_within_one_part_of_a_path() {
        for (pattern, path, matches) in [
            ("*.jpg", "a.jpg", true),
            ("*.jpg", "a/b.jpg", false),
            ("**/*.jpg", "b.jpg", true),
            ("**/*.jpg", "a/c/b.jpg", true),
            ("*/[ab]?.png", "x/a1.png", true),
            ("*/[ab]?.png", "x/c1.png", false),
        ] {
            let found = parsed(pattern).unwrap().matches_with(path, WITHIN_PARTS);
            assert_eq!(found, matches, "{pattern} {path}");
        }
        let message = parsed("[").unwrap_err().to_string();
        assert!(message.contains("the pattern [ is no glob"), "{message}");
    }

    #[test]
    fn the_query_of_a_signed_url_is_not_shown_as_a_pattern() {
        assert_eq!(shown_pattern("a.jpg?sv=1&sig=secret"), "a.jpg?…");
        assert_eq!(shown_pattern("day=1/IMG_??.jpg"), "day=1/IMG_??.jpg");
    }
}
