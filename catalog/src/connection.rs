//! Opening the catalog database and bringing it to this version's layout.

use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection};
use url::Url;

use crate::error::redacted;
use crate::{CatalogError, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Connections a process holds at most. SQLite has one writer at a time anyway.
const MAX_CONNECTIONS: u32 = 8;

/// How long a caller waits for a connection of the pool before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a SQLite statement waits for another process's write lock.
const SQLITE_BUSY_TIMEOUT_MS: u32 = 10_000;

/// How often a migration is tried on SQLite, where no lock keeps two processes from starting the
/// same one: the loser's attempt fails as a whole, and its next one finds the work done.
const MIGRATION_ATTEMPTS: u32 = 20;
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);

/// A handle on the catalog. Cheap to clone; clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) pool: AnyPool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

impl Catalog {
    /// Opens the catalog at `url`: `sqlite:///absolute/path.db`, where the file and its folder are
    /// created if need be, or `postgres://…`. Creates or upgrades its tables. Any number of
    /// processes may do this at once.
    ///
    /// # Errors
    /// [`CatalogError::InvalidUrl`], [`CatalogError::CreateFolder`], [`CatalogError::Connect`] or
    /// [`CatalogError::Migrate`].
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let parsed = Url::parse(url).map_err(|e| CatalogError::InvalidUrl {
            url: "(not shown, it may hold a password)".to_owned(),
            reason: e.to_string(),
        })?;
        let shown = redacted(&parsed);
        let backend = backend(&parsed, &shown)?;
        let options = connect_options(parsed, backend, &shown)?;

        migrate(&options, backend, &shown).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move { prepare_connection(connection, backend).await })
            })
            .connect_with(options)
            .await
            .map_err(|source| CatalogError::Connect { url: shown, source })?;
        Ok(Self { pool })
    }

    /// Closes all connections, after the calls under way have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn backend(url: &Url, shown: &str) -> Result<Backend> {
    match url.scheme() {
        "sqlite" => Ok(Backend::Sqlite),
        "postgres" | "postgresql" => Ok(Backend::Postgres),
        other => Err(CatalogError::InvalidUrl {
            url: shown.to_owned(),
            reason: format!("unknown scheme {other:?}"),
        }),
    }
}

fn connect_options(mut url: Url, backend: Backend, shown: &str) -> Result<AnyConnectOptions> {
    if backend == Backend::Sqlite {
        create_parent_folder(&url, shown)?;
        if !url.query_pairs().any(|(key, _)| key == "mode") {
            url.query_pairs_mut().append_pair("mode", "rwc");
        }
    }
    // The default log setting writes every statement, with its values, at debug level.
    AnyConnectOptions::from_url(&url)
        .map(ConnectOptions::disable_statement_logging)
        .map_err(|source| CatalogError::Connect {
            url: shown.to_owned(),
            source,
        })
}

fn create_parent_folder(url: &Url, shown: &str) -> Result<()> {
    let no_file = |reason: &str| CatalogError::InvalidUrl {
        url: shown.to_owned(),
        reason: reason.to_owned(),
    };
    if url.host_str().is_some_and(|host| !host.is_empty()) || !url.path().starts_with('/') {
        return Err(no_file("a SQLite catalog needs an absolute path"));
    }
    // `Url::to_file_path` decodes %-escapes, for `file` URLs only.
    let mut file_url = Url::parse("file:///").map_err(|e| no_file(&e.to_string()))?;
    file_url.set_path(url.path());
    let file = file_url
        .to_file_path()
        .map_err(|()| no_file("its path is not a file path"))?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|source| CatalogError::CreateFolder {
        path: folder.display().to_string(),
        source,
    })
}

async fn prepare_connection(
    connection: &mut AnyConnection,
    backend: Backend,
) -> Result<(), sqlx::Error> {
    if backend == Backend::Sqlite {
        let busy_timeout = format!("PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}");
        sqlx::query(&busy_timeout).execute(connection).await?;
    }
    Ok(())
}

/// Runs what is missing of the migrations, on a connection of its own: the PostgreSQL driver takes
/// an advisory lock for the session, which must end with it, whatever happens.
async fn migrate(options: &AnyConnectOptions, backend: Backend, shown: &str) -> Result<()> {
    let mut attempt = 1;
    loop {
        let Err(error) = try_migrate(options, backend).await else {
            return Ok(());
        };
        let statement_failed = matches!(
            error,
            MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)
        );
        let may_have_lost_a_race = statement_failed && backend == Backend::Sqlite;
        if !may_have_lost_a_race || attempt == MIGRATION_ATTEMPTS {
            let url = shown.to_owned();
            return Err(match error {
                MigrateError::Execute(source) => CatalogError::Connect { url, source },
                source => CatalogError::Migrate { url, source },
            });
        }
        attempt += 1;
        tokio::time::sleep(MIGRATION_PAUSE).await;
    }
}

async fn try_migrate(options: &AnyConnectOptions, backend: Backend) -> Result<(), MigrateError> {
    let mut connection = AnyConnection::connect_with(options).await?;
    prepare_connection(&mut connection, backend).await?;
    if backend == Backend::Sqlite {
        // Readers do not wait for the writer. The mode stays with the file.
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut connection)
            .await?;
    }
    // `run` is the same but takes an `impl Acquire`, whose future is not `Send` for every lifetime.
    MIGRATIONS.run_direct(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
