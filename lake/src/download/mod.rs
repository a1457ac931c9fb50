//! Fetches single files by URL: what `url_download` runs on.
//!
//! Promises:
//! - no request goes to a host that `images.url_allow` does not list, also not after a redirect, and none to
//!   a private address that is not listed itself;
//! - no file larger than `images.max_file_bytes` is held, and none takes longer than
//!   `images.url_timeout_seconds`;
//! - a process has at most [`CONNECTIONS`] downloads under way;
//! - no message repeats what may be credentials in a URL.

mod address;
mod allow;

use std::error::Error as _;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use arrow::buffer::Buffer;
use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use reqwest::{Client, redirect};
use shoal_config::{ImageSettings, check_store_url, shown_url};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::sync::Semaphore;
use url::Url;

use self::address::ListedAddresses;
use self::allow::{AllowList, Refused};
use crate::error::{LakeError, Result};
use crate::stores::Stores;

/// Downloads under way in a process.
pub const CONNECTIONS: usize = 32;
static SLOTS: Semaphore = Semaphore::const_new(CONNECTIONS);

const REDIRECTS: usize = 5;

/// What became of one URL: the bytes, or in words why there are none.
pub type Downloaded = std::result::Result<Buffer, String>;

/// Fetches files by URL. See the module's documentation.
#[derive(Debug)]
pub struct Downloads {
    source: Arc<Source>,
    /// Where requests run, so that a caller may wait for them wherever it runs itself.
    runtime: OnceLock<Runtime>,
}

/// Where files come from, within which limits.
#[derive(Debug)]
struct Source {
    stores: Arc<Stores>,
    allowed: Arc<AllowList>,
    client: OnceLock<Client>,
    max_bytes: u64,
    timeout: Duration,
}

impl Downloads {
    /// Downloads from `stores` and from what the settings allow. Connects to nothing yet.
    ///
    /// # Errors
    /// When an entry of `images.url_allow` is no URL.
    pub fn new(settings: &ImageSettings, stores: Arc<Stores>) -> Result<Self> {
        Ok(Downloads {
            source: Arc::new(Source {
                stores,
                allowed: Arc::new(AllowList::new(&settings.url_allow)?),
                client: OnceLock::new(),
                max_bytes: settings.max_file_bytes.0,
                timeout: Duration::from_secs(settings.url_timeout_seconds),
            }),
            runtime: OnceLock::new(),
        })
    }

    /// The files at `urls`, in their order. Blocks until all are here or have failed, which takes no longer
    /// than the time limit for every [`CONNECTIONS`] URLs.
    ///
    /// # Errors
    /// When one of the URLs is not allowed. What else goes wrong is the affair of its own URL.
    pub fn fetch(&self, urls: &[&str]) -> Result<Vec<Downloaded>> {
        let mut checked = Vec::with_capacity(urls.len());
        for url in urls {
            checked.push(self.source.check(url)?);
        }
        let source = self.source.clone();
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime()?.spawn(async move {
            let files = futures::stream::iter(checked)
                .map(|url| source.file(url))
                .buffered(CONNECTIONS)
                .collect::<Vec<_>>();
            // Nobody waits any more when the statement is gone.
            let _ = sender.send(files.await);
        });
        let files = blocking(|| receiver.recv())
            .map_err(|_| LakeError::Invalid("the downloads of url_download were stopped".into()))?;
        files
            .into_iter()
            .map(|file| match file {
                Err(Failure::Refused(refused)) => Err(LakeError::Invalid(refused.to_string())),
                Err(Failure::Failed(reason)) => Ok(Err(reason)),
                Ok(file) => Ok(Ok(file)),
            })
            .collect()
    }

    fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("shoal-download")
            .enable_all()
            .build()
            .map_err(|error| {
                LakeError::Invalid(format!(
                    "no thread for url_download can be started: {error}"
                ))
            })?;
        // The runtime of whoever was faster stays.
        if let Err(late) = self.runtime.set(runtime) {
            late.shutdown_background();
        }
        self.runtime()
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        // Waiting for the thread is forbidden where other futures run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits without keeping other futures of this thread from running.
fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(wait)
        }
        _ => wait(),
    }
}

/// Why there is no file.
enum Failure {
    /// The settings do not allow it: an error of the statement.
    Refused(Refused),
    /// It is not there, too large, or too slow.
    Failed(String),
}

fn failed(url: &Url, reason: String) -> Failure {
    Failure::Failed(format!("{}: {reason}", shown_url(url.as_str())))
}

impl Source {
    /// The URL that `text` is, if it may be fetched, or why it is none.
    fn check(&self, text: &str) -> Result<std::result::Result<Url, String>> {
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return Ok(Err(format!("{:?} is no URL: {error}", shown_url(text)))),
        };
        let shown = || shown_url(text);
        match url.scheme() {
            "http" | "https" | "file" => match self.allowed.check(&url) {
                Ok(()) => Ok(Ok(url)),
                Err(refused) => Err(LakeError::Invalid(refused.to_string())),
            },
            scheme if shoal_config::STORE_SCHEMES.contains(&scheme) => {
                let refused = |reason: String| format!("{} {reason}", shown());
                Ok(check_store_url(&url).map(|()| url).map_err(refused))
            }
            scheme => Ok(Err(format!(
                "{}: {scheme}:// is neither http(s):// nor an object store",
                shown()
            ))),
        }
    }

    async fn file(
        self: &Arc<Self>,
        url: std::result::Result<Url, String>,
    ) -> std::result::Result<Buffer, Failure> {
        let url = url.map_err(Failure::Failed)?;
        let failed = |reason| failed(&url, reason);
        let _slot = SLOTS
            .acquire()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let reading = async {
            match url.scheme() {
                "http" | "https" => self.over_http(&url).await,
                _ => self.out_of_store(&url).await.map_err(&failed),
            }
        };
        match tokio::time::timeout(self.timeout, reading).await {
            Ok(file) => file,
            Err(_) => Err(failed(format!(
                "it was not here after {} s (images.url_timeout_seconds)",
                self.timeout.as_secs()
            ))),
        }
    }

    async fn out_of_store(&self, url: &Url) -> std::result::Result<Buffer, String> {
        let opened = self.stores.store(url).map_err(|error| error.to_string())?;
        let path = Stores::path(url).map_err(|error| error.to_string())?;
        let found = opened.get(&path).await.map_err(|error| error.to_string())?;
        self.check_size(found.meta.size)?;
        let content = found.bytes().await.map_err(|error| error.to_string())?;
        Ok(Buffer::from(content))
    }

    async fn over_http(&self, url: &Url) -> std::result::Result<Buffer, Failure> {
        let failed = |reason| failed(url, reason);
        let client = self.client().map_err(|error| failed(told(&error)))?;
        let answer = client.get(url.clone()).send().await;
        let answer = answer.map_err(|error| match refusal(&error) {
            Some(refused) => Failure::Refused(refused),
            None => failed(told(&error)),
        })?;
        let mut answer = answer
            .error_for_status()
            .map_err(|error| failed(told(&error)))?;
        self.check_size(answer.content_length().unwrap_or(0))
            .map_err(failed)?;
        let mut content = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(told(&error)))? {
            content.extend_from_slice(&chunk);
            self.check_size(content.len() as u64).map_err(failed)?;
        }
        Ok(Buffer::from_vec(content))
    }

    fn check_size(&self, bytes: u64) -> std::result::Result<(), String> {
        match bytes > self.max_bytes {
            true => Err(format!(
                "it has more than {} bytes (images.max_file_bytes)",
                self.max_bytes
            )),
            false => Ok(()),
        }
    }

    /// The client, which is made where it is used first.
    fn client(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let allowed = self.allowed.clone();
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("it redirects too often");
            }
            match allowed.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(refused) => attempt.error(format!("it redirects elsewhere: {refused}")),
            }
        });
        let client = Client::builder()
            .user_agent(concat!("shoal/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects)
            // A proxy would look names up by itself, past the check of addresses.
            .no_proxy()
            .dns_resolver(Arc::new(ListedAddresses(self.allowed.clone())))
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// The refusal among the causes of `error`, if the address of a listed host was refused.
fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        cause = error.source();
    }
    None
}

/// What `error` says, with its causes and without the URL, which the caller names.
fn told(error: &reqwest::Error) -> String {
    let mut text = match error.status() {
        Some(status) => format!("the server answered {status}"),
        None if error.is_redirect() => "redirect refused".to_string(),
        None => "the request failed".to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use shoal_config::{ImageSettings, Storage};

    use super::*;

    fn downloads(allow: &[&str]) -> Downloads {
        let settings = ImageSettings {
            url_allow: allow.iter().map(ToString::to_string).collect(),
            ..ImageSettings::default()
        };
        Downloads::new(&settings, Stores::new(&Storage::default(), 0)).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_listed_host_with_a_private_address_is_refused_by_the_name_of_the_setting() {
        let error = downloads(&["http://localhost:1/"])
            .fetch(&["http://localhost:1/a.jpg"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("is private") && error.contains("images.url_allow"),
            "{error}"
        );
    }

    /// A server that answers the given number of requests with a redirect to `target`.
    fn redirects(requests: usize, target: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        format!("http://{address}")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_redirect_is_checked_as_the_url_was_and_told_of_without_credentials() {
        let server = redirects(1, "/public/..%2fprivate/x.jpg?X-Amz-Signature=secret");
        let downloads = downloads(&[&format!("{server}/public/")]);
        let [answer] = downloads
            .fetch(&[&format!("{server}/public/a.jpg?sig=secret")])
            .unwrap()
            .try_into()
            .unwrap();
        let reason = answer.unwrap_err();
        assert!(
            reason.contains("/public/a.jpg: redirect refused: it redirects elsewhere")
                && reason.contains("/public/..%2fprivate/x.jpg"),
            "{reason}"
        );
        assert!(!reason.contains("secret"), "{reason}");
    }

    #[tokio::test]
    async fn why_there_is_no_file_is_told_without_credentials() {
        for url in [
            "s3://me:secret@bucket/a.jpg",
            "s3://bucket/a.jpg?X-Amz-Signature=secret",
            "https://me:secret/x@h/a.jpg",
            "me:secret@h/a.jpg",
            "ftp://me:secret@h/a.jpg?secret",
        ] {
            let reason = downloads(&[]).fetch(&[url]).unwrap().remove(0).unwrap_err();
            assert!(
                reason.contains("a.jpg") && !reason.contains("secret"),
                "{url}: {reason}"
            );
        }
        for url in ["https://me:secret@h/a.jpg?secret", "file:///a.jpg?secret"] {
            let error = downloads(&[]).fetch(&[url]).unwrap_err().to_string();
            assert!(
                error.contains("a.jpg") && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn files_of_a_store_come_in_order_also_where_one_thread_does_everything() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "first").unwrap();
        std::fs::write(folder.path().join("b"), "second").unwrap();
        let below = |name: &str| format!("file://{}/{name}", folder.path().display());
        let (a, b, none) = (below("a"), below("b"), below("none"));
        let downloads = downloads(&[&below("")]);
        let files = downloads.fetch(&[&b, &none, "no url", &a]).unwrap();
        assert_eq!(files[0].as_ref().unwrap().as_slice(), b"second");
        assert!(files[1].as_ref().unwrap_err().contains(&none));
        assert!(files[2].as_ref().unwrap_err().contains("no URL"));
        assert_eq!(files[3].as_ref().unwrap().as_slice(), b"first");
        let error = downloads.fetch(&[&a, "file:///etc/passwd"]).unwrap_err();
        assert!(error.to_string().contains("images.url_allow"), "{error}");
    }
}
