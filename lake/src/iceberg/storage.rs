//! Iceberg's file access over the lake's own object stores, so that metadata is read and written with
//! the same settings and credentials as data.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use iceberg::{
    Error, ErrorKind, Result,
    io::{
        FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
        StorageConfig, StorageFactory,
    },
};
use object_store::{ObjectStore, ObjectStoreExt as _, buffered::BufWriter, path::Path};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::{
    error::LakeError,
    stores::{Stores, delete_below},
};

/// Makes [`LakeStorage`]s for an Iceberg catalog.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LakeStorageFactory(LakeStorage);

impl LakeStorageFactory {
    /// Storage over these stores.
    pub(super) fn new(stores: Arc<Stores>) -> Self {
        LakeStorageFactory(LakeStorage { stores })
    }

    /// File access of a table that no catalog has loaded.
    pub(super) fn file_io(self) -> FileIO {
        FileIOBuilder::new(Arc::new(self)).build()
    }
}

#[typetag::serde]
impl StorageFactory for LakeStorageFactory {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The trait asks for serialization; Shoal never sends one anywhere, and what comes back from bytes
/// reaches only stores that need no settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LakeStorage {
    #[serde(skip, default = "stores_without_settings")]
    stores: Arc<Stores>,
}

fn stores_without_settings() -> Arc<Stores> {
    Stores::new(
        &shoal_config::Storage::default(),
        shoal_config::Processing::default().max_retries,
    )
}

/// Splits an Iceberg path into the URL of its store and the path inside it.
///
/// Iceberg's paths look like URLs but are not encoded: a `%2F` in one is part of the object's name.
pub(super) fn split(path: &str) -> Option<(Url, Path)> {
    let (store, object) = match path.split_once("://") {
        Some((scheme, rest)) => {
            let (host, object) = rest.split_once('/')?;
            (format!("{scheme}://{host}/"), object)
        }
        None => {
            let object = path.strip_prefix("file:").unwrap_or(path);
            ("file:///".to_owned(), object)
        }
    };
    let object = Path::parse(object.trim_start_matches('/')).ok()?;
    Some((Url::parse(&store).ok()?, object))
}

/// An Iceberg location as the URL of a directory, encoded so that it decodes to the same name.
pub(super) fn table_url(table: &str, location: &str) -> crate::error::Result<Url> {
    let invalid = || {
        LakeError::Invalid(format!(
            "table {table}: its location {location:?} is neither a URL nor an absolute path"
        ))
    };
    let (mut url, object) = split(location).ok_or_else(invalid)?;
    url.path_segments_mut()
        .map_err(|()| invalid())?
        .clear()
        .extend(object.parts().map(|part| part.as_ref().to_owned()))
        .push("");
    Ok(url)
}

impl LakeStorage {
    fn locate(&self, path: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let invalid = |reason: String| Error::new(ErrorKind::DataInvalid, reason);
        let (url, object) =
            split(path).ok_or_else(|| invalid(format!("{path} is not a usable file path")))?;
        let store = self
            .stores
            .store(&url)
            .map_err(|e| invalid(e.to_string()))?;
        Ok((store, object))
    }
}

fn failed(doing: &str, path: &str) -> impl FnOnce(object_store::Error) -> Error {
    let message = format!("{doing} {path}");
    move |source| {
        let kind = match source {
            object_store::Error::NotFound { .. } => ErrorKind::DataInvalid,
            _ => ErrorKind::Unexpected,
        };
        Error::new(kind, message).with_source(source)
    }
}

#[async_trait]
#[typetag::serde]
impl Storage for LakeStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let (store, object) = self.locate(path)?;
        match store.head(&object).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("looking for", path)(error)),
        }
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let (store, object) = self.locate(path)?;
        let meta = store
            .head(&object)
            .await
            .map_err(failed("looking for", path))?;
        Ok(FileMetadata { size: meta.size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let (store, object) = self.locate(path)?;
        let found = store.get(&object).await.map_err(failed("opening", path))?;
        found.bytes().await.map_err(failed("reading", path))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let (store, object) = self.locate(path)?;
        Ok(Box::new(ObjectRead { store, object }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let (store, object) = self.locate(path)?;
        store
            .put(&object, bytes.into())
            .await
            .map_err(failed("writing", path))?;
        Ok(())
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let (store, object) = self.locate(path)?;
        Ok(Box::new(ObjectWrite(BufWriter::new(store, object))))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let (store, object) = self.locate(path)?;
        match store.delete(&object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("deleting", path)(error)),
        }
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let (store, prefix) = self.locate(path)?;
        delete_below(store.as_ref(), &prefix)
            .await
            .map_err(failed("deleting everything below", path))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct ObjectRead {
    store: Arc<dyn ObjectStore>,
    object: Path,
}

#[async_trait]
impl FileRead for ObjectRead {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.store
            .get_range(&self.object, range)
            .await
            .map_err(failed("reading", self.object.as_ref()))
    }
}

struct ObjectWrite(BufWriter);

#[async_trait]
impl FileWrite for ObjectWrite {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.put(bytes).await.map_err(failed("writing", "a file"))
    }

    async fn close(&mut self) -> Result<()> {
        self.0.shutdown().await.map_err(|source| {
            Error::new(ErrorKind::Unexpected, "ending the upload of a file").with_source(source)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_stand() {
        let parts = |path| split(path).map(|(url, object)| (url.to_string(), object.to_string()));
        let file = |object: &str| Some(("file:///".to_owned(), object.to_owned()));
        assert_eq!(
            parts("file:///w/d=a%2Fb/x y.parquet"),
            file("w/d=a%2Fb/x y.parquet")
        );
        assert_eq!(parts("/w/x.parquet"), file("w/x.parquet"));
        assert_eq!(parts("file:/w/x.parquet"), file("w/x.parquet"));
        let s3 = Some(("s3://bucket/".to_owned(), "w/x.parquet".to_owned()));
        assert_eq!(parts("s3://bucket/w/x.parquet"), s3);
        assert_eq!(parts("s3://bucket"), None);
    }

    #[test]
    fn a_location_becomes_the_url_of_a_directory_and_leads_back_to_it() {
        for location in ["s3://bucket/a b/d=x%2Fy", "s3://bucket/a b/d=x%2Fy/"] {
            let url = table_url("t", location).unwrap();
            assert!(url.path().ends_with('/'), "{url}");
            assert_eq!(Stores::path(&url).unwrap().as_ref(), "a b/d=x%2Fy");
        }
        assert_eq!(table_url("t", "/w/t").unwrap().as_str(), "file:///w/t/");
        assert!(table_url("lake.raw.t", "nonsense://").is_err());
    }

    #[tokio::test]
    async fn what_is_written_can_be_read_listed_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let io = LakeStorageFactory::new(stores_without_settings()).file_io();
        let path = format!("file://{}/t/a%2Fb.avro", folder.path().display());
        io.new_output(&path)
            .unwrap()
            .write(Bytes::from("first"))
            .await
            .unwrap();
        assert!(io.exists(&path).await.unwrap());
        let input = io.new_input(&path).unwrap();
        assert_eq!(input.read().await.unwrap(), "first");
        assert_eq!(input.metadata().await.unwrap().size, 5);
        assert_eq!(
            input.reader().await.unwrap().read(1..3).await.unwrap(),
            "ir"
        );
        assert!(folder.path().join("t/a%2Fb.avro").exists());

        let mut writer = io.new_output(&path).unwrap().writer().await.unwrap();
        writer.write(Bytes::from("good")).await.unwrap();
        writer.write(Bytes::from("bye")).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(input.read().await.unwrap(), "goodbye");
        io.delete_prefix(format!("file://{}/t", folder.path().display()))
            .await
            .unwrap();
        assert!(!io.exists(&path).await.unwrap());
        io.delete(&path).await.unwrap();
    }
}
