//! Loading the settings of a process.

use std::ffi::OsString;
use std::path::Path;

use crate::layers::{self, Kind, Sources};
use crate::{ConfigError, Settings, check::check, place};

/// Splits a command-line flag `key=value` for [`Settings::load`]; fits clap's `value_parser`.
///
/// # Errors
/// The flag has no `=`.
pub fn parse_flag(flag: &str) -> Result<(String, String), String> {
    let (key, value) = flag
        .split_once('=')
        .ok_or_else(|| "expected KEY=VALUE, such as flight.port=32011".to_string())?;
    Ok((key.trim().to_string(), value.to_string()))
}

impl Settings {
    /// Reads the settings: `file` (none: the defaults), then the `.env` beside it (without a file:
    /// in the current directory), then `SHOAL__…` environment variables, then `flags`, pairs of a
    /// dotted key and its value. Relative paths are resolved against the current directory.
    ///
    /// # Errors
    /// A file that is missing or not YAML, a key that does not exist, a value of the wrong type or
    /// out of its range; each names the key and where it was set.
    ///
    /// ```no_run
    /// use std::path::Path;
    /// use shoal_config::Settings;
    ///
    /// let flags = [("flight.port".to_string(), "0".to_string())];
    /// let settings = Settings::load(Some(Path::new("config/settings.yaml")), &flags)?;
    /// # Ok::<(), shoal_config::ConfigError>(())
    /// ```
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        let environment: Vec<_> = std::env::vars_os().collect();
        let folder = std::env::current_dir().map_err(|source| ConfigError::File {
            what: "current directory, a",
            path: ".".into(),
            source,
        })?;
        Self::load_from(file, &environment, flags, &folder)
    }

    fn load_from(
        file: Option<&Path>,
        environment: &[(OsString, OsString)],
        flags: &[(String, String)],
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let sources = Sources {
            kind: Kind::Settings,
            file,
            environment,
            flags,
        };
        let (mut settings, origins) = layers::load::<Self>(&sources)?;
        place::resolve(&mut settings, folder, &origins)?;
        check(&settings, &origins)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads `yaml` with a `.env`, environment variables and flags of `KEY=value`.
    fn load(
        yaml: &str,
        env_file: &str,
        environment: &[&str],
        flags: &[&str],
    ) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.yaml");
        std::fs::write(&file, yaml).unwrap();
        std::fs::write(folder.path().join(".env"), env_file).unwrap();
        let pair = |text: &&str| parse_flag(text).unwrap();
        let environment: Vec<_> = environment
            .iter()
            .map(pair)
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        let flags: Vec<_> = flags.iter().map(pair).collect();
        Settings::load_from(Some(&file), &environment, &flags, Path::new("/here"))
    }

    fn error(yaml: &str, environment: &[&str]) -> String {
        load(yaml, "", environment, &[]).unwrap_err().to_string()
    }

    #[test]
    fn later_layers_win_and_other_keys_stay() {
        let yaml = "storage:\n  raw_path: s3://y/raw\n  processed_path: s3://y/p\n  curated_path: s3://y/c\n  default_path: s3://y/d\n";
        let settings = load(
            yaml,
            "OTHER=1\nSHOAL__STORAGE__PROCESSED_PATH=s3://e/p\nSHOAL__STORAGE__CURATED_PATH=s3://e/c\nSHOAL__STORAGE__DEFAULT_PATH=s3://e/d",
            &["SHOAL__STORAGE__CURATED_PATH=s3://v/c", "SHOAL__STORAGE__DEFAULT_PATH=s3://v/d", "HOME=/root"],
            &["storage.default_path=s3://f/d"],
        )
        .unwrap();
        let zones = ["raw", "processed", "curated", "default"]
            .map(|zone| settings.storage.zone(zone).unwrap());
        assert_eq!(
            zones,
            ["s3://y/raw/", "s3://e/p/", "s3://v/c/", "s3://f/d/"]
        );
    }

    #[test]
    fn text_layers_are_read_as_the_type_of_the_key() {
        let settings = load(
            "",
            "",
            &[
                "SHOAL__FLIGHT__PORT=0",
                "SHOAL__FLIGHT__ANONYMOUS=true",
                "SHOAL__STORAGE__S3__ACCESS_KEY_ID=12345",
                "SHOAL__STORAGE__S3__SECRET_ACCESS_KEY=67890",
                "SHOAL__STORAGE__S3__ENDPOINT=",
                "SHOAL__CLUSTER__EXECUTOR__MEMORY=3GiB",
                "SHOAL__CATALOG__ATTACH=[{name: ice, kind: iceberg_sql, uri: 'sqlite://i.db', warehouse: w}]",
                "SHOAL__LOGGING__LEVEL=debug",
            ],
            &[],
        )
        .unwrap();
        assert!(settings.flight.anonymous);
        assert_eq!(settings.flight.port, 0);
        assert_eq!(settings.storage.s3.access_key_id.as_deref(), Some("12345"));
        assert_eq!(
            settings.storage.s3.secret_access_key.unwrap().expose(),
            "67890"
        );
        assert_eq!(settings.storage.s3.endpoint, None);
        assert_eq!(settings.cluster.executor.memory, crate::ByteSize::gib(3));
        assert_eq!(settings.catalog.attach[0].uri, "sqlite:///here/i.db");
        assert_eq!(settings.catalog.attach[0].warehouse, "file:///here/w/");
    }

    #[test]
    fn an_unknown_key_names_itself_its_place_and_the_nearest() {
        let message = error("storage:\n  raw_pth: x\n", &[]);
        assert!(message.contains("\"storage.raw_pth\""), "{message}");
        assert!(message.contains("settings.yaml"), "{message}");
        assert!(
            message.contains("did you mean \"storage.raw_path\""),
            "{message}"
        );

        let message = error("", &["SHOAL__PROCESSING__BATCHSIZE=3"]);
        assert!(
            message.contains("SHOAL__PROCESSING__BATCHSIZE"),
            "{message}"
        );
        assert!(message.contains("\"processing.batch_size\""), "{message}");
    }

    #[test]
    fn a_spark_section_is_told_that_cluster_took_its_place() {
        let seed = "storage:\n  raw_path: s3://datalake/raw/\nspark:\n  app_name: ImageDataLake\n  master: yarn\n";
        let message = error(seed, &[]);
        assert!(
            message.contains("\"spark\"") && message.contains("`cluster:`"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_type_names_the_key_and_its_place() {
        for (yaml, key) in [
            (
                "cluster:\n  executor:\n    port: many\n",
                "cluster.executor.port",
            ),
            ("processing:\n  batch_size: -1\n", "processing.batch_size"),
            ("storage: s3://x\n", "storage"),
            ("query:\n  placement: somewhere\n", "query.placement"),
            ("models:\n  runtime: onnx\n", "models.runtime"),
            ("catalog:\n  attach: [{name: a}]\n", "catalog.attach[0]"),
            ("write:\n  row_group_bytes: lots\n", "write.row_group_bytes"),
        ] {
            let message = error(yaml, &[]);
            assert!(message.contains(&format!("\"{key}\"")), "{message}");
            assert!(message.contains("settings.yaml"), "{message}");
        }
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for (yaml, key) in [
            ("processing:\n  batch_size: 0\n", "processing.batch_size"),
            (
                "flight:\n  anonymous: true\n  bind_host: 0.0.0.0\n",
                "flight.anonymous",
            ),
            ("write:\n  compression: zip\n", "write.compression"),
            ("images:\n  url_allow: [example.com]\n", "images.url_allow"),
            ("storage:\n  raw_path: hdfs://x/y\n", "storage.raw_path"),
            ("catalog:\n  url: mysql://x/y\n", "catalog.url"),
            (
                "cluster:\n  heartbeat_seconds: 30\n",
                "cluster.executor_timeout_seconds",
            ),
        ] {
            let message = error(yaml, &[]);
            assert!(message.contains(&format!("\"{key}\"")), "{message}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Settings::load(Some(Path::new("/nowhere/settings.yaml")), &[])
            .unwrap_err()
            .to_string();
        assert!(message.contains("/nowhere/settings.yaml"), "{message}");
    }

    #[test]
    fn no_secret_is_printed_with_the_settings() {
        let settings = load(
            "catalog:\n  url: postgres://u:hunter2@h/d\n",
            "",
            &["SHOAL__STORAGE__S3__SECRET_ACCESS_KEY=hunter2"],
            &[],
        )
        .unwrap();
        let printed = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn the_example_files_hold_exactly_the_keys_and_defaults_that_exist() {
        let example = Settings::load_from(
            Some(Path::new("settings.yaml")),
            &[],
            &[],
            Path::new("/here"),
        )
        .unwrap();
        let mut defaults = Settings::default();
        defaults.flight.anonymous = true;
        place::resolve(&mut defaults, Path::new("/here"), &Default::default()).unwrap();
        assert_eq!(
            serde_json::to_value(&example).unwrap(),
            serde_json::to_value(&defaults).unwrap()
        );
    }
}
