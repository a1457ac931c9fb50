//! A scheduler and two executors in one process: statements run the same wherever they are placed,
//! writes commit once, and what is cancelled or takes too long frees the executors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use shoal_config::Settings;
use shoal_engine::{Principal, Session};
use shoal_scheduler::{
    IngestMode, IngestTarget, QueryState, Scheduler, StatementError, Statements,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Cluster {
    statements: Statements,
    stop_scheduler: CancellationToken,
    stop_executors: CancellationToken,
    scheduler: JoinHandle<Result<(), shoal_scheduler::StartError>>,
    executors: Vec<JoinHandle<Result<(), shoal_executor::ExecutorError>>>,
    dir: tempfile::TempDir,
}

/// A port that nothing listens on, given out once: below those that Linux gives to outgoing
/// connections (32768 and up), one of which could take it before it is bound.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() % 16_000;
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (16_000 + (start + next) % 16_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Cluster {
    /// Starts a scheduler and two executors of two vcores each, with `more` settings.
    async fn start(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut flags = vec![
            ("catalog.url", format!("sqlite://{}", path("catalog.db"))),
            ("storage.raw_path", path("raw")),
            ("storage.processed_path", path("processed")),
            ("storage.curated_path", path("curated")),
            ("storage.default_path", path("default")),
            ("cluster.scheduler.port", "0".to_string()),
            ("cluster.executor.work_dir", path("work")),
            ("cluster.executor.spill_dir", path("spill")),
            ("cluster.executor.vcores", "2".to_string()),
            ("cluster.executor.memory", "256MiB".to_string()),
            ("cluster.heartbeat_seconds", "1".to_string()),
            ("cluster.shutdown_grace_seconds", "5".to_string()),
            ("flight.port", "0".to_string()),
            ("flight.anonymous", "true".to_string()),
        ];
        flags.extend(more.iter().map(|(key, value)| (*key, (*value).to_string())));
        let flags: Vec<(String, String)> = flags
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        let settings = Settings::load(None, &flags).unwrap();
        let (stop_scheduler, stop_executors) = (CancellationToken::new(), CancellationToken::new());
        let scheduler = Scheduler::start(&settings).await.unwrap();
        let statements = scheduler.statements();
        let port = scheduler.listening().internal.port();
        let scheduler = tokio::spawn(scheduler.until(stop_scheduler.clone()));
        let executors = (0..2)
            .map(|_| {
                let mut settings = settings.clone();
                settings.cluster.scheduler.port = port;
                settings.cluster.executor.port = free_port();
                settings.cluster.executor.grpc_port = free_port();
                let shutdown = stop_executors.clone();
                tokio::spawn(async move { shoal_executor::run(&settings, shutdown).await })
            })
            .collect();
        let cluster = Self {
            statements,
            stop_scheduler,
            stop_executors,
            scheduler,
            executors,
            dir,
        };
        let session = cluster.session();
        eventually("both executors register", async || {
            cluster.rows(&session, "SHOW EXECUTORS").await.num_rows() == 2
        })
        .await;
        cluster
    }

    fn session(&self) -> Arc<Session> {
        let user = Principal {
            name: "tester".into(),
            anonymous: false,
        };
        self.statements.engine().session(user)
    }

    async fn query(
        &self,
        session: &Arc<Session>,
        sql: &str,
    ) -> Result<RecordBatch, StatementError> {
        let execution = self.statements.execute(session, sql, None).await?;
        let schema = Arc::clone(&execution.schema);
        let batches: Vec<RecordBatch> = execution
            .rows
            .try_collect()
            .await
            .map_err(StatementError::from_stream)?;
        Ok(arrow::compute::concat_batches(&schema, &batches).unwrap())
    }

    async fn rows(&self, session: &Arc<Session>, sql: &str) -> RecordBatch {
        match self.query(session, sql).await {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    async fn number(&self, session: &Arc<Session>, sql: &str) -> i64 {
        let rows = self.rows(session, sql).await;
        rows.column(0).as_primitive::<Int64Type>().value(0)
    }

    async fn update(&self, session: &Arc<Session>, sql: &str) -> i64 {
        let execution = self.statements.execute(session, sql, None).await.unwrap();
        assert!(execution.is_update, "{sql}");
        execution.affected().await.unwrap()
    }

    async fn used_vcores(&self, session: &Arc<Session>) -> u32 {
        let rows = self.rows(session, "SHOW EXECUTORS").await;
        let used = rows.column_by_name("used_vcores").unwrap();
        used.as_primitive::<UInt32Type>().values().iter().sum()
    }

    async fn stop(self) {
        self.stop_scheduler.cancel();
        self.scheduler.await.unwrap().unwrap();
        self.stop_executors.cancel();
        for executor in self.executors {
            executor.await.unwrap().unwrap();
        }
        for folder in ["work", "spill"] {
            let left = std::fs::read_dir(self.dir.path().join(folder)).unwrap();
            let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            // The test's session still holds the scheduler's own spill folder, which DataFusion names.
            let left: Vec<String> = left.filter(|n| !n.starts_with("datafusion-")).collect();
            assert!(left.is_empty(), "left in {folder}: {left:?}");
        }
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A table of 40,000 orders in several files, written by the executors.
async fn orders(cluster: &Cluster) -> Arc<Session> {
    let session = cluster.session();
    session.set("query.placement", "distributed").unwrap();
    cluster
        .update(
            &session,
            "CREATE TABLE orders (id BIGINT, region STRING, price DOUBLE)",
        )
        .await;
    let written = cluster
        .update(
            &session,
            "INSERT INTO orders SELECT value, concat('r', CAST(value % 7 AS STRING)), value / 10.0 \
             FROM generate_series(1, 40000)",
        )
        .await;
    assert_eq!(written, 40_000);
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_wherever_a_statement_runs() {
    let cluster = Cluster::start(&[]).await;
    let session = orders(&cluster).await;
    let queries = [
        "SELECT 1 AS one",
        "SELECT count(*) FROM orders",
        "SELECT region, count(*) AS n, sum(price) AS total FROM orders GROUP BY region ORDER BY region",
        "SELECT a.id FROM orders a JOIN orders b ON a.id = b.id + 1 WHERE b.price < 1 ORDER BY a.id",
        "SELECT id FROM orders ORDER BY price DESC LIMIT 5",
        "SELECT * FROM orders WHERE id = 777",
        "SELECT id FROM orders WHERE id < 0",
        // What a task does not read of a union is cut out of its plan.
        "SELECT count(*), sum(id) FROM (SELECT id FROM orders UNION ALL SELECT id FROM none)",
        "SELECT count(*), sum(id) FROM (SELECT 7 AS id UNION ALL SELECT id FROM orders UNION ALL SELECT 8)",
    ];
    cluster
        .update(&session, "CREATE TABLE none (id BIGINT)")
        .await;
    for sql in queries {
        let mut answers = Vec::new();
        for placement in ["local", "distributed"] {
            session.set("query.placement", placement).unwrap();
            let rows = cluster.rows(&session, sql).await;
            answers.push(pretty_format_batches(&[rows]).unwrap().to_string());
        }
        assert_eq!(answers[0], answers[1], "{sql}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analyze_shows_what_was_measured_where_the_query_ran() {
    let cluster = Cluster::start(&[]).await;
    let session = orders(&cluster).await;
    let sql = "EXPLAIN ANALYZE SELECT region, count(*) FROM orders WHERE id > 100 GROUP BY region";
    let mut texts = Vec::new();
    for placement in ["local", "distributed"] {
        session.set("query.placement", placement).unwrap();
        let rows = cluster.rows(&session, sql).await;
        texts.push(pretty_format_batches(&[rows]).unwrap().to_string());
    }
    let [local, distributed] = texts.as_slice() else {
        panic!("{texts:?}");
    };
    for text in [local, distributed] {
        for part in [
            "AggregateExec",
            "output_rows=39.90 K",
            "lake.default.orders (version 1)",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    assert!(local.contains("query.placement is local"), "{local}");
    for part in [
        "stage 0",
        "stage 1",
        "executor",
        "7 in ",
        "query.placement is distributed",
    ] {
        assert!(distributed.contains(part), "{part} is not in {distributed}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_commits_once_and_a_failed_one_not_at_all() {
    let cluster = Cluster::start(&[]).await;
    let session = orders(&cluster).await;
    let copied = cluster
        .update(&session, "INSERT INTO orders SELECT * FROM orders")
        .await;
    assert_eq!(copied, 40_000);
    let count = "SELECT count(*) FROM orders";
    assert_eq!(cluster.number(&session, count).await, 80_000);

    let failing =
        "INSERT INTO orders SELECT id, region, CAST(concat('x', region) AS DOUBLE) FROM orders";
    let error = cluster.query(&session, failing).await.unwrap_err();
    assert!(error.to_string().contains("xr"), "{error}");
    assert_eq!(cluster.number(&session, count).await, 80_000);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_ingest_creates_and_appends() {
    let cluster = Cluster::start(&[]).await;
    let session = cluster.session();
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, false),
        Field::new("name", DataType::Utf8, true),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int32Array::from(vec![1, 2, 3])),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
        ],
    )
    .unwrap();
    for mode in [IngestMode::Create, IngestMode::Append] {
        let rows = futures::stream::iter([Ok(batch.clone())]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
        let target = IngestTarget {
            catalog: None,
            schema: None,
            table: "bulk".into(),
            mode,
        };
        let ingested = cluster.statements.ingest(&session, target, rows).await;
        assert_eq!(ingested.unwrap(), 3);
    }
    let sum = cluster.number(&session, "SELECT sum(n) FROM bulk").await;
    assert_eq!(sum, 12);
    cluster.stop().await;
}

const ENDLESS: &str = "SELECT count(*) FROM orders a JOIN orders b ON a.id % 8 = b.id % 8 \
                       WHERE a.price * b.price > 1.5";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_the_executors() {
    let cluster = Cluster::start(&[]).await;
    let session = orders(&cluster).await;
    let execution = cluster
        .statements
        .execute(&session, ENDLESS, None)
        .await
        .unwrap();
    let progress = Arc::clone(&execution.progress);
    eventually("the query runs on executors", async || {
        cluster.used_vcores(&session).await > 0
    })
    .await;
    eventually("its stages are known", async || {
        !progress.snapshot().stages.is_empty()
    })
    .await;
    drop(execution);
    eventually("the query counts as cancelled", async || {
        progress.snapshot().state == QueryState::Cancelled
    })
    .await;
    eventually("the executors are free", async || {
        cluster.used_vcores(&session).await == 0
    })
    .await;
    let count = "SELECT count(*) FROM orders";
    assert_eq!(cluster.number(&session, count).await, 40_000);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_name_and_stopped_by_its_time_limit() {
    let cluster = Cluster::start(&[("cluster.job_timeout_seconds", "3")]).await;
    let session = orders(&cluster).await;
    for placement in ["local", "distributed"] {
        session.set("query.placement", placement).unwrap();
        let error = cluster.query(&session, ENDLESS).await.unwrap_err();
        assert!(
            matches!(error, StatementError::TimedOut { seconds: 3, .. }),
            "{error}"
        );

        let execution = cluster
            .statements
            .execute(&session, ENDLESS, None)
            .await
            .unwrap();
        assert!(cluster.statements.cancel(&execution.id));
        let error = execution.affected().await.unwrap_err();
        assert!(matches!(error, StatementError::Cancelled { .. }), "{error}");
    }
    cluster.stop().await;
}
