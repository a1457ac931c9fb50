//! The command line of everything that serves.

use std::path::PathBuf;

use clap::Args;

use crate::{ConfigError, Settings, load::parse_flag, logging};

/// Where a process takes its settings from.
#[derive(Debug, Args)]
pub struct ProcessArgs {
    /// Settings file; config/settings.yaml is the commented example.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Logging file; without one, log lines go to standard error.
    #[arg(long, value_name = "FILE")]
    logging: Option<PathBuf>,
    /// Override a setting, for example `--set flight.port=32011`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_flag)]
    flags: Vec<(String, String)>,
}

impl ProcessArgs {
    /// Loads the settings, and begins to log.
    ///
    /// # Errors
    /// A file or a setting is wrong; see [`Settings::load`].
    pub fn begin(&self) -> Result<Settings, ConfigError> {
        let settings = Settings::load(self.config.as_deref(), &self.flags)?;
        logging::init(self.logging.as_deref())?;
        Ok(settings)
    }
}
