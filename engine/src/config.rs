//! Settings of a session: which keys `SET` takes, and the DataFusion configuration they make.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use ballista_core::extension::SessionConfigExt;
use datafusion::common::config::ConfigOptions;
use datafusion::prelude::SessionConfig;
use shoal_config::{ByteSize, Placement, QuerySettings};

use crate::error::{EngineError, Result};

/// What the session's `SET` statements said, kept in the configuration so that
/// [`local_config`] can put it on top of its own choices.
#[derive(Debug, Default)]
struct SetByUser(BTreeMap<String, String>);

/// Spark's names for settings that exist here under another name.
const SPARK_NAMES: [(&str, &str); 2] = [
    (
        "spark.sql.shuffle.partitions",
        "datafusion.execution.target_partitions",
    ),
    (
        "spark.sql.session.timezone",
        "datafusion.execution.time_zone",
    ),
];

/// CPUs that this process may use. Asking takes reading files of the control group.
static CPUS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, usize::from));

/// The configuration every session starts from.
pub(crate) fn base_config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_collect_statistics(true)
}

/// `config` for a plan that runs in this process.
pub(crate) fn local_config(config: &SessionConfig) -> SessionConfig {
    let mut local = config
        .clone()
        .with_target_partitions(*CPUS)
        .with_round_robin_repartition(true);
    let optimizer = &mut local.options_mut().optimizer;
    optimizer.prefer_hash_join = true;
    optimizer.enable_dynamic_filter_pushdown = true;
    let user = config.get_extension::<SetByUser>().unwrap_or_default();
    for (key, value) in &user.0 {
        // Each was accepted when it was set.
        if let Err(error) = local.options_mut().set(key, value) {
            tracing::warn!(key, "the setting does not hold for this statement: {error}");
        }
    }
    local
}

/// The configuration of one statement: the session's names and settings on top of `base`.
pub(crate) fn statement_config(
    base: &SessionConfig,
    catalog: &str,
    schema: &str,
    settings: &BTreeMap<String, String>,
) -> Result<SessionConfig> {
    let mut config = base.clone();
    let options = config.options_mut();
    options.catalog.default_catalog = catalog.to_string();
    options.catalog.default_schema = schema.to_string();
    let mut by_user = BTreeMap::new();
    for (key, value) in settings.iter().filter(|(key, _)| is_engine_key(key)) {
        options.set(key, value)?;
        by_user.insert(key.clone(), value.clone());
    }
    Ok(config.with_extension(Arc::new(SetByUser(by_user))))
}

/// Whether the session's `SET` statements gave the key its value.
pub(crate) fn is_set_by_user(config: &SessionConfig, key: &str) -> bool {
    let set = config.get_extension::<SetByUser>();
    set.is_some_and(|set| set.0.contains_key(key))
}

fn is_engine_key(key: &str) -> bool {
    key.starts_with("datafusion.") || key.starts_with("ballista.")
}

/// The key that `SET key` means, in the spelling it is kept under.
///
/// # Errors
/// For a key that nothing knows, or that is Spark's and has no counterpart.
pub(crate) fn canonical_key(key: &str, base: &SessionConfig) -> Result<String> {
    let key = key.to_lowercase();
    if let Some((_, ours)) = SPARK_NAMES.iter().find(|(spark, _)| *spark == key) {
        return Ok((*ours).to_string());
    }
    if key.starts_with("spark.") {
        return Err(EngineError::unsupported(
            format!("setting {key}"),
            "SHOW ALL lists the settings there are",
        ));
    }
    if key.starts_with("datafusion.catalog.") {
        return Err(EngineError::unsupported(
            format!("SET {key}"),
            "USE changes the current catalog and schema",
        ));
    }
    let known = QUERY_KEYS.contains(&key.as_str())
        || (is_engine_key(&key) && base.options().entries().iter().any(|e| e.key == key));
    if known {
        return Ok(key);
    }
    Err(EngineError::NotFound {
        kind: "setting",
        name: key,
        hint: "; SHOW ALL lists the settings".into(),
    })
}

/// Keys of the settings file that a session may change for itself.
pub(crate) const QUERY_KEYS: [&str; 2] = ["query.placement", "query.local_max_bytes"];

/// Checks `value` for `key`, which [`canonical_key`] has accepted.
///
/// # Errors
/// When it is not a value of that setting.
pub(crate) fn check_value(key: &str, value: &str, base: &SessionConfig) -> Result<()> {
    let wrong = |reason: String| {
        EngineError::invalid(format!(
            "{value} is not a value of the setting {key}: {reason}"
        ))
    };
    match key {
        "query.placement" => placement(value)
            .map(|_| ())
            .ok_or_else(|| wrong("write auto, local or distributed".into())),
        "query.local_max_bytes" => value
            .parse::<ByteSize>()
            .map(|_| ())
            .map_err(|e| wrong(e.to_string())),
        _ => {
            let mut options: ConfigOptions = base.options().as_ref().clone();
            options
                .set(key, value)
                .map_err(|e| wrong(e.strip_backtrace()))
        }
    }
}

fn placement(value: &str) -> Option<Placement> {
    match value.to_lowercase().as_str() {
        "auto" => Some(Placement::Auto),
        "local" => Some(Placement::Local),
        "distributed" => Some(Placement::Distributed),
        _ => None,
    }
}

/// `base` with the session's own values.
pub(crate) fn query_settings(
    base: &QuerySettings,
    settings: &BTreeMap<String, String>,
) -> QuerySettings {
    let mut query = base.clone();
    if let Some(place) = settings.get("query.placement").and_then(|v| placement(v)) {
        query.placement = place;
    }
    if let Some(bytes) = settings
        .get("query.local_max_bytes")
        .and_then(|v| v.parse().ok())
    {
        query.local_max_bytes = Some(bytes);
    }
    query
}

/// The value of a [`QUERY_KEYS`] setting as it is written.
pub(crate) fn query_value(key: &str, query: &QuerySettings) -> String {
    match (key, query.placement) {
        ("query.local_max_bytes", _) => query.local_max_bytes().to_string(),
        (_, Placement::Auto) => "auto".into(),
        (_, Placement::Local) => "local".into(),
        (_, Placement::Distributed) => "distributed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_session_survives_in_the_local_configuration() {
        let base = base_config();
        let key = "datafusion.optimizer.prefer_hash_join".to_string();
        let plain = statement_config(&base, "lake", "raw", &BTreeMap::new()).unwrap();
        assert!(!plain.options().optimizer.prefer_hash_join);
        assert!(local_config(&plain).options().optimizer.prefer_hash_join);
        let set = BTreeMap::from([(key, "false".to_string())]);
        let chosen = statement_config(&base, "lake", "raw", &set).unwrap();
        assert!(!local_config(&chosen).options().optimizer.prefer_hash_join);
    }

    #[test]
    fn keys_are_known_or_refused() {
        let base = base_config();
        assert_eq!(
            canonical_key("Query.Placement", &base).unwrap(),
            "query.placement"
        );
        let partitions = canonical_key("spark.sql.shuffle.partitions", &base).unwrap();
        assert_eq!(partitions, "datafusion.execution.target_partitions");
        for (key, part) in [
            ("no.such.key", "does not exist"),
            ("spark.executor.memory", "SHOW ALL"),
            ("datafusion.catalog.default_schema", "USE"),
        ] {
            let message = canonical_key(key, &base).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn values_are_checked_when_they_are_set() {
        let base = base_config();
        assert!(check_value("query.placement", "LOCAL", &base).is_ok());
        assert!(check_value("query.local_max_bytes", "64MiB", &base).is_ok());
        for (key, value) in [
            ("query.placement", "moon"),
            ("query.local_max_bytes", "many"),
            ("datafusion.execution.batch_size", "many"),
        ] {
            let message = check_value(key, value, &base).unwrap_err().to_string();
            assert!(
                message.contains(value) && message.contains(key),
                "{message}"
            );
        }
    }
}
