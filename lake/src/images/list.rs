//! The objects below a folder or bucket prefix, or those that a pattern names.

use futures::TryStreamExt as _;
use glob::{MatchOptions, Pattern};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, path::Path};
use url::{Position, Url};

use crate::{
    error::{LakeError, Result},
    stores::Stores,
};

/// An object that may be a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageObject {
    /// Its URL: what the `filename` column holds.
    pub url: String,
    /// Path, size and time of last change in its store.
    pub meta: ObjectMeta,
}

impl ImageObject {
    /// Its size in bytes.
    pub fn size(&self) -> i64 {
        i64::try_from(self.meta.size).unwrap_or(i64::MAX)
    }

    /// Time of the last change, in microseconds since 1970.
    pub fn modified_micros(&self) -> i64 {
        self.meta.last_modified.timestamp_micros()
    }
}

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

/// The objects below `folder` whose path below it matches `pattern`, as [`list`] gives them. `*` and `?`
/// stand for anything within one part of a path, `**` for any number of parts, `[a-c]` for one of these
/// characters.
///
/// # Errors
/// As [`list`]; when the pattern is none, and when nothing matches it.
pub async fn list_matching(
    stores: &Stores,
    folder: &Url,
    pattern: &str,
) -> Result<Vec<ImageObject>> {
    let matcher = parsed(pattern)?;
    let prefix = Stores::path(folder)?;
    let mut found = objects(stores, folder, &prefix).await?;
    found.retain(|object| {
        let below = object.location.as_ref().strip_prefix(prefix.as_ref());
        below.is_some_and(|below| matcher.matches_with(below.trim_start_matches('/'), WITHIN_PARTS))
    });
    let shown = in_order(folder, &prefix, found);
    match shown.is_empty() {
        false => Ok(shown),
        true => Err(LakeError::Invalid(format!(
            "no file matches {folder}{pattern}; check the path, and the storage section of the settings"
        ))),
    }
}

/// A wildcard does not stand for `/`.
const WITHIN_PARTS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

fn parsed(pattern: &str) -> Result<Pattern> {
    Pattern::new(pattern)
        .map_err(|error| LakeError::Invalid(format!("the pattern {pattern} is no glob: {error}")))
}

async fn objects(stores: &Stores, source: &Url, prefix: &Path) -> Result<Vec<ObjectMeta>> {
    stores
        .store(source)?
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(LakeError::store(format!("listing {source}")))
}

/// All objects at or below `source`, in order of their paths. A name that begins with `.` or `_`, be it
/// a file's or a folder's, is passed over, as Spark does.
///
/// # Errors
/// When the store cannot be listed, and when there is nothing at `source`.
pub async fn list(stores: &Stores, source: &Url) -> Result<Vec<ImageObject>> {
    let prefix = Stores::path(source)?;
    let mut found = objects(stores, source, &prefix).await?;
    if found.is_empty()
        && let Ok(single) = stores.store(source)?.head(&prefix).await
    {
        found.push(single);
    }
    if found.is_empty() {
        return Err(LakeError::Invalid(format!(
            "there are no files at {source}; check the path, and the storage section of the settings"
        )));
    }
    Ok(in_order(source, &prefix, found))
}

/// The objects that are not hidden, by path.
fn in_order(source: &Url, prefix: &Path, mut found: Vec<ObjectMeta>) -> Vec<ImageObject> {
    found.retain(|object| !is_hidden(prefix, &object.location));
    found.sort_by(|a, b| a.location.cmp(&b.location));
    let objects = found.into_iter().map(|meta| ImageObject {
        url: object_url(source, &meta.location),
        meta,
    });
    objects.collect()
}

/// The URL of an object in the same store as `source`. Not percent-encoded, so that people and `LIKE`
/// find the name they know.
fn object_url(source: &Url, location: &Path) -> String {
    format!("{}/{location}", &source[..Position::BeforePath])
}

fn is_hidden(prefix: &Path, location: &Path) -> bool {
    location
        .prefix_match(prefix)
        .is_some_and(|mut parts| parts.any(|part| part.as_ref().starts_with(['.', '_'])))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
