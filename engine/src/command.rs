//! Statements that the scheduler carries out itself: names, properties, settings, and what is shown
//! of them. Nothing happens before [`Command::execute`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use shoal_catalog::{CreateMode, SchemaEntry, TableEntry, TableKind};
use shoal_lake::{Changes, WriteMode};

use crate::error::{EngineError, Result};
use crate::index;
use crate::models;
use crate::parser::{CreateView, Name, Show, Statement, Use};
use crate::place::location_url;
use crate::planned::CommandOutput;
use crate::scope::{Current, Relation, VIEW_CATALOG, VIEW_SCHEMA, rename};
use crate::session::Session;
use crate::show;

/// See the module's documentation.
pub struct Command {
    session: Arc<Session>,
    statement: Statement,
    /// Columns of the rows that come out; none for an update.
    schema: Option<SchemaRef>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

impl Command {
    pub(crate) fn new(session: Arc<Session>, statement: Statement) -> Self {
        let schema = show::schema(&statement);
        Self {
            session,
            statement,
            schema,
        }
    }

    /// `SHOW EXECUTORS` or `SHOW JOBS`, whose columns only the cluster knows.
    pub(crate) async fn of_cluster(session: Arc<Session>, show: Show) -> Result<Self> {
        let schema = cluster_rows(&session, &show).await?.schema();
        Ok(Self {
            session,
            statement: Statement::Show(show),
            schema: Some(schema),
        })
    }

    /// What is carried out.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Columns of the rows that come out; empty for an update.
    pub fn schema(&self) -> SchemaRef {
        let schema = self.schema.clone();
        schema.unwrap_or_else(|| Arc::new(Schema::empty()))
    }

    /// Whether it answers with a number of affected rows instead of rows.
    pub fn is_update(&self) -> bool {
        self.schema.is_none()
    }

    /// Carries it out.
    ///
    /// # Errors
    /// When it names what does not exist or must not exist, or catalog or lake fail. Then nothing
    /// was changed.
    pub async fn execute(&self) -> Result<CommandOutput> {
        if self.is_update() {
            return self.update().await.map(CommandOutput::Affected);
        }
        let batch = match &self.statement {
            Statement::Show(show @ (Show::Executors | Show::Jobs)) => {
                cluster_rows(&self.session, show).await?
            }
            statement => show::rows(&self.session, statement).await?,
        };
        Ok(CommandOutput::Rows(vec![batch]))
    }

    async fn update(&self) -> Result<u64> {
        let session = &self.session;
        let mut affected = 0;
        match &self.statement {
            Statement::CreateTable(table) => session.engine().create_table(session, table).await?,
            Statement::DropTable {
                name,
                if_exists,
                purge,
            } => self.drop_table(name, *if_exists, *purge).await?,
            Statement::Truncate(name) => affected = self.truncate(name).await?,
            Statement::CreateSchema {
                name,
                if_not_exists,
                comment,
                location,
            } => {
                self.create_schema(name, *if_not_exists, comment, location)
                    .await?;
            }
            Statement::DropSchema {
                name,
                if_exists,
                cascade,
            } => self.drop_schema(name, *if_exists, *cascade).await?,
            Statement::CreateCatalog {
                name,
                if_not_exists,
            } => {
                let engine = session.engine();
                engine.refuse_in_attached(&name.to_lowercase(), "CREATE CATALOG")?;
                engine
                    .catalog()
                    .create_catalog(name, *if_not_exists)
                    .await?;
            }
            Statement::DropCatalog {
                name,
                if_exists,
                cascade,
            } => self.drop_catalog(name, *if_exists, *cascade).await?,
            Statement::CreateView(view) => self.create_view(view).await?,
            Statement::DropView { name, if_exists } => self.drop_view(name, *if_exists).await?,
            Statement::CreateModel(model) => models::create(session, model).await?,
            Statement::DropModel { name, if_exists } => {
                models::drop(session, name, *if_exists).await?;
            }
            Statement::SetProperties { name, properties } => {
                let changes = properties
                    .iter()
                    .map(|(key, value)| (key.clone(), Some(value.clone())));
                self.set_properties(name, changes.collect()).await?;
            }
            Statement::UnsetProperties {
                name,
                keys,
                if_exists,
            } => self.unset_properties(name, keys, *if_exists).await?,
            Statement::Comment { name, comment } => {
                self.set_comment(name, comment.as_deref()).await?;
            }
            Statement::DropIndex {
                name,
                table,
                if_exists,
            } => index::drop(session, name, table, *if_exists).await?,
            // Planned as a command only where the index is there already.
            Statement::CreateIndex(_) => {}
            Statement::Use(Use::Catalog(catalog)) => session.set_catalog(catalog).await?,
            Statement::Use(Use::Schema(name)) => self.use_schema(name).await?,
            Statement::Set { key, value } => session.set(key, value)?,
            Statement::Reset(key) => session.reset(key.as_deref())?,
            Statement::Prepare { name, statement } => {
                // Planned once, so that a mistake shows here and not when it is executed.
                let planned = session.plan(statement.as_ref().clone(), None);
                Box::pin(planned).await?;
                session.prepare(name, statement.as_ref().clone())?;
            }
            Statement::Deallocate(name) => session.deallocate(name)?,
            Statement::Query(_)
            | Statement::CopyImages(_)
            | Statement::Call(_)
            | Statement::Insert(_)
            | Statement::RefreshIndex { .. }
            | Statement::Execute { .. }
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Explain(_) => {
                return Err(EngineError::invalid("the statement is not a command"));
            }
        }
        Ok(affected)
    }

    async fn drop_table(&self, name: &Name, if_exists: bool, purge: bool) -> Result<()> {
        let engine = self.session.engine();
        let name = self.session.current().table(name);
        let Some(entry) = engine.entry(&name).await? else {
            return match if_exists {
                true => Ok(()),
                false => Err(engine.no_such_table(&name).await?),
            };
        };
        if entry.kind == TableKind::View {
            return Err(EngineError::invalid(format!(
                "{name} is a view; write DROP VIEW"
            )));
        }
        if purge && entry.kind == TableKind::External {
            return Err(EngineError::invalid(format!(
                "{name} is an external table, whose files are never removed; leave PURGE out"
            )));
        }
        // Our own name goes last: as long as it is there, DROP can be sent again.
        let table = engine.table_ref(&entry)?;
        engine.lake().forget(&table).await?;
        if !engine.is_attached(&name.catalog) {
            engine
                .catalog()
                .drop_table(&name.catalog, &name.schema, &name.table)
                .await?;
        }
        if purge {
            engine.lake().purge(&table).await?;
        }
        Ok(())
    }

    /// Removes all rows in one commit and returns how many there were, where the log knows.
    async fn truncate(&self, name: &Name) -> Result<u64> {
        let name = self.session.current().table(name);
        let Relation::Table(_, snapshot) = self.session.scope().relation(&name).await? else {
            return Err(EngineError::invalid(format!(
                "{name} is a view; truncate the table it selects from"
            )));
        };
        let lake = self.session.engine().lake();
        lake.check_writable(&snapshot)?;
        lake.check_mode(&snapshot, &WriteMode::Overwrite)?;
        let rows = snapshot.files().iter().filter_map(|file| file.rows).sum();
        let changes = Changes {
            mode: WriteMode::Overwrite,
            add: Vec::new(),
        };
        if !snapshot.files().is_empty() {
            lake.commit(&snapshot, &changes).await?;
        }
        Ok(rows)
    }

    async fn create_schema(
        &self,
        name: &Name,
        if_not_exists: bool,
        comment: &Option<String>,
        location: &Option<String>,
    ) -> Result<()> {
        let Current { catalog, schema } = self.session.current().schema(Some(name));
        let location = match location {
            Some(location) => Some(location_url(location)?.to_string()),
            None => None,
        };
        let entry = SchemaEntry {
            catalog,
            name: schema,
            comment: comment.clone(),
            location,
        };
        let engine = self.session.engine();
        if engine.is_attached(&entry.catalog) {
            return engine.create_attached_schema(&entry, if_not_exists).await;
        }
        engine
            .catalog()
            .create_schema(&entry, if_not_exists)
            .await?;
        Ok(())
    }

    async fn drop_schema(&self, name: &Name, if_exists: bool, cascade: bool) -> Result<()> {
        let schema = self.session.current().schema(Some(name));
        let engine = self.session.engine();
        if engine.is_attached(&schema.catalog) {
            let existed = engine.drop_attached_schema(&schema, cascade).await?;
            return match existed || if_exists {
                true => Ok(()),
                false => Err(EngineError::not_found("schema", schema.to_string())),
            };
        }
        let dropped = engine
            .catalog()
            .drop_schema(&schema.catalog, &schema.schema, cascade)
            .await?;
        engine.forget_all(dropped.as_deref()).await?;
        match dropped {
            None if !if_exists => Err(EngineError::not_found("schema", schema.to_string())),
            _ => Ok(()),
        }
    }

    async fn drop_catalog(&self, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let engine = self.session.engine();
        engine.refuse_in_attached(&name.to_lowercase(), "DROP CATALOG")?;
        let dropped = engine.catalog().drop_catalog(name, cascade).await?;
        engine.forget_all(dropped.as_deref()).await?;
        match dropped {
            None if !if_exists => Err(EngineError::not_found("catalog", name.to_lowercase())),
            _ => Ok(()),
        }
    }

    async fn create_view(&self, view: &CreateView) -> Result<()> {
        let session = &self.session;
        let current = session.current();
        let name = current.table(&view.name);
        let engine = session.engine();
        engine.refuse_in_attached(&name.catalog, "a view")?;
        let exists = engine.entry(&name).await?;
        if exists.is_some() && view.if_not_exists {
            return Ok(());
        }
        let scope = session.scope();
        let (_, plan) = scope.plan_query(&current, view.query.clone()).await?;
        if !plan.get_parameter_fields()?.is_empty() {
            return Err(EngineError::invalid(format!(
                "view {name} cannot have parameters; write constants"
            )));
        }
        let mut definition = view.query.to_string();
        if !view.columns.is_empty() {
            rename(plan, &view.columns)?;
            definition = with_columns(&definition, &view.columns);
        }
        let mut entry = TableEntry::new(&name.catalog, &name.schema, &name.table, TableKind::View);
        entry.definition = Some(definition);
        entry.comment = view.comment.clone();
        entry.properties = view.properties.clone();
        entry
            .properties
            .insert(VIEW_CATALOG.into(), current.catalog);
        entry.properties.insert(VIEW_SCHEMA.into(), current.schema);
        let mode = match view.or_replace {
            true => CreateMode::Replace,
            false => CreateMode::Fail,
        };
        engine.catalog().create_table(&entry, mode).await?;
        // A view that replaces one it selects from would select from itself.
        if let Err(error) = session.scope().relation(&name).await {
            let catalog = engine.catalog();
            match exists {
                Some(before) => {
                    catalog.create_table(&before, CreateMode::Replace).await?;
                }
                None => {
                    catalog
                        .drop_table(&name.catalog, &name.schema, &name.table)
                        .await?;
                }
            }
            return Err(error);
        }
        Ok(())
    }

    async fn drop_view(&self, name: &Name, if_exists: bool) -> Result<()> {
        let engine = self.session.engine();
        let name = self.session.current().table(name);
        match engine.entry(&name).await? {
            Some(entry) if entry.kind == TableKind::View => {
                engine
                    .catalog()
                    .drop_table(&name.catalog, &name.schema, &name.table)
                    .await?;
                Ok(())
            }
            Some(_) => Err(EngineError::invalid(format!(
                "{name} is a table; write DROP TABLE"
            ))),
            None if if_exists => Ok(()),
            None => Err(engine.no_such_table(&name).await?),
        }
    }

    /// Changes properties in the table's own log, where other engines see them, and in the catalog.
    async fn set_properties(
        &self,
        name: &Name,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let engine = self.session.engine();
        let name = self.session.current().table(name);
        if let Some(key) = changes.keys().find(|key| key.starts_with("view.")) {
            return Err(EngineError::invalid(format!(
                "the property {key} is kept by Shoal itself"
            )));
        }
        if let Relation::Table(_, snapshot) = self.session.scope().relation(&name).await? {
            engine.lake().check_writable(&snapshot)?;
            engine
                .lake()
                .set_properties(&snapshot, &changes, None)
                .await?;
        }
        if engine.is_attached(&name.catalog) {
            return Ok(());
        }
        engine
            .catalog()
            .set_properties(&name.catalog, &name.schema, &name.table, &changes)
            .await?;
        Ok(())
    }

    async fn unset_properties(&self, name: &Name, keys: &[String], if_exists: bool) -> Result<()> {
        let full = self.session.current().table(name);
        let set = match self.session.scope().relation(&full).await? {
            Relation::Table(entry, snapshot) => {
                let mut set = snapshot.properties().clone();
                set.extend(entry.properties);
                set
            }
            Relation::View(entry, _) => entry.properties,
        };
        let missing = keys.iter().find(|key| !set.contains_key(*key));
        if let Some(key) = missing.filter(|_| !if_exists) {
            return Err(EngineError::NotFound {
                kind: "property",
                name: format!("{key} of {full}"),
                hint: "; write UNSET TBLPROPERTIES IF EXISTS to go on without it".into(),
            });
        }
        let changes = keys.iter().map(|key| (key.clone(), None)).collect();
        self.set_properties(name, changes).await
    }

    async fn set_comment(&self, name: &Name, comment: Option<&str>) -> Result<()> {
        let engine = self.session.engine();
        let name = self.session.current().table(name);
        if let Relation::Table(_, snapshot) = self.session.scope().relation(&name).await? {
            engine.lake().check_writable(&snapshot)?;
            engine
                .lake()
                .set_properties(&snapshot, &BTreeMap::new(), Some(comment.unwrap_or("")))
                .await?;
        }
        if engine.is_attached(&name.catalog) {
            return Ok(());
        }
        engine
            .catalog()
            .set_comment(&name.catalog, &name.schema, &name.table, comment)
            .await?;
        Ok(())
    }

    /// `USE x` names a schema, or else a catalog.
    async fn use_schema(&self, name: &Name) -> Result<()> {
        let session = &self.session;
        let to = session.current().schema(Some(name));
        match session.use_schema(to).await {
            Err(error @ EngineError::NotFound { kind: "schema", .. }) if name.0.len() == 1 => {
                session.set_catalog(&name.0[0]).await.map_err(|_| error)
            }
            result => result,
        }
    }
}

async fn cluster_rows(session: &Session, show: &Show) -> Result<RecordBatch> {
    let Some(cluster) = session.engine().cluster() else {
        return Err(EngineError::invalid("no cluster runs here"));
    };
    let rows = match show {
        Show::Jobs => cluster.jobs().await,
        _ => cluster.executors().await,
    };
    rows.map_err(EngineError::invalid)
}

/// `definition` with its columns named anew.
fn with_columns(definition: &str, columns: &[String]) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    format!(
        "SELECT * FROM ({definition}) AS named ({})",
        names.join(", ")
    )
}
