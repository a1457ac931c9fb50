use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use shoal_config::ByteSize;
use tempfile::TempDir;

use super::*;
use crate::test_networks::{mean_of_channels, sum_and_product};

/// How long a fetch takes: long enough for all callers of a test to be there.
const FETCH: std::time::Duration = std::time::Duration::from_millis(300);

/// Local files, and how often one was fetched.
#[derive(Debug, Default)]
struct Counting {
    files: LocalFileSystem,
    gets: AtomicUsize,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.files.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(FETCH).await;
        self.files.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.files.delete_stream(paths)
    }

    fn list(&self, below: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(below)
    }

    async fn list_with_delimiter(&self, below: Option<&Path>) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(below).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct OneStore(Arc<Counting>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, _: &Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> {
        Ok(self.0.clone())
    }
}

/// A folder with a file `m.onnx`, and models that are fetched from it.
struct Folder {
    folder: TempDir,
    store: Arc<Counting>,
    models: Models,
}

impl Folder {
    fn new(settings: ModelSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Counting::default());
        let models = Models::new(Arc::new(OneStore(store.clone())), &settings).unwrap();
        let new = Self {
            folder,
            store,
            models,
        };
        new.write(&sum_and_product(None));
        new
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(self.folder.path().join("m.onnx"), bytes).unwrap();
    }

    fn url(&self) -> Url {
        Url::from_file_path(self.folder.path().join("m.onnx")).unwrap()
    }

    async fn inspect(&self) -> Result<(ModelSpec, u64)> {
        let options = options(&[("input", "vector")]);
        self.models
            .inspect("lake.default.m", &self.url(), &options)
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_model_is_described_by_what_its_file_says() {
    let folder = Folder::new(ModelSettings::default());
    let (spec, bytes) = folder.inspect().await.unwrap();
    assert_eq!(
        (spec.version, spec.length, spec.output.as_str()),
        (1, 1, "sum")
    );
    assert_eq!(spec.input, crate::Input::Vector { length: 2 });
    assert_eq!(
        spec.hash,
        blake3::hash(&sum_and_product(None)).to_hex().as_str()
    );
    assert_eq!(bytes, sum_and_product(None).len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_load_a_model_once() {
    let folder = Folder::new(ModelSettings::default());
    let (spec, _) = folder.inspect().await.unwrap();
    let before = folder.store.gets.load(Ordering::SeqCst);
    let callers = (0..8).map(|_| {
        let (models, spec) = (folder.models.clone(), spec.clone());
        std::thread::spawn(move || models.network(&spec).unwrap().length())
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.join().unwrap(), 1);
    }
    assert_eq!(folder.store.gets.load(Ordering::SeqCst) - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn waiting_for_a_model_leaves_the_runtime_its_worker() {
    let folder = Folder::new(ModelSettings::default());
    let (spec, _) = folder.inspect().await.unwrap();
    let models = folder.models.clone();
    let begun = std::time::Instant::now();
    let waiting =
        tokio::spawn(async move { models.network(&spec).map(|network| network.length()) });
    // The only worker is taken by the one that waits, unless that one has said that it does.
    let ticking = tokio::spawn(async move { begun.elapsed() });
    assert!(ticking.await.unwrap() < FETCH);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    assert!(begun.elapsed() >= FETCH);
}

#[tokio::test]
async fn a_file_that_was_replaced_is_refused_and_names_both_hashes() {
    let folder = Folder::new(ModelSettings::default());
    let (spec, _) = folder.inspect().await.unwrap();
    folder.write(&sum_and_product(Some(1)));
    let message = folder.models.network(&spec).err().unwrap().to_string();
    let found = blake3::hash(&sum_and_product(Some(1))).to_hex();
    for part in [
        "model lake.default.m@1",
        &spec.hash,
        found.as_str(),
        "CREATE OR REPLACE MODEL",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // A failure is not kept: the file that comes back is taken.
    folder.write(&sum_and_product(None));
    assert!(folder.models.network(&spec).is_ok());
}

#[tokio::test]
async fn files_that_are_missing_too_large_or_no_networks_are_refused_by_name() {
    let folder = Folder::new(ModelSettings {
        max_file_bytes: ByteSize(500),
        ..ModelSettings::default()
    });
    for (bytes, wrong) in [
        (
            vec![0; 501],
            "501 bytes, more than the limit of 500 (models.max_file_bytes)",
        ),
        (b"not a network".to_vec(), "not an ONNX model"),
        (mean_of_channels(), "batch x length"),
    ] {
        folder.write(&bytes);
        let message = folder.inspect().await.unwrap_err().to_string();
        assert!(
            message.contains(wrong) && message.contains("m.onnx of model lake.default.m"),
            "{message}"
        );
    }
    std::fs::remove_file(folder.folder.path().join("m.onnx")).unwrap();
    let message = folder.inspect().await.unwrap_err().to_string();
    assert!(message.starts_with("cannot read file:///"), "{message}");
}

#[tokio::test]
async fn models_past_the_bound_of_the_cache_make_room() {
    let bytes = sum_and_product(None).len() as u64;
    let folder = Folder::new(ModelSettings {
        cache: ByteSize(bytes + 1),
        ..ModelSettings::default()
    });
    let (spec, _) = folder.inspect().await.unwrap();
    let other = ModelSpec {
        output: "product".into(),
        ..spec.clone()
    };
    for spec in [&spec, &other, &spec, &spec] {
        folder.models.network(spec).unwrap();
        folder.models.shared.loader.loaded.run_pending_tasks().await;
    }
    // Inspected once, then loaded three times: the second displaced the first, and the first the second.
    assert_eq!(folder.store.gets.load(Ordering::SeqCst), 4);
}
