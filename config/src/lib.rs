//! What every Shoal process has in common: settings, logging, its command line, the
//! signals that stop it, its stacks.
//!
//! One YAML file (`config/settings.yaml` is the commented example) describes a whole deployment:
//! the scheduler, the executors and `shoal serve` read the same file and take what they need.
//! [`Settings::load`] lays four layers over each other, later ones win:
//!
//! 1. the YAML file,
//! 2. the `.env` file beside it,
//! 3. environment variables `SHOAL__SECTION__KEY=value`,
//! 4. command-line flags.
//!
//! Promises: a process that gets `Settings` got all of them checked. An unknown key, a wrong type
//! or a missing file is a [`ConfigError`] that names the key and where it was written. Neither
//! `Debug` nor `Serialize` of anything in this crate prints a secret.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod catalog;
mod check;
mod env_file;
mod error;
mod layers;
mod load;
pub mod logging;
mod place;
mod process;
mod rolling;
mod secret;
mod settings;
mod shown;
mod signals;
mod stack;
mod storage;
mod units;

pub use catalog::{AttachedCatalog, AttachedKind, CatalogSettings};
pub use error::ConfigError;
pub use place::{STORE_SCHEMES, check_store_url, store_url};
pub use process::ProcessArgs;
pub use secret::Secret;
pub use settings::{
    Cluster, ExecutorSettings, FlightSettings, ImageSettings, ModelRuntime, ModelSettings,
    Placement, Processing, QuerySettings, SchedulerSettings, Settings, WriteSettings,
};
pub use shown::shown_url;
pub use signals::stop_on_signal;
pub use stack::deepen_stacks;
pub use storage::{AzureSettings, GcsSettings, S3Settings, Storage};
pub use units::ByteSize;
