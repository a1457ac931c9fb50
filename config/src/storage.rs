//! Where tables live and how object stores are reached.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// Zones of the lake and the credentials of the stores they are on.
///
/// Every path is a local path, `file://`, `s3://`, `az://`, `abfss://` or `gs://`. After
/// [`crate::Settings::load`] each is an absolute URL that ends in `/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Root of schema `raw`: files as they came.
    pub raw_path: String,
    /// Root of schema `processed`: features and cleaned tables.
    pub processed_path: String,
    /// Root of schema `curated`: what people and models read.
    pub curated_path: String,
    /// Root of schema `default` and of every schema made without a location.
    pub default_path: String,
    /// Amazon S3 and everything that speaks its protocol.
    pub s3: S3Settings,
    /// Azure Blob Storage.
    pub azure: AzureSettings,
    /// Google Cloud Storage.
    pub gcs: GcsSettings,
}

impl Storage {
    /// The root of one of the four built-in schemas; `None` for any other name.
    pub fn zone(&self, schema: &str) -> Option<&str> {
        match schema {
            "raw" => Some(&self.raw_path),
            "processed" => Some(&self.processed_path),
            "curated" => Some(&self.curated_path),
            "default" => Some(&self.default_path),
            _ => None,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            raw_path: "data/raw/".into(),
            processed_path: "data/processed/".into(),
            curated_path: "data/curated/".into(),
            default_path: "data/default/".into(),
            s3: S3Settings::default(),
            azure: AzureSettings::default(),
            gcs: GcsSettings::default(),
        }
    }
}

/// Access to `s3://` paths. What is left out is taken from the machine (instance role or the
/// `AWS_…` variables), as the AWS tools do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// URL of an S3-compatible server; `None` is AWS.
    pub endpoint: Option<String>,
    /// Region; `None` lets the store choose `us-east-1`.
    pub region: Option<String>,
    /// Access key id.
    pub access_key_id: Option<String>,
    /// Secret access key.
    pub secret_access_key: Option<Secret>,
    /// Token of temporary credentials.
    pub session_token: Option<Secret>,
    /// Allows `http://` endpoints; keys and data then travel in the clear.
    pub allow_http: bool,
    /// Puts the bucket in the host name instead of the path.
    pub virtual_hosted_style: bool,
}

/// Access to `az://` and `abfss://` paths.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureSettings {
    /// Storage account.
    pub account: Option<String>,
    /// Account key.
    pub access_key: Option<Secret>,
    /// URL of the service; `None` is Azure's own.
    pub endpoint: Option<String>,
    /// Talks to the Azurite emulator.
    pub use_emulator: bool,
    /// Allows `http://` endpoints.
    pub allow_http: bool,
}

/// Access to `gs://` paths.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcsSettings {
    /// JSON key file of a service account; `None` uses the machine's identity.
    pub service_account_path: Option<std::path::PathBuf>,
    /// URL of the service; `None` is Google's own.
    pub endpoint: Option<String>,
}
