//! The names of a statement's [`Scope`] as DataFusion asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result as DataFusionResult;
use shoal_catalog::TableKind;

use crate::error::EngineError;
use crate::scope::{Current, FullName, Scope};

/// The scope as DataFusion's list of catalogs.
#[derive(Debug)]
pub(crate) struct Catalogs(Arc<Scope>);

impl Catalogs {
    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        Self(scope)
    }
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        let listing = self.0.loaded_listing();
        listing.map_or_else(Vec::new, |listing| listing.keys().cloned().collect())
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(OneCatalog {
            scope: self.0.clone(),
            catalog: name.to_lowercase(),
        }))
    }
}

#[derive(Debug)]
struct OneCatalog {
    scope: Arc<Scope>,
    catalog: String,
}

impl CatalogProvider for OneCatalog {
    fn schema_names(&self) -> Vec<String> {
        let listing = self.scope.loaded_listing();
        listing
            .and_then(|listing| Some(listing.get(&self.catalog)?.keys().cloned().collect()))
            .unwrap_or_default()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(OneSchema {
            scope: self.scope.clone(),
            current: Current {
                catalog: self.catalog.clone(),
                schema: name.to_lowercase(),
            },
        }))
    }
}

#[derive(Debug)]
struct OneSchema {
    scope: Arc<Scope>,
    current: Current,
}

impl OneSchema {
    fn full(&self, table: &str) -> FullName {
        FullName {
            catalog: self.current.catalog.clone(),
            schema: self.current.schema.clone(),
            table: table.to_lowercase(),
        }
    }
}

#[async_trait]
impl SchemaProvider for OneSchema {
    fn table_names(&self) -> Vec<String> {
        let listing = self.scope.loaded_listing();
        listing
            .and_then(|listing| {
                let tables = listing
                    .get(&self.current.catalog)?
                    .get(&self.current.schema)?;
                Some(tables.keys().cloned().collect())
            })
            .unwrap_or_default()
    }

    /// What a query names is loaded before it is planned, with an error for what is missing. Here
    /// the information schema asks about every table there is, and one that cannot be read must
    /// not hide the others.
    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let name = self.full(name);
        match self.scope.relation(&name).await {
            Ok(relation) => Ok(Some(relation.provider(self.scope.engine()))),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => {
                tracing::warn!(table = %name, "left out of the information schema: {error}");
                Ok(None)
            }
        }
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        let listing = self.scope.loaded_listing();
        let kind = listing.and_then(|listing| {
            let tables = listing
                .get(&self.current.catalog)?
                .get(&self.current.schema)?;
            tables.get(&name.to_lowercase()).copied()
        });
        Ok(kind.map(|kind| match kind {
            TableKind::View => TableType::View,
            TableKind::Managed | TableKind::External => TableType::Base,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().contains(&name.to_lowercase())
    }
}
