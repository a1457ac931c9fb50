//! Object stores by URL: `file://`, `s3://`, Azure and Google, made on first use from one section of the settings.
//!
//! The scheduler and every executor hold a [`Stores`] of the same settings, as DataFusion's object-store
//! registry; nothing has to be registered by hand, so a plan that names `s3://bucket` runs anywhere.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::{
    ObjectStore, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, path::Path,
};
use parking_lot::RwLock;
use shoal_config::{Secret, Storage, shown_url};
use std::collections::HashMap;
use url::{Position, Url};

use crate::error::{LakeError, Result};

/// The object stores of a process. `Debug` prints no credentials.
pub struct Stores {
    storage: Storage,
    retries: usize,
    opened: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let opened: Vec<String> = self.opened.read().keys().cloned().collect();
        f.debug_struct("Stores").field("opened", &opened).finish()
    }
}

/// Deletes every object below a directory.
pub(crate) async fn delete_below(
    store: &dyn ObjectStore,
    directory: &Path,
) -> object_store::Result<()> {
    let objects = store
        .list(Some(directory))
        .map_ok(|object| object.location)
        .boxed();
    let deleted = store.delete_stream(objects);
    deleted.try_for_each(|_| async { Ok(()) }).await
}

impl Stores {
    /// Stores that are reached as the settings say; a failed request is tried again `retries` times.
    pub fn new(storage: &Storage, retries: u32) -> Arc<Self> {
        Arc::new(Stores {
            storage: storage.clone(),
            retries: retries as usize,
            opened: RwLock::new(HashMap::new()),
        })
    }

    /// The store that holds the object or directory at `url`.
    pub fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let key = url[..Position::BeforePath].to_string();
        if let Some(store) = self.opened.read().get(&key) {
            return Ok(store.clone());
        }
        let store = self.open(url)?;
        Ok(self.opened.write().entry(key).or_insert(store).clone())
    }

    /// The path of `url` inside its store.
    pub fn path(url: &Url) -> Result<Path> {
        Path::from_url_path(url.path()).map_err(|e| {
            let shown = shown_url(url.as_str());
            LakeError::Invalid(format!("{shown} is not a usable location: {e}"))
        })
    }

    /// The part of `url` that names its store, as DataFusion's plans carry it.
    pub fn store_url(url: &Url) -> Result<ObjectStoreUrl> {
        Ok(ObjectStoreUrl::parse(&url[..Position::BeforePath])?)
    }

    fn open(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let opening = || LakeError::store(format!("opening {}", &url[..Position::BeforePath]));
        match url.scheme() {
            "file" => Ok(Arc::new(
                LocalFileSystem::new().with_automatic_cleanup(true),
            )),
            "s3" | "s3a" => Ok(Arc::new(self.s3(url).build().map_err(opening())?)),
            "az" | "azure" | "abfs" | "abfss" | "adl" => {
                Ok(Arc::new(self.azure(url).build().map_err(opening())?))
            }
            "gs" => Ok(Arc::new(self.gcs(url).build().map_err(opening())?)),
            other => Err(LakeError::Invalid(format!(
                "{}: Shoal does not know the scheme {other}://; use file://, s3://, az://, abfss:// or gs://",
                shown_url(url.as_str())
            ))),
        }
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig {
            max_retries: self.retries,
            ..RetryConfig::default()
        }
    }

    fn s3(&self, url: &Url) -> AmazonS3Builder {
        let s3 = &self.storage.s3;
        let mut builder = AmazonS3Builder::from_env()
            .with_url(format!("s3://{}", url.host_str().unwrap_or_default()))
            .with_retry(self.retry())
            .with_allow_http(s3.allow_http)
            .with_virtual_hosted_style_request(s3.virtual_hosted_style);
        if let Some(endpoint) = &s3.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &s3.region {
            builder = builder.with_region(region);
        }
        if let Some(id) = &s3.access_key_id {
            builder = builder.with_access_key_id(id);
        }
        if let Some(key) = &s3.secret_access_key {
            builder = builder.with_secret_access_key(key.expose());
        }
        if let Some(token) = &s3.session_token {
            builder = builder.with_token(token.expose());
        }
        builder
    }

    fn azure(&self, url: &Url) -> MicrosoftAzureBuilder {
        let azure = &self.storage.azure;
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_url(url[..Position::BeforePath].to_string())
            .with_retry(self.retry())
            .with_use_emulator(azure.use_emulator)
            .with_allow_http(azure.allow_http);
        if let Some(account) = &azure.account {
            builder = builder.with_account(account);
        }
        if let Some(key) = azure.access_key.as_ref().map(Secret::expose) {
            builder = builder.with_access_key(key);
        }
        if let Some(endpoint) = &azure.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder
    }

    fn gcs(&self, url: &Url) -> GoogleCloudStorageBuilder {
        let gcs = &self.storage.gcs;
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_url(url[..Position::BeforePath].to_string())
            .with_retry(self.retry());
        if let Some(path) = &gcs.service_account_path {
            builder = builder.with_service_account_path(path.to_string_lossy());
        }
        if let Some(endpoint) = &gcs.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        builder
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        let key = url[..Position::BeforePath].to_string();
        self.opened.write().insert(key, store)
    }

    fn get_store(&self, url: &Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> {
        Ok(self.store(url)?)
    }
}
