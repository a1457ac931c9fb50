//! The engine: one per scheduler. Holds what all sessions share: settings, catalog, lake, functions
//! and the DataFusion session every statement starts from.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use ballista_core::optimizer::ballista_default_optimizer_rules;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::context::{QueryPlanner, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionStateDefaults};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule as _;
use datafusion::optimizer::extract_leaf_expressions::PushDownLeafProjections;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use shoal_catalog::{Catalog, Listing, SchemaEntry, TableEntry};
use shoal_config::Settings;
use shoal_lake::{Downloads, Format, Lake, LakePlanner, TableRef, image_limits};
use shoal_models::Models;
use shoal_udfs::{FuseImageCalls, url_download};
use url::Url;

use crate::batches::BinaryBatches;
use crate::cluster::Cluster;
use crate::config::base_config;
use crate::error::{EngineError, Result};
use crate::leaves::PushFieldsOfColumns;
use crate::one_batch::KeepOneBatch;
use crate::scope::{Current, FullName, nearest};
use crate::session::{Principal, Session};
use crate::split::SplitBatches;
use crate::subscript::ArraySubscripts;

/// See the module's documentation.
pub struct Engine {
    settings: Arc<Settings>,
    catalog: Catalog,
    lake: Arc<Lake>,
    models: Models,
    state: SessionState,
    cluster: OnceLock<Arc<dyn Cluster>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the catalog and the lake that `settings` describe.
    ///
    /// # Errors
    /// When the catalog's database cannot be opened or the spill folder cannot be made.
    pub async fn new(settings: Arc<Settings>) -> Result<Arc<Self>> {
        let lake = Lake::new(&settings);
        let models = Models::new(lake.stores().clone(), &settings.models)?;
        let catalog = Catalog::open(&settings.catalog.url).await?;
        let state = base_state(&settings, &lake, &models)?;
        Ok(Arc::new(Self {
            settings,
            catalog,
            lake,
            models,
            state,
            cluster: OnceLock::new(),
        }))
    }

    /// Tells the engine of the cluster it plans for. Only the first call has an effect.
    pub fn attach_cluster(&self, cluster: Arc<dyn Cluster>) {
        if self.cluster.set(cluster).is_err() {
            tracing::warn!("a second cluster was attached to one engine; the first one stays");
        }
    }

    /// The cluster, if one was attached.
    pub(crate) fn cluster(&self) -> Option<&Arc<dyn Cluster>> {
        self.cluster.get()
    }

    /// A new session of `principal`, in catalog `lake` and schema `default`.
    pub fn session(self: &Arc<Self>, principal: Principal) -> Arc<Session> {
        Session::new(self.clone(), principal)
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The names it knows.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Its tables.
    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    /// Its models.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// The DataFusion session every statement starts from.
    pub(crate) fn base_state(&self) -> &SessionState {
        &self.state
    }

    /// All names.
    pub async fn listing(&self) -> Result<Listing> {
        let mut listing = self.catalog.listing().await?;
        self.add_attached(&mut listing).await;
        Ok(listing)
    }

    /// The catalog's entry of a table or view.
    pub(crate) async fn entry(&self, name: &FullName) -> Result<Option<TableEntry>> {
        if self.is_attached(&name.catalog) {
            return self.attached_entry(name).await;
        }
        let entry = self
            .catalog
            .table(&name.catalog, &name.schema, &name.table)
            .await?;
        Ok(entry)
    }

    /// Where the lake finds the table of `entry`.
    pub(crate) fn table_ref(&self, entry: &TableEntry) -> Result<TableRef> {
        let name = entry.full_name();
        let broken = |what: &str| {
            EngineError::invalid(format!(
                "the catalog's entry of table {name} has no usable {what}; drop the table and \
                 register it again with CREATE TABLE … LOCATION"
            ))
        };
        let format = entry
            .format
            .as_deref()
            .and_then(Format::parse)
            .ok_or_else(|| broken("format"))?;
        let location = entry
            .location
            .as_deref()
            .and_then(|location| Url::parse(location).ok())
            .ok_or_else(|| broken("location"))?;
        Ok(TableRef::new(name.clone(), format, location))
    }

    /// The schema, or the error that it or its catalog does not exist.
    pub(crate) async fn schema_entry(&self, schema: &Current) -> Result<SchemaEntry> {
        let found = match self.is_attached(&schema.catalog) {
            true => self.attached_schema(schema).await?,
            false => self.catalog.schema(&schema.catalog, &schema.schema).await?,
        };
        if let Some(entry) = found {
            return Ok(entry);
        }
        Err(self.no_such_schema(schema).await?)
    }

    async fn no_such_schema(&self, schema: &Current) -> Result<EngineError> {
        let listing = self.listing().await?;
        let Some(schemas) = listing.get(&schema.catalog) else {
            return Ok(EngineError::NotFound {
                kind: "catalog",
                name: schema.catalog.clone(),
                hint: hint(&schema.catalog, listing.keys().map(String::as_str)),
            });
        };
        Ok(EngineError::NotFound {
            kind: "schema",
            name: schema.to_string(),
            hint: hint(&schema.schema, schemas.keys().map(String::as_str)),
        })
    }

    /// The error that there is no such table, schema or catalog, with the nearest name.
    pub(crate) async fn no_such_table(&self, name: &FullName) -> Result<EngineError> {
        let listing = self.listing().await?;
        let tables = listing
            .get(&name.catalog)
            .and_then(|schemas| schemas.get(&name.schema));
        let Some(tables) = tables else {
            return self
                .no_such_schema(&Current {
                    catalog: name.catalog.clone(),
                    schema: name.schema.clone(),
                })
                .await;
        };
        let mut found = hint(&name.table, tables.keys().map(String::as_str));
        if found.is_empty() {
            let elsewhere = listing
                .iter()
                .flat_map(|(catalog, schemas)| {
                    schemas
                        .iter()
                        .map(move |(schema, tables)| (catalog, schema, tables))
                })
                .find(|(_, _, tables)| tables.contains_key(&name.table));
            if let Some((catalog, schema, _)) = elsewhere {
                found = format!("; there is {catalog}.{schema}.{}", name.table);
            }
        }
        Ok(EngineError::NotFound {
            kind: "table or view",
            name: name.to_string(),
            hint: found,
        })
    }
}

fn hint<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

fn base_state(settings: &Settings, lake: &Arc<Lake>, models: &Models) -> Result<SessionState> {
    let executor = &settings.cluster.executor;
    let memory = usize::try_from(settings.query.local_memory().0).unwrap_or(usize::MAX);
    let spill = &executor.spill_dir;
    std::fs::create_dir_all(spill).map_err(|error| {
        EngineError::invalid(format!(
            "cannot make the folder {} (cluster.executor.spill_dir): {error}",
            spill.display()
        ))
    })?;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill.clone()]))
        .with_max_temp_directory_size(executor.max_spill.0);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
        .with_disk_manager_builder(disk);
    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.insert(0, Arc::new(ArraySubscripts));
    let limits = image_limits(&settings.images);
    let mut rules = ballista_default_optimizer_rules();
    for rule in &mut rules {
        if rule.name() == PushDownLeafProjections::new().name() {
            *rule = Arc::new(PushFieldsOfColumns::new());
        }
    }
    rules.push(Arc::new(FuseImageCalls::new(limits)));
    rules.push(Arc::new(SplitBatches::new(limits)));
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_expr_planners(planners)
        .with_config(
            base_config().with_extension(Arc::new(BinaryBatches::of(&settings.processing))),
        )
        .with_runtime_env(lake.runtime(runtime)?)
        .with_query_planner(Arc::new(Planner))
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(KeepOneBatch))
        .with_type_planner(Arc::new(crate::types::SparkTypes))
        .build();
    shoal_udfs::register_functions(&mut state, limits)?;
    shoal_models::register_functions(&mut state, models, limits)?;
    let downloads = Downloads::new(&settings.images, lake.stores().clone())?;
    let download = url_download(Arc::new(move |urls: &[&str]| Ok(downloads.fetch(urls)?)));
    state.register_udf(Arc::new(download))?;
    Ok(state)
}

/// DataFusion's planner, which also knows the lake's writer.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn datafusion::catalog::Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LakePlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
