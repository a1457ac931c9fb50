//! The Iceberg catalogs that Shoal knows: those attached by the settings, and for every other catalog
//! an SQL catalog of the same name in Shoal's own database.
//!
//! A catalog holds, for each table, where its newest metadata file is; swapping that pointer is what
//! makes a commit visible. Table names are split at dots: the first part is the catalog, the last the
//! table, and what is between them the (possibly nested) namespace.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use iceberg::{Catalog, CatalogBuilder as _, ErrorKind, NamespaceIdent, TableIdent, table::Table};
use iceberg_catalog_rest::{
    REST_CATALOG_PROP_URI, REST_CATALOG_PROP_WAREHOUSE, RestCatalogBuilder,
};
use iceberg_catalog_sql::{SQL_CATALOG_PROP_URI, SQL_CATALOG_PROP_WAREHOUSE, SqlCatalogBuilder};
use parking_lot::Mutex;
use shoal_config::{AttachedCatalog, AttachedKind, Settings};
use tokio::sync::OnceCell;
use url::Url;

use super::{
    failed,
    storage::{LakeStorageFactory, table_url},
};
use crate::{
    error::{LakeError, Result},
    stores::Stores,
    table::{Format, TableRef},
};

/// Key of a namespace's property that says where its new tables go.
const LOCATION: &str = "location";

/// A REST catalog that takes longer to accept a connection, or to answer, is an error: a statement that
/// names one of its tables must end.
const REST_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// The Iceberg catalogs, each connected on first use. `Debug` prints no credentials.
#[derive(Debug)]
pub struct Catalogs {
    stores: Arc<Stores>,
    /// URL of Shoal's own database; may hold a password.
    own: Hidden,
    default_path: String,
    attached: BTreeMap<String, AttachedCatalog>,
    connected: Mutex<HashMap<String, Connection>>,
}

type Connection = Arc<OnceCell<Arc<dyn Catalog>>>;

struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Catalogs {
    /// The catalogs of the settings; nothing is connected yet.
    pub(crate) fn new(settings: &Settings, stores: Arc<Stores>) -> Self {
        let attached = settings.catalog.attach.iter();
        Catalogs {
            stores,
            own: Hidden(settings.catalog.url.clone()),
            default_path: settings.storage.default_path.clone(),
            attached: attached
                .map(|a| (a.name.to_lowercase(), a.clone()))
                .collect(),
            connected: Mutex::default(),
        }
    }

    /// The object stores that metadata and data lie in.
    pub(super) fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// Names of the attached catalogs, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attached.keys().map(String::as_str)
    }

    /// The catalog that a table is in, and the table's name there.
    pub(super) async fn locate(&self, table: &TableRef) -> Result<(Arc<dyn Catalog>, TableIdent)> {
        let (catalog, ident) = identify(&table.name)?;
        Ok((self.connect(&catalog).await?, ident))
    }

    /// The table's newest metadata.
    pub(super) async fn table(&self, table: &TableRef) -> Result<(Arc<dyn Catalog>, Table)> {
        let (catalog, ident) = self.locate(table).await?;
        let found = load(&catalog, &ident).await;
        match found.map_err(failed(&table.name, "reading the table's metadata"))? {
            Some(loaded) => Ok((catalog, loaded)),
            None => Err(LakeError::NotATable {
                table: table.name.clone(),
                format: Format::Iceberg.name(),
                location: table.location.to_string(),
            }),
        }
    }

    /// The schemas of an attached catalog; the parts of a nested namespace are joined with dots.
    pub async fn schemas(&self, catalog: &str) -> Result<Vec<String>> {
        let connected = self.connect(catalog).await?;
        let wrong = || failed(catalog, "listing the catalog's namespaces");
        let mut found = Vec::new();
        let mut open = connected.list_namespaces(None).await.map_err(wrong())?;
        while let Some(namespace) = open.pop() {
            let inner = connected.list_namespaces(Some(&namespace)).await;
            let inner = inner.map_err(wrong())?.into_iter();
            // A server may ignore that only what is inside was asked for.
            open.extend(inner.filter(|inner| inner.len() > namespace.len()));
            found.push(namespace.to_string());
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Whether an attached catalog has the schema.
    pub async fn has_schema(&self, catalog: &str, schema: &str) -> Result<bool> {
        let connected = self.connect(catalog).await?;
        let exists = connected.namespace_exists(&namespace(schema)?).await;
        if exists.map_err(failed(catalog, "looking for a namespace"))? {
            return Ok(true);
        }
        let schemas = self.schemas(catalog).await?;
        Ok(schemas
            .iter()
            .any(|other| other.to_lowercase() == schema.to_lowercase()))
    }

    /// The tables of a schema of an attached catalog, in order.
    pub async fn tables(&self, catalog: &str, schema: &str) -> Result<Vec<String>> {
        let connected = self.connect(catalog).await?;
        let listed = list(&connected, &namespace(schema)?).await;
        let tables = listed.map_err(failed(catalog, "listing the catalog's tables"))?;
        let mut names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
        names.sort();
        Ok(names)
    }

    /// A table of an attached catalog, if it is there.
    pub async fn find(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableRef>> {
        let name = format!("{catalog}.{schema}.{table}");
        let connected = self.connect(catalog).await?;
        let ident = TableIdent::new(namespace(schema)?, table.to_owned());
        let found = load(&connected, &ident).await;
        let Some(loaded) = found.map_err(failed(&name, "reading the table's metadata"))? else {
            return Ok(None);
        };
        let location = table_url(&name, loaded.metadata().location())?;
        Ok(Some(TableRef::new(name, Format::Iceberg, location)))
    }

    /// Where a new table of an attached catalog goes: below its namespace's location, else below the
    /// catalog's warehouse.
    pub async fn new_location(&self, catalog: &str, schema: &str, table: &str) -> Result<Url> {
        let name = format!("{catalog}.{schema}.{table}");
        let connected = self.connect(catalog).await?;
        let of_namespace = match connected.get_namespace(&namespace(schema)?).await {
            Ok(found) => found.properties().get(LOCATION).cloned(),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(failed(&name, "looking for its namespace")(error)),
        };
        let folder = of_namespace.unwrap_or_else(|| {
            let warehouse = self
                .attached
                .get(catalog)
                .map_or("", |a| a.warehouse.as_str());
            let schema = schema.replace('.', "/");
            format!("{}/{schema}", warehouse.trim_end_matches('/'))
        });
        table_url(&name, &format!("{}/{table}", folder.trim_end_matches('/')))
    }

    /// Makes a namespace of an attached catalog; returns whether it is new.
    pub async fn create_schema(&self, catalog: &str, schema: &str) -> Result<bool> {
        let connected = self.connect(catalog).await?;
        ensure_namespace(&connected, &namespace(schema)?)
            .await
            .map_err(failed(catalog, "creating a namespace"))
    }

    /// Removes an empty namespace of an attached catalog; returns whether there was one.
    pub async fn drop_schema(&self, catalog: &str, schema: &str) -> Result<bool> {
        let connected = self.connect(catalog).await?;
        match connected.drop_namespace(&namespace(schema)?).await {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(failed(catalog, "dropping a namespace")(error)),
        }
    }

    async fn connect(&self, catalog: &str) -> Result<Arc<dyn Catalog>> {
        let connection = self
            .connected
            .lock()
            .entry(catalog.to_owned())
            .or_default()
            .clone();
        let connected = connection
            .get_or_try_init(|| async {
                match self.attached.get(catalog) {
                    Some(attached) => self.connect_attached(attached).await,
                    None => {
                        self.connect_sql(catalog, &self.own.0, &self.default_path)
                            .await
                    }
                }
            })
            .await?;
        Ok(connected.clone())
    }

    async fn connect_attached(&self, attached: &AttachedCatalog) -> Result<Arc<dyn Catalog>> {
        match attached.kind {
            AttachedKind::IcebergSql => {
                self.connect_sql(&attached.name, &attached.uri, &attached.warehouse)
                    .await
            }
            AttachedKind::IcebergRest => {
                let mut properties = HashMap::from([
                    (REST_CATALOG_PROP_URI.to_owned(), attached.uri.clone()),
                    (
                        REST_CATALOG_PROP_WAREHOUSE.to_owned(),
                        attached.warehouse.clone(),
                    ),
                ]);
                if let Some(token) = &attached.token {
                    properties.insert("token".to_owned(), token.expose().to_owned());
                }
                let unusable = |error: reqwest::Error| {
                    LakeError::Invalid(format!("making an HTTP client: {error}"))
                };
                let client = reqwest::Client::builder()
                    .connect_timeout(REST_CONNECT_TIMEOUT)
                    .timeout(REST_TIMEOUT)
                    .build()
                    .map_err(unusable)?;
                let catalog = RestCatalogBuilder::default()
                    .with_client(client)
                    .with_storage_factory(Arc::new(LakeStorageFactory::new(self.stores.clone())))
                    .load(&attached.name, properties)
                    .await
                    .map_err(failed(&attached.name, "connecting to the REST catalog"))?;
                Ok(Arc::new(catalog))
            }
        }
    }

    async fn connect_sql(
        &self,
        name: &str,
        url: &str,
        warehouse: &str,
    ) -> Result<Arc<dyn Catalog>> {
        let properties = HashMap::from([
            (SQL_CATALOG_PROP_URI.to_owned(), creating_file(url)),
            (
                SQL_CATALOG_PROP_WAREHOUSE.to_owned(),
                warehouse.trim_end_matches('/').to_owned(),
            ),
        ]);
        let connect = || {
            SqlCatalogBuilder::default()
                .with_storage_factory(Arc::new(LakeStorageFactory::new(self.stores.clone())))
                .load(name, properties.clone())
        };
        // It creates its tables if they are missing. Of two processes that do so at once PostgreSQL
        // lets one fail, which then finds them.
        let catalog = match connect().await {
            Ok(catalog) => catalog,
            Err(_) => connect()
                .await
                .map_err(failed(name, "connecting to the SQL catalog"))?,
        };
        check_layout(name, &catalog).await?;
        Ok(Arc::new(catalog))
    }
}

/// Refuses a database laid out by an old PyIceberg, whose tables lack a column that is asked for.
async fn check_layout(name: &str, catalog: &dyn Catalog) -> Result<()> {
    let any = TableIdent::new(NamespaceIdent::new(String::new()), String::new());
    match catalog.table_exists(&any).await {
        Err(error) if error.to_string().contains("iceberg_type") => Err(LakeError::Unsupported {
            table: name.to_owned(),
            feature: "its database has the layout of old Iceberg libraries (schema version 0); add the column with \
                      ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)"
                .to_owned(),
        }),
        Err(error) => Err(failed(name, "reading the SQL catalog")(error)),
        Ok(_) => Ok(()),
    }
}

/// SQLite opens no file that is not there, unless asked.
fn creating_file(url: &str) -> String {
    match url.strip_prefix("sqlite:") {
        Some(rest) if !rest.contains("mode=") => {
            let separator = if rest.contains('?') { '&' } else { '?' };
            format!("{url}{separator}mode=rwc")
        }
        _ => url.to_owned(),
    }
}

/// Makes the namespace unless it is there; returns whether it is new.
pub(super) async fn ensure_namespace(
    catalog: &Arc<dyn Catalog>,
    namespace: &NamespaceIdent,
) -> iceberg::Result<bool> {
    if catalog.namespace_exists(namespace).await? {
        return Ok(false);
    }
    match catalog.create_namespace(namespace, HashMap::new()).await {
        Ok(_) => Ok(true),
        // Another process may have been faster, and the catalogs report that in different ways.
        Err(error) => match catalog.namespace_exists(namespace).await {
            Ok(true) => Ok(false),
            _ => Err(error),
        },
    }
}

/// The table of that name; names that differ only in case are the same, as everywhere in SQL, unless
/// one matches exactly.
pub(super) async fn load(
    catalog: &Arc<dyn Catalog>,
    ident: &TableIdent,
) -> iceberg::Result<Option<Table>> {
    match catalog.load_table(ident).await {
        Err(error) if is_missing(&error) => {}
        loaded => return loaded.map(Some),
    }
    let mut tables = list(catalog, &ident.namespace).await?.into_iter();
    match tables.find(|table| table.name.to_lowercase() == ident.name.to_lowercase()) {
        Some(table) => catalog.load_table(&table).await.map(Some),
        None => Ok(None),
    }
}

/// The tables of the namespace of that name, in whatever case; none if there is no such namespace.
async fn list(
    catalog: &Arc<dyn Catalog>,
    namespace: &NamespaceIdent,
) -> iceberg::Result<Vec<TableIdent>> {
    match catalog.list_tables(namespace).await {
        Err(error) if is_missing(&error) => {}
        listed => return listed,
    }
    let name = namespace.to_string().to_lowercase();
    let siblings = catalog.list_namespaces(namespace.parent().as_ref()).await;
    let siblings = match siblings {
        Err(error) if is_missing(&error) => return Ok(vec![]),
        siblings => siblings?,
    };
    let same = siblings
        .iter()
        .find(|other| other.to_string().to_lowercase() == name);
    match same {
        Some(namespace) => catalog.list_tables(namespace).await,
        None => Ok(vec![]),
    }
}

fn is_missing(error: &iceberg::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound
    )
}

fn namespace(schema: &str) -> Result<NamespaceIdent> {
    NamespaceIdent::from_strs(schema.split('.'))
        .map_err(|e| LakeError::Invalid(format!("{schema:?} is not a schema's name: {e}")))
}

/// Splits `catalog.namespace.table`.
pub(super) fn identify(name: &str) -> Result<(String, TableIdent)> {
    let parts = name
        .split_once('.')
        .and_then(|(catalog, rest)| Some((catalog, rest.rsplit_once('.')?)));
    let Some((catalog, (schema, table))) = parts else {
        return Err(LakeError::Invalid(format!(
            "{name} does not say which catalog, schema and table it is"
        )));
    };
    let ident = TableIdent::new(namespace(schema)?, table.to_owned());
    Ok((catalog.to_owned(), ident))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_into_catalog_namespace_and_table() {
        let (catalog, ident) = identify("ice.sales.eu.orders").unwrap();
        assert_eq!(catalog, "ice");
        assert_eq!(
            ident,
            TableIdent::from_strs(["sales", "eu", "orders"]).unwrap()
        );
        assert!(identify("orders").is_err());
        assert!(identify("sales.orders").is_err());
    }

    #[test]
    fn a_sqlite_file_is_created_on_first_use() {
        assert_eq!(
            creating_file("sqlite:///a/b.db"),
            "sqlite:///a/b.db?mode=rwc"
        );
        assert_eq!(
            creating_file("sqlite:///a.db?cache=shared"),
            "sqlite:///a.db?cache=shared&mode=rwc"
        );
        assert_eq!(creating_file("postgres://h/d"), "postgres://h/d");
    }
}
