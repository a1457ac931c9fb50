//! Lays a YAML file, `.env`, environment variables and flags over each other and turns the result
//! into a typed value, remembering where each key was set so that every error can say so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_yaml_ng::{Mapping, Value};

use crate::{ConfigError, env_file};

/// Environment variables with this prefix are settings; `__` stands between the parts of a key.
const PREFIX: &str = "SHOAL__";
/// Variables below this prefix belong to `logging.yaml`, all others to `settings.yaml`.
const LOGGING_PREFIX: &str = "SHOAL__LOGGING__";

/// Which of the two configuration files is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Settings,
    Logging,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Settings => "settings",
            Kind::Logging => "logging",
        }
    }

    /// The dotted key that an environment variable sets in this file; `None` if it sets none.
    fn key_of(self, variable: &str) -> Option<String> {
        let rest = match (self, variable.strip_prefix(LOGGING_PREFIX)) {
            (Kind::Logging, logging) => logging?,
            (Kind::Settings, Some(_)) => return None,
            (Kind::Settings, None) => variable.strip_prefix(PREFIX)?,
        };
        Some(rest.replace("__", ".").to_lowercase())
    }
}

/// The four layers, lowest first.
pub(crate) struct Sources<'a> {
    pub kind: Kind,
    pub file: Option<&'a Path>,
    pub environment: &'a [(OsString, OsString)],
    pub flags: &'a [(String, String)],
}

/// Where each dotted key was set.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, String>);

impl Origins {
    /// The file, variable or flag that set `key` or the list it stands in.
    pub fn of(&self, key: &str) -> String {
        let mut part = key;
        loop {
            if let Some(origin) = self.0.get(part) {
                return origin.clone();
            }
            match part.rfind(['.', '[']) {
                Some(end) => part = &part[..end],
                None => return "the defaults".to_string(),
            }
        }
    }

    /// An error about the value of `key`.
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: key.into(),
            origin: self.of(key),
            message: message.into(),
        }
    }
}

/// Reads all layers into a `T`. The keys of `T::default()` are the ones that exist.
pub(crate) fn load<T>(sources: &Sources) -> Result<(T, Origins), ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let known = serde_yaml_ng::to_value(T::default()).map_err(|error| ConfigError::Syntax {
        path: PathBuf::from(sources.kind.name()),
        message: error.to_string(),
    })?;
    let mut layers = Layers {
        known,
        merged: Mapping::new(),
        origins: Origins::default(),
    };

    if let Some(path) = sources.file {
        layers.add_file(sources.kind, path)?;
    }
    let folder = sources.file.and_then(Path::parent).unwrap_or(Path::new(""));
    let env_path = folder.join(".env");
    for (variable, text) in env_file::read(&env_path)? {
        if let Some(key) = sources.kind.key_of(&variable) {
            layers.add_text(&key, &text, &format!("{} ({variable})", env_path.display()))?;
        }
    }
    for (variable, text) in sources.environment {
        let Some(key) = variable.to_str().and_then(|name| sources.kind.key_of(name)) else {
            continue;
        };
        let origin = format!("environment variable {}", variable.display());
        let Some(text) = text.to_str() else {
            return Err(ConfigError::Value {
                key,
                origin,
                message: "is not UTF-8".into(),
            });
        };
        layers.add_text(&key, text, &origin)?;
    }
    for (key, text) in sources.flags {
        layers.add_text(key, text, "the command line")?;
    }

    let Layers {
        merged, origins, ..
    } = layers;
    match serde_path_to_error::deserialize(Value::Mapping(merged)) {
        Ok(value) => Ok((value, origins)),
        Err(error) => Err(origins.refuse(&error.path().to_string(), error.inner().to_string())),
    }
}

struct Layers {
    /// Every key there is, by example.
    known: Value,
    merged: Mapping,
    origins: Origins,
}

impl Layers {
    fn add_file(&mut self, kind: Kind, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            what: kind.name(),
            path: path.to_path_buf(),
            source,
        })?;
        let syntax = |message: String| ConfigError::Syntax {
            path: path.to_path_buf(),
            message,
        };
        let value: Value = serde_yaml_ng::from_str(&text).map_err(|e| syntax(e.to_string()))?;
        let origin = path.display().to_string();
        match value {
            Value::Null => Ok(()),
            Value::Mapping(mapping) => self.add_section("", &mapping, &origin),
            _ => Err(syntax(
                "expected sections such as `storage:` with keys below them".into(),
            )),
        }
    }

    fn add_section(
        &mut self,
        path: &str,
        section: &Mapping,
        origin: &str,
    ) -> Result<(), ConfigError> {
        for (name, value) in section {
            let name = match name {
                Value::String(name) => name.clone(),
                other => serde_yaml_ng::to_string(other)
                    .unwrap_or_default()
                    .trim()
                    .to_string(),
            };
            let key = if path.is_empty() {
                name
            } else {
                format!("{path}.{name}")
            };
            let section_of_keys =
                matches!(self.known_at(&key), Some(Value::Mapping(keys)) if !keys.is_empty());
            match value {
                _ if self.known_at(&key).is_none() => return Err(self.unknown(&key, origin)),
                Value::Null if section_of_keys => {}
                Value::Mapping(inner) if section_of_keys => {
                    self.add_section(&key, inner, origin)?
                }
                _ if section_of_keys => {
                    return Err(ConfigError::Value {
                        key,
                        origin: origin.into(),
                        message: "is a section; its keys belong below it, indented".into(),
                    });
                }
                leaf => self.set(&key, leaf.clone(), origin),
            }
        }
        Ok(())
    }

    /// Sets `key` from text, read as the type that stands there by default.
    fn add_text(&mut self, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
        let value = match self.known_at(key) {
            None => return Err(self.unknown(key, origin)),
            Some(Value::Mapping(keys)) if !keys.is_empty() => {
                return Err(ConfigError::Value {
                    key: key.into(),
                    origin: origin.into(),
                    message: "is a section; set one of its keys".into(),
                });
            }
            Some(Value::Null) if text.is_empty() => Value::Null,
            Some(Value::Null | Value::String(_)) => Value::String(text.to_string()),
            Some(_) => {
                serde_yaml_ng::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
            }
        };
        self.set(key, value, origin);
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, origin: &str) {
        fn insert(section: &mut Mapping, key: &str, value: Value) {
            match key.split_once('.') {
                None => {
                    section.insert(key.into(), value);
                }
                Some((name, rest)) => {
                    let inner = section
                        .entry(name.into())
                        .or_insert(Value::Mapping(Mapping::new()));
                    if let Value::Mapping(inner) = inner {
                        insert(inner, rest, value);
                    }
                }
            }
        }
        insert(&mut self.merged, key, value);
        self.origins.0.insert(key.to_string(), origin.to_string());
    }

    /// What stands at a dotted key by default. An empty map (such as `modules`) takes any names and
    /// is set as a whole.
    fn known_at(&self, key: &str) -> Option<&Value> {
        let mut at = &self.known;
        for name in key.split('.') {
            at = at.get(name)?;
        }
        Some(at)
    }

    fn unknown(&self, key: &str, origin: &str) -> ConfigError {
        ConfigError::UnknownKey {
            key: key.into(),
            origin: origin.into(),
            hint: self.hint(key),
        }
    }

    fn hint(&self, key: &str) -> String {
        if key == "spark" || key.starts_with("spark.") {
            return "; the `cluster:` section took its place: move `app_name` there and leave out \
                    `master`, since Shoal brings its own scheduler"
                .to_string();
        }
        let mut keys = Vec::new();
        collect_keys("", &self.known, &mut keys);
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
        let nearest = keys
            .iter()
            .map(|candidate| {
                let whole = strsim::damerau_levenshtein(key, candidate);
                let name = strsim::damerau_levenshtein(&last(key), &last(candidate));
                (whole.min(name + 1), candidate)
            })
            .min();
        match nearest {
            Some((distance, candidate)) if distance <= 3 => {
                format!("; did you mean \"{candidate}\"?")
            }
            _ => String::new(),
        }
    }
}

fn collect_keys(path: &str, value: &Value, keys: &mut Vec<String>) {
    if !path.is_empty() {
        keys.push(path.to_string());
    }
    if let Value::Mapping(section) = value {
        for (name, inner) in section {
            let name = name.as_str().unwrap_or_default();
            let path = if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            collect_keys(&path, inner, keys);
        }
    }
}
