//! Models in this process: fetched from object stores, checked against their hash, kept for reuse.
//!
//! SQL functions run on threads that must not wait for the network in an async way, and the stores'
//! connections belong to the runtime that opened them. So a small runtime of their own fetches models, and
//! a caller waits for its answer; where the caller stands on a worker of a multi-threaded runtime, that
//! runtime is told, and puts another thread in its place.

use std::fmt;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use shoal_config::ModelSettings;
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use url::Url;

use crate::network::{self, Network, Parsed};
use crate::options::ModelOptions;
use crate::spec::ModelSpec;
use crate::{ModelError, Result};

/// A loaded model and the bytes its file has, by which the cache is bounded.
#[derive(Clone)]
struct Loaded {
    network: Arc<Network>,
    bytes: u32,
}

/// What a model is kept under: two names for the same file, read the same way, are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    hash: String,
    output: String,
    row_shape: Vec<usize>,
}

/// The models of a process. Cheap to clone; clones share what is loaded.
#[derive(Clone)]
pub struct Models {
    shared: Arc<Shared>,
}

struct Shared {
    loader: Loader,
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
}

/// What loading takes, apart from a thread to do it on.
#[derive(Clone)]
struct Loader {
    stores: Arc<dyn ObjectStoreRegistry>,
    settings: ModelSettings,
    networks: network::Runtime,
    loaded: Cache<Key, Loaded>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loaded = self.shared.loader.loaded.entry_count();
        f.debug_struct("Models")
            .field("loaded", &loaded)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Waiting for its threads, as a plain drop does, is not allowed on an async thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Models {
    /// No models yet; they will be fetched from `stores`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] when the settings ask for a runtime that this process does not have,
    /// [`ModelError::Process`] when no thread can be started.
    pub fn new(stores: Arc<dyn ObjectStoreRegistry>, settings: &ModelSettings) -> Result<Self> {
        let networks = network::Runtime::new(settings)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("shoal-models")
            .enable_all()
            .build()
            .map_err(|error| ModelError::Process(error.to_string()))?;
        // Least recently used: a policy that may refuse a newcomer would load it again for every batch.
        let loaded = Cache::builder()
            .weigher(|_: &Key, loaded: &Loaded| loaded.bytes)
            .max_capacity(settings.cache.0)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let loader = Loader {
            stores,
            settings: settings.clone(),
            networks,
            loaded,
        };
        let shared = Shared {
            loader,
            runtime: Some(runtime),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Looks at the file of a new model: fetches it, checks that it runs with `options` and answers with
    /// its specification as version 1, and its size in bytes.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, is no network, or does not fit `options`.
    pub async fn inspect(
        &self,
        name: &str,
        location: &Url,
        options: &ModelOptions,
    ) -> Result<(ModelSpec, u64)> {
        let runtime = self.runtime()?;
        let loader = self.shared.loader.clone();
        let (name, location, options) = (name.to_owned(), location.clone(), options.clone());
        let inspected =
            runtime.spawn(async move { loader.inspect(&name, &location, &options).await });
        inspected
            .await
            .map_err(|error| ModelError::Process(error.to_string()))?
    }

    /// The network of `spec`, from the cache or from its file. Waits for it on this thread.
    ///
    /// # Errors
    /// When the file cannot be read, or is not the one of `spec`.
    pub(crate) fn network(&self, spec: &ModelSpec) -> Result<Arc<Network>> {
        let runtime = self.runtime()?;
        let loader = self.shared.loader.clone();
        let spec = spec.clone();
        let (answer, answered) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // A caller that is gone needs no answer.
            let _ = answer.send(loader.network(&spec).await);
        });
        let wait = || {
            let gone = |_| ModelError::Process("loading was interrupted".to_owned());
            answered.recv().map_err(gone)?
        };
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }

    fn runtime(&self) -> Result<&Runtime> {
        let runtime = self.shared.runtime.as_ref();
        runtime.ok_or_else(|| ModelError::Process("it is stopping".to_owned()))
    }
}

impl Loader {
    async fn inspect(
        &self,
        name: &str,
        location: &Url,
        options: &ModelOptions,
    ) -> Result<(ModelSpec, u64)> {
        let model = format!("model {name}");
        let bytes = self.fetch(&model, location).await?;
        let size = bytes.len() as u64;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let options = options.clone();
        let (networks, batch) = (self.networks.clone(), self.settings.batch_size);
        let built = blocking(move || {
            let parsed = Parsed::read(bytes, &networks)?;
            let output = parsed.output(options.output.as_deref())?;
            let input = options.input(parsed.shape())?;
            let network = parsed.into_network(&input, &output, batch)?;
            Ok::<_, String>((input, output, network.length()))
        });
        let (input, output, length) = built.await?.map_err(|reason| ModelError::Unusable {
            model,
            location: location.to_string(),
            reason,
        })?;
        let spec = ModelSpec {
            name: name.to_owned(),
            version: 1,
            location: location.to_string(),
            hash,
            input,
            output,
            length,
        };
        Ok((spec, size))
    }

    /// Of several callers that ask for the same network at once, one loads it.
    async fn network(&self, spec: &ModelSpec) -> Result<Arc<Network>> {
        let key = Key {
            hash: spec.hash.clone(),
            output: spec.output.clone(),
            row_shape: spec.row_shape(),
        };
        let loaded = self.loaded.try_get_with(key, self.load(spec)).await;
        loaded
            .map(|loaded| loaded.network)
            .map_err(|error: Arc<ModelError>| error.as_ref().clone())
    }

    async fn load(&self, spec: &ModelSpec) -> Result<Loaded> {
        let model = spec.to_string();
        let unusable = |reason: String| ModelError::Unusable {
            model: model.clone(),
            location: spec.location.clone(),
            reason,
        };
        let location = Url::parse(&spec.location).map_err(|error| unusable(error.to_string()))?;
        let bytes = self.fetch(&model, &location).await?;
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let expected = spec.clone();
        let (networks, batch) = (self.networks.clone(), self.settings.batch_size);
        let network = blocking(move || {
            let found = blake3::hash(&bytes).to_hex();
            if found.as_str() != expected.hash {
                return Err(ModelError::Changed {
                    model: expected.to_string(),
                    location: expected.location,
                    expected: expected.hash,
                    found: found.to_string(),
                });
            }
            let network = Parsed::read(bytes, &networks)
                .and_then(|parsed| parsed.into_network(&expected.input, &expected.output, batch));
            Ok(network)
        });
        let network = network.await??.map_err(unusable)?;
        Ok(Loaded {
            network: Arc::new(network),
            bytes: size,
        })
    }

    async fn fetch(&self, model: &str, location: &Url) -> Result<Bytes> {
        let unreadable = |reason: String| ModelError::Unreadable {
            model: model.to_owned(),
            location: location.to_string(),
            reason,
        };
        let limit = self.settings.max_file_bytes.0;
        let store = self
            .stores
            .get_store(location)
            .map_err(|error| unreadable(error.to_string()))?;
        let path =
            Path::from_url_path(location.path()).map_err(|error| unreadable(error.to_string()))?;
        let found = store
            .get(&path)
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        if found.meta.size > limit {
            return Err(ModelError::TooLarge {
                model: model.to_owned(),
                location: location.to_string(),
                bytes: found.meta.size,
                limit,
            });
        }
        found
            .bytes()
            .await
            .map_err(|error| unreadable(error.to_string()))
    }
}

/// Runs what keeps a processor busy for long beside the thread that fetches.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ModelError::Process(error.to_string()))
}

/// Options from pairs, for tests.
#[cfg(test)]
pub(crate) fn options(pairs: &[(&str, &str)]) -> ModelOptions {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ModelOptions::parse(&pairs.iter().map(pair).collect()).unwrap()
}

#[cfg(test)]
mod tests;
