//! The objects below a folder or bucket prefix.

use futures::TryStreamExt as _;
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
    /// Time of the last change, in microseconds since 1970.
    pub fn modified_micros(&self) -> i64 {
        self.meta.last_modified.timestamp_micros()
    }
}

/// All objects at or below `source`, in order of their paths. A name that begins with `.` or `_`, be it
/// a file's or a folder's, is passed over, as Spark does.
///
/// # Errors
/// When the store cannot be listed, and when there is nothing at `source`.
pub async fn list(stores: &Stores, source: &Url) -> Result<Vec<ImageObject>> {
    let store = stores.store(source)?;
    let prefix = Stores::path(source)?;
    let mut found: Vec<ObjectMeta> = store
        .list(Some(&prefix))
        .try_collect()
        .await
        .map_err(LakeError::store(format!("listing {source}")))?;
    if found.is_empty()
        && let Ok(single) = store.head(&prefix).await
    {
        found.push(single);
    }
    if found.is_empty() {
        return Err(LakeError::Invalid(format!(
            "there are no files at {source}; check the path, and the storage section of the settings"
        )));
    }
    found.retain(|object| !is_hidden(&prefix, &object.location));
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found
        .into_iter()
        .map(|meta| ImageObject {
            url: object_url(source, &meta.location),
            meta,
        })
        .collect())
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
