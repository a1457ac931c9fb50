//! The names and tables of one statement. Each table is loaded once, so the statement sees one
//! version of it however often it is named; views are expanded with the catalog and schema that
//! were current when they were made.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::TableReference;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::future::{BoxFuture, try_join_all};
use parking_lot::Mutex;
use shoal_catalog::{Listing, TableEntry, TableKind};
use shoal_lake::Snapshot;

use crate::column_types;
use crate::config::statement_config;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::model_calls;
use crate::parser::{Name, Statement, parse};
use crate::providers::Catalogs;
use crate::read_images;
use crate::rewrite::{SessionNames, match_columns, normalize};
use crate::search;

/// Keys of a view's properties that hold the names current at its creation.
pub(crate) const VIEW_CATALOG: &str = "view.catalog";
/// See [`VIEW_CATALOG`].
pub(crate) const VIEW_SCHEMA: &str = "view.schema";

/// The schema that tells of all others.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

/// The full name of a table or view, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FullName {
    pub catalog: String,
    pub schema: String,
    pub table: String,
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.table)
    }
}

/// The catalog and schema that complete a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub catalog: String,
    pub schema: String,
}

impl Current {
    /// `name` in full.
    pub(crate) fn table(&self, name: &Name) -> FullName {
        let parts: Vec<String> = name.0.iter().map(|part| part.to_lowercase()).collect();
        let (catalog, schema, table) = match parts.as_slice() {
            [catalog, schema, table] => (catalog.clone(), schema.clone(), table.clone()),
            [schema, table] => (self.catalog.clone(), schema.clone(), table.clone()),
            parts => (
                self.catalog.clone(),
                self.schema.clone(),
                parts.last().cloned().unwrap_or_default(),
            ),
        };
        FullName {
            catalog,
            schema,
            table,
        }
    }

    /// Catalog and schema of `name`, or the current ones.
    pub(crate) fn schema(&self, name: Option<&Name>) -> Current {
        let parts: Vec<String> = name
            .map(|name| name.0.iter().map(|part| part.to_lowercase()).collect())
            .unwrap_or_default();
        match parts.as_slice() {
            [catalog, schema] => Current {
                catalog: catalog.clone(),
                schema: schema.clone(),
            },
            [schema] => Current {
                catalog: self.catalog.clone(),
                schema: schema.clone(),
            },
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.catalog, self.schema)
    }
}

/// A table or view that a statement uses.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(TableEntry, Arc<Snapshot>),
    View(TableEntry, Arc<ViewTable>),
}

impl Relation {
    pub(crate) fn provider(&self, engine: &Engine) -> Arc<dyn TableProvider> {
        match self {
            Self::Table(_, snapshot) => engine.lake().provider(snapshot.clone()),
            Self::View(_, view) => view.clone(),
        }
    }

    pub(crate) fn table_schema(&self) -> arrow::datatypes::SchemaRef {
        match self {
            Self::Table(_, snapshot) => snapshot.schema().clone(),
            Self::View(_, view) => view.schema(),
        }
    }
}

/// See the module's documentation.
pub(crate) struct Scope {
    engine: Arc<Engine>,
    user: String,
    settings: BTreeMap<String, String>,
    relations: Mutex<HashMap<FullName, Relation>>,
    /// Views being expanded, outermost first.
    expanding: Mutex<Vec<FullName>>,
    listing: Mutex<Option<Arc<Listing>>>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl Scope {
    /// A scope for one statement of `user` under the session's `settings`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        user: String,
        settings: BTreeMap<String, String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            user,
            settings,
            relations: Mutex::default(),
            expanding: Mutex::default(),
            listing: Mutex::default(),
        })
    }

    /// The engine it belongs to.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A DataFusion session whose names are this scope's.
    pub(crate) fn state(self: &Arc<Self>, current: &Current) -> Result<SessionState> {
        let mut state = self.engine.base_state().clone();
        *state.config_mut() = statement_config(
            state.config(),
            &current.catalog,
            &current.schema,
            &self.settings,
        )?;
        state.register_catalog_list(Arc::new(Catalogs::new(self.clone())));
        state.mark_start_execution();
        Ok(state)
    }

    /// Plans a query, without optimizing it.
    pub(crate) async fn plan_query(
        self: &Arc<Self>,
        current: &Current,
        mut query: Box<Query>,
    ) -> Result<(SessionState, LogicalPlan)> {
        let names = SessionNames {
            catalog: current.catalog.clone(),
            schema: current.schema.clone(),
            user: self.user.clone(),
        };
        Box::pin(search::expand(self, current, &mut query)).await?;
        normalize(&mut *query, Some(&names))?;
        model_calls::resolve(&self.engine, current, &mut query).await?;
        let mut state = self.state(current)?;
        read_images::list(&self.engine, &mut query, &mut state).await?;
        let mut statement = DataFusionStatement::Statement(Box::new(SqlStatement::Query(query)));
        let references = state.resolve_table_references(&statement)?;
        let names = self.named(&state, current, references).await?;
        try_join_all(names.iter().map(|name| self.load_table(name))).await?;
        let mut schemas = Vec::new();
        for name in &names {
            schemas.push(self.relation(name).await?.table_schema());
        }
        if let DataFusionStatement::Statement(inner) = &mut statement {
            match_columns(&mut **inner, &schemas);
        }
        let plan = state.statement_to_plan(statement).await?;
        let plan = column_types::in_sql(search::typed_vectors(plan)?, self)?;
        Ok((state, plan))
    }

    /// The tables and views among `references`, which may also be functions or tables of the
    /// information schema.
    async fn named(
        &self,
        state: &SessionState,
        current: &Current,
        references: Vec<TableReference>,
    ) -> Result<Vec<FullName>> {
        let mut names = Vec::new();
        for reference in references {
            let is_function = matches!(&reference, TableReference::Bare { table }
                if state.table_functions().contains_key(table.as_ref()));
            if is_function {
                continue;
            }
            let resolved = reference.resolve(&current.catalog, &current.schema);
            let name = FullName {
                catalog: resolved.catalog.to_lowercase(),
                schema: resolved.schema.to_lowercase(),
                table: resolved.table.to_lowercase(),
            };
            if name.schema == INFORMATION_SCHEMA {
                self.load_listing().await?;
            } else if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Loads the table of that name, if there is one: several at once, where a query has several. Gives the
    /// entry of a view, which is not loaded.
    async fn load_table(&self, name: &FullName) -> Result<Option<TableEntry>> {
        if self.relations.lock().contains_key(name) {
            return Ok(None);
        }
        let entry = self.engine.entry(name).await?;
        let entry = match entry {
            Some(entry) if entry.kind != TableKind::View => entry,
            view_or_nothing => return Ok(view_or_nothing),
        };
        let snapshot = self
            .engine
            .lake()
            .snapshot(&self.engine.table_ref(&entry)?)
            .await?;
        let table = Relation::Table(entry, snapshot);
        self.relations.lock().insert(name.clone(), table);
        Ok(None)
    }

    /// Makes the statement see `snapshot`, whatever the table's newest version is.
    pub(crate) fn pin(&self, name: &FullName, entry: &TableEntry, snapshot: &Arc<Snapshot>) {
        let table = Relation::Table(entry.clone(), snapshot.clone());
        self.relations.lock().insert(name.clone(), table);
    }

    /// The table or view of that name.
    ///
    /// # Errors
    /// When there is none, with the nearest name there is; when its files cannot be read.
    pub(crate) async fn relation(self: &Arc<Self>, name: &FullName) -> Result<Relation> {
        let view = self.load_table(name).await?;
        if let Some(relation) = self.relations.lock().get(name) {
            return Ok(relation.clone());
        }
        let Some(entry) = view else {
            return Err(self.engine.no_such_table(name).await?);
        };
        let view = Relation::View(entry.clone(), self.view(name, &entry).await?);
        self.relations.lock().insert(name.clone(), view.clone());
        Ok(view)
    }

    fn view<'a>(
        self: &'a Arc<Self>,
        name: &'a FullName,
        entry: &'a TableEntry,
    ) -> BoxFuture<'a, Result<Arc<ViewTable>>> {
        Box::pin(async move {
            if self.expanding.lock().contains(name) {
                return Err(EngineError::invalid(format!(
                    "view {name} selects from itself"
                )));
            }
            self.expanding.lock().push(name.clone());
            let planned = self.plan_view(name, entry).await;
            self.expanding.lock().pop();
            planned
        })
    }

    async fn plan_view(
        self: &Arc<Self>,
        name: &FullName,
        entry: &TableEntry,
    ) -> Result<Arc<ViewTable>> {
        let definition = entry.definition.clone().unwrap_or_default();
        let property = |key: &str, otherwise: &str| {
            entry
                .properties
                .get(key)
                .cloned()
                .unwrap_or_else(|| otherwise.to_string())
        };
        let current = Current {
            catalog: property(VIEW_CATALOG, &name.catalog),
            schema: property(VIEW_SCHEMA, &name.schema),
        };
        let statement = parse(&definition)?.into_iter().next();
        let Some(Statement::Query(query)) = statement else {
            return Err(EngineError::invalid(format!(
                "view {name} holds no query; make it again with CREATE OR REPLACE VIEW"
            )));
        };
        let (_, plan) = self.plan_query(&current, query).await.map_err(|error| {
            EngineError::invalid(format!("view {name} cannot be used: {error}"))
        })?;
        Ok(Arc::new(ViewTable::new(plan, Some(definition))))
    }

    /// Reads all names, for the information schema.
    pub(crate) async fn load_listing(&self) -> Result<Arc<Listing>> {
        let loaded = self.listing.lock().clone();
        if let Some(listing) = loaded {
            return Ok(listing);
        }
        let listing = Arc::new(self.engine.listing().await?);
        *self.listing.lock() = Some(listing.clone());
        Ok(listing)
    }

    pub(crate) fn loaded_listing(&self) -> Option<Arc<Listing>> {
        self.listing.lock().clone()
    }
}

/// `name` and the nearest of `names`, if one is near.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|other| (levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= 2.max(name.len() / 4))
        .min()
        .map(|(_, other)| other)
}

/// A view's plan with its columns named anew.
pub(crate) fn rename(plan: LogicalPlan, columns: &[String]) -> Result<LogicalPlan> {
    if columns.len() != plan.schema().fields().len() {
        return Err(EngineError::invalid(format!(
            "{} column names are given for a query of {} columns",
            columns.len(),
            plan.schema().fields().len()
        )));
    }
    let renamed = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| datafusion::logical_expr::Expr::Column(column).alias(name));
    let renamed: Vec<_> = renamed.collect();
    Ok(LogicalPlanBuilder::from(plan).project(renamed)?.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_and_lower_cased() {
        let current = Current {
            catalog: "lake".into(),
            schema: "default".into(),
        };
        let full = |parts: &[&str]| {
            let name = Name(parts.iter().map(ToString::to_string).collect());
            current.table(&name).to_string()
        };
        assert_eq!(full(&["T"]), "lake.default.t");
        assert_eq!(full(&["Raw", "Images"]), "lake.raw.images");
        assert_eq!(full(&["c", "s", "t"]), "c.s.t");
    }

    #[test]
    fn a_slip_of_the_finger_is_recognized() {
        let names = ["images", "features", "t"];
        assert_eq!(nearest("imagse", names.into_iter()), Some("images"));
        assert_eq!(nearest("transactions", names.into_iter()), None);
    }
}
