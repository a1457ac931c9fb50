//! A session: who is asking, the catalog and schema that complete names, settings, and prepared
//! statements. Kept by the front door; statements are parsed and planned in it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::common::ParamValues;
use parking_lot::Mutex;
use shoal_catalog::{DEFAULT_CATALOG, DEFAULT_SCHEMA};
use shoal_config::QuerySettings;
use shoal_lake::Snapshot;

use crate::config::{QUERY_KEYS, canonical_key, check_value, query_settings, query_value};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::parser::{self, Name, Statement};
use crate::planned::Planned;
use crate::scope::{Current, Relation, Scope};
use crate::write::WritePlan;
use crate::{insert, plan};

/// Who is asking. Policies will be decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The user's name.
    pub name: String,
    /// Whether nobody has checked who it is.
    pub anonymous: bool,
}

/// See the module's documentation.
pub struct Session {
    id: String,
    engine: Arc<Engine>,
    principal: Principal,
    state: Mutex<State>,
}

struct State {
    current: Current,
    settings: BTreeMap<String, String>,
    prepared: HashMap<String, Statement>,
    last_used: Instant,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, principal: Principal) -> Arc<Self> {
        Arc::new(Self {
            id: uuid::Uuid::new_v4().to_string(),
            engine,
            principal,
            state: Mutex::new(State {
                current: Current {
                    catalog: DEFAULT_CATALOG.into(),
                    schema: DEFAULT_SCHEMA.into(),
                },
                settings: BTreeMap::new(),
                prepared: HashMap::new(),
                last_used: Instant::now(),
            }),
        })
    }

    /// Its random name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The engine it belongs to.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Who is asking.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When a statement was last planned in it.
    pub fn last_used(&self) -> Instant {
        self.state.lock().last_used
    }

    /// The current catalog.
    pub fn catalog(&self) -> String {
        self.state.lock().current.catalog.clone()
    }

    /// The current schema.
    pub fn schema(&self) -> String {
        self.state.lock().current.schema.clone()
    }

    pub(crate) fn current(&self) -> Current {
        self.state.lock().current.clone()
    }

    /// Makes `catalog` and its schema `default` current.
    ///
    /// # Errors
    /// When there is no such catalog.
    pub async fn set_catalog(&self, catalog: &str) -> Result<()> {
        let to = Current {
            catalog: catalog.to_lowercase(),
            schema: DEFAULT_SCHEMA.into(),
        };
        self.engine.schema_entry(&to).await?;
        self.state.lock().current = to;
        Ok(())
    }

    /// Makes `schema` of the current catalog current.
    ///
    /// # Errors
    /// When there is no such schema.
    pub async fn set_schema(&self, schema: &str) -> Result<()> {
        let to = Current {
            catalog: self.catalog(),
            schema: schema.to_lowercase(),
        };
        self.use_schema(to).await
    }

    pub(crate) async fn use_schema(&self, to: Current) -> Result<()> {
        self.engine.schema_entry(&to).await?;
        self.state.lock().current = to;
        Ok(())
    }

    /// `SET key = value`.
    ///
    /// # Errors
    /// For a key that nothing knows and for a value that is not one of the key's.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let base = self.engine.base_state().config();
        let key = canonical_key(key, base)?;
        check_value(&key, value, base)?;
        self.state.lock().settings.insert(key, value.to_string());
        Ok(())
    }

    /// `RESET key`; all settings without a key.
    ///
    /// # Errors
    /// For a key that nothing knows.
    pub fn reset(&self, key: Option<&str>) -> Result<()> {
        match key {
            Some(key) => {
                let key = canonical_key(key, self.engine.base_state().config())?;
                self.state.lock().settings.remove(&key);
            }
            None => self.state.lock().settings.clear(),
        }
        Ok(())
    }

    /// The settings that can be changed and their values, in order of their keys.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let query = self.query_settings();
        let set = self.state.lock().settings.clone();
        let base = self.engine.base_state().config().options().entries();
        let mut all: BTreeMap<String, String> = base
            .into_iter()
            .filter(|entry| !entry.key.starts_with("datafusion.catalog."))
            .map(|entry| (entry.key, entry.value.unwrap_or_default()))
            .collect();
        all.extend(set);
        all.extend(QUERY_KEYS.map(|key| (key.to_string(), query_value(key, &query))));
        all
    }

    /// The value of one setting.
    ///
    /// # Errors
    /// For a key that nothing knows.
    pub fn setting(&self, key: &str) -> Result<(String, String)> {
        let key = canonical_key(key, self.engine.base_state().config())?;
        let value = self.settings().remove(&key).unwrap_or_default();
        Ok((key, value))
    }

    /// Where statements of this session run.
    pub fn query_settings(&self) -> QuerySettings {
        query_settings(&self.engine.settings().query, &self.state.lock().settings)
    }

    pub(crate) fn prepare(&self, name: &str, statement: Statement) -> Result<()> {
        let mut state = self.state.lock();
        if state.prepared.contains_key(&name.to_lowercase()) {
            return Err(EngineError::AlreadyExists {
                kind: "prepared statement",
                name: name.to_string(),
                hint: "DEALLOCATE it first",
            });
        }
        state.prepared.insert(name.to_lowercase(), statement);
        Ok(())
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<Statement> {
        let state = self.state.lock();
        let found = state.prepared.get(&name.to_lowercase()).cloned();
        found.ok_or_else(|| EngineError::not_found("prepared statement", name))
    }

    pub(crate) fn deallocate(&self, name: &str) -> Result<()> {
        let removed = self.state.lock().prepared.remove(&name.to_lowercase());
        match removed {
            Some(_) => Ok(()),
            None => Err(EngineError::not_found("prepared statement", name)),
        }
    }

    /// The statements of `sql`, which are separated by `;`.
    ///
    /// # Errors
    /// A syntax error, or the name of a statement that is not supported.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        parser::parse(sql)
    }

    /// Plans a statement with `parameters` bound, or with its parameters open if there are none.
    /// Nothing is executed.
    ///
    /// # Errors
    /// When it names what does not exist, or makes no sense.
    pub async fn plan(
        self: &Arc<Self>,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<Planned> {
        self.state.lock().last_used = Instant::now();
        plan::plan(self, statement, parameters).await
    }

    /// The newest version of a table.
    ///
    /// # Errors
    /// When there is no such table, or it is a view.
    pub async fn snapshot(&self, name: &Name) -> Result<Arc<Snapshot>> {
        let name = self.current().table(name);
        match self.scope().relation(&name).await? {
            Relation::Table(_, snapshot) => Ok(snapshot),
            Relation::View(..) => Err(EngineError::invalid(format!(
                "{name} is a view, not a table"
            ))),
        }
    }

    /// Plans `INSERT INTO … VALUES` of a single row once for all rows of `parameters`, whose
    /// columns stand in the order of the placeholders: one commit for all of them. None for any
    /// other statement, which [`Session::plan`] plans row by row.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub async fn plan_rows(
        self: &Arc<Self>,
        statement: Statement,
        parameters: RecordBatch,
    ) -> Result<Option<WritePlan>> {
        self.state.lock().last_used = Instant::now();
        match statement {
            Statement::Insert(insert) => insert::plan_many(self, *insert, parameters).await,
            _ => Ok(None),
        }
    }

    /// A scope for one statement.
    pub(crate) fn scope(&self) -> Arc<Scope> {
        Scope::new(
            self.engine.clone(),
            self.principal.name.clone(),
            self.state.lock().settings.clone(),
        )
    }
}
