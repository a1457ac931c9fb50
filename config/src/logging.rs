//! Logging of every Shoal process, as `config/logging.yaml` asks for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{Directive, EnvFilter, LevelFilter};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::layers::{self, Kind, Origins, Sources};
use crate::rolling::RollingFile;
use crate::{ByteSize, ConfigError};

/// What is logged, how and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingSettings {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub level: String,
    /// Levels of single modules, by Rust path: `shoal_scheduler: debug`.
    pub modules: BTreeMap<String, String>,
    /// One line of text or one JSON object per event.
    pub format: Format,
    /// The log file; none is standard error. `{process}` in it becomes the program's name.
    pub file: Option<PathBuf>,
    /// When a log file is closed and how many are kept.
    pub rotation: Rotation,
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            modules: BTreeMap::new(),
            format: Format::Text,
            file: None,
            rotation: Rotation::default(),
        }
    }
}

/// Libraries whose `info` tells what Shoal itself logs in its own words; `modules` can say
/// otherwise.
const QUIET: [&str; 8] = [
    "ballista_core",
    "ballista_executor",
    "ballista_scheduler",
    "buoyant_kernel",
    "datafusion",
    "deltalake_core",
    "iceberg",
    "sqlx",
];

/// How an event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A line for people.
    Text,
    /// A JSON object per line for log collectors.
    Json,
}

/// Rotation of a log file: whichever limit is reached first closes it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Largest size of a file.
    pub max_size: ByteSize,
    /// Largest age of a file in hours.
    pub max_age_hours: u64,
    /// Closed files that are kept; the oldest goes first.
    pub keep: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            max_size: ByteSize::mib(100),
            max_age_hours: 24,
            keep: 7,
        }
    }
}

/// Starts logging for this process, once. `file` is `logging.yaml` (none: the defaults); the
/// `.env` beside it and `SHOAL__LOGGING__…` variables override it.
///
/// # Errors
/// The settings' own errors, a log file that cannot be written, or a second call.
pub fn init(file: Option<&Path>) -> Result<(), ConfigError> {
    let environment: Vec<_> = std::env::vars_os().collect();
    let (settings, filter) = load(file, &environment)?;
    let failed = |error: &dyn std::fmt::Display| ConfigError::Logging(error.to_string());

    let (writer, colored) = match &settings.file {
        Some(path) => {
            let path = path.to_string_lossy().replace("{process}", &process_name());
            let file = RollingFile::open(Path::new(&path), settings.rotation)
                .map_err(|error| failed(&format!("log file {path}: {error}")))?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        None => {
            let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            (BoxMakeWriter::new(std::io::stderr), colored)
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colored);
    match settings.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| failed(&error))
}

/// The program's file name, such as `shoal-executor`.
fn process_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn load(
    file: Option<&Path>,
    environment: &[(OsString, OsString)],
) -> Result<(LoggingSettings, EnvFilter), ConfigError> {
    let sources = Sources {
        kind: Kind::Logging,
        file,
        environment,
        flags: &[],
    };
    let (settings, origins) = layers::load::<LoggingSettings>(&sources)?;
    let filter = filter(&settings, &origins)?;
    if settings.rotation.max_size.0 == 0 || settings.rotation.max_age_hours == 0 {
        return Err(origins.refuse("rotation", "max_size and max_age_hours must be at least 1"));
    }
    Ok((settings, filter))
}

fn filter(settings: &LoggingSettings, origins: &Origins) -> Result<EnvFilter, ConfigError> {
    let level = |key: &str, text: &str| {
        LevelFilter::from_str(text).map_err(|_| {
            origins.refuse(
                key,
                format!("\"{text}\" is not one of error, warn, info, debug, trace, off"),
            )
        })
    };
    let mut filter = EnvFilter::default().add_directive(level("level", &settings.level)?.into());
    for module in QUIET {
        let directive = Directive::from_str(&format!("{module}=warn"));
        filter = filter.add_directive(directive.map_err(|e| ConfigError::Logging(e.to_string()))?);
    }
    for (module, text) in &settings.modules {
        let key = format!("modules.{module}");
        let level = level(&key, text)?;
        let directive = Directive::from_str(&format!("{module}={level}"))
            .map_err(|_| origins.refuse(&key, "is not the path of a Rust module"))?;
        filter = filter.add_directive(directive);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(
        yaml: &str,
        environment: &[(&str, &str)],
    ) -> Result<(LoggingSettings, EnvFilter), ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logging.yaml");
        std::fs::write(&file, yaml).unwrap();
        let environment: Vec<_> = environment
            .iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        load(Some(&file), &environment)
    }

    #[test]
    fn levels_are_set_per_module_and_overridden_by_variables() {
        let (_, filter) = load_text(
            "level: warn\nmodules:\n  shoal_lake: debug\n",
            &[
                ("SHOAL__LOGGING__LEVEL", "error"),
                ("SHOAL__STORAGE__RAW_PATH", "x"),
            ],
        )
        .unwrap();
        let filter = filter.to_string();
        assert!(
            filter.contains("error") && filter.contains("shoal_lake=debug"),
            "{filter}"
        );
    }

    #[test]
    fn bad_logging_settings_name_their_key() {
        for (yaml, key) in [
            ("level: loud", "level"),
            ("modules: {shoal_lake: loud}", "modules.shoal_lake"),
            ("format: xml", "format"),
            ("colour: true", "colour"),
            ("rotation: {keep: many}", "rotation.keep"),
        ] {
            let message = load_text(yaml, &[]).unwrap_err().to_string();
            assert!(message.contains(&format!("\"{key}\"")), "{message}");
        }
    }

    #[test]
    fn the_example_file_is_the_default() {
        let file = Path::new("logging.yaml");
        let (example, _) = load(Some(file), &[]).unwrap();
        let defaults = serde_json::to_value(LoggingSettings::default()).unwrap();
        assert_eq!(serde_json::to_value(example).unwrap(), defaults);
    }
}
