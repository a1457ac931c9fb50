//! Runs statements for any front door: parse, plan, decide where, run, commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use shoal_config::Settings;
use shoal_engine::parser::Statement;
use shoal_engine::{
    Command, CommandOutput, Engine, EngineError, Estimate, Place, Planned, QueryPlan, Session,
    WritePlan,
};
use shoal_lake::{DataFile, decode_files};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::error::{Result, StartError, StatementError};
use crate::local::Local;
use crate::queries::{Queries, RunningQuery};
use crate::results::ResultClients;
use crate::run::Places;
use crate::sink::RowSink;
use crate::statement::{
    Execution, IngestTarget, PreparedStatement, QueryId, QueryState, affected_schema,
};
use crate::view::View;

/// Batches that wait for a client that does not keep up.
const BATCHES_AHEAD: usize = 2;
/// Pause between looks whether statements still run, while stopping.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Runs statements. Cheap to clone.
#[derive(Clone)]
pub struct Statements {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    places: Arc<Places>,
    queries: Arc<Queries>,
    closed: CancellationToken,
}

impl Statements {
    pub(crate) async fn new(
        settings: &Arc<Settings>,
        cluster: Cluster,
    ) -> Result<Self, StartError> {
        let queries = Arc::new(Queries::default());
        let engine = Engine::new(Arc::clone(settings)).await?;
        engine.attach_cluster(Arc::new(View {
            cluster: cluster.clone(),
            queries: Arc::clone(&queries),
        }));
        let places = Places {
            cluster,
            results: ResultClients::default(),
            local: Local::new(&settings.query)?,
            timeout_seconds: settings.cluster.job_timeout_seconds,
            retries: settings.cluster.job_retries,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                places: Arc::new(places),
                queries,
                closed: CancellationToken::new(),
            }),
        })
    }

    /// Sessions, names and metadata.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// Parses and plans one statement, without running anything of it.
    pub async fn prepare(&self, session: &Arc<Session>, sql: &str) -> Result<PreparedStatement> {
        let planned = self.plan(session, sql, None).await?;
        Ok(PreparedStatement {
            sql: sql.to_string(),
            schema: planned.schema(),
            parameters: planned.parameters()?,
            is_update: planned.is_update(),
            has_effects: planned.has_effects(),
        })
    }

    /// Starts one statement. `parameters` holds a column per placeholder, in their order. A query
    /// takes one row of them; an update runs once per row, and its counts add up, except that
    /// `INSERT INTO … VALUES` of one row runs once for all of them.
    pub async fn execute(
        &self,
        session: &Arc<Session>,
        sql: &str,
        parameters: Option<RecordBatch>,
    ) -> Result<Execution> {
        if let Some(rows) = parameters.as_ref().filter(|rows| rows.num_rows() > 1) {
            let statement = self.parse(session, sql)?;
            if let Some(write) = session.plan_rows(statement, rows.clone()).await? {
                return self.start_update(session, sql, Planned::Write(write), Vec::new());
            }
        }
        let mut rows = match &parameters {
            Some(batch) => parameter_rows(batch)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let first = if rows.is_empty() {
            None
        } else {
            rows.remove(0)
        };
        let planned = self.plan(session, sql, first).await?;
        if !rows.is_empty() && !planned.is_update() {
            return Err(StatementError::Parameters(format!(
                "a query takes one row of them, and {} were bound",
                rows.len() + 1
            )));
        }
        let distributed = is_distributed(session, &planned)?;
        match planned {
            Planned::Query(plan) => {
                let query = self.begin(session, sql, distributed);
                Ok(self.start_query(query, plan))
            }
            Planned::Analyze(analyze) => {
                let query = self.begin(session, sql, distributed);
                Ok(self.start_analyze(session, query, analyze))
            }
            Planned::CopyImages(copy) => Ok(self.start_copy(session, sql, copy)),
            Planned::Call(procedure) => Ok(self.start_call(session, sql, procedure)),
            Planned::Command(command) if !command.is_update() => {
                self.start_command(session, sql, command).await
            }
            update => self.start_update(session, sql, update, rows),
        }
    }

    /// Writes `rows` into a table, in one commit; returns how many there were.
    pub async fn ingest(
        &self,
        session: &Arc<Session>,
        target: IngestTarget,
        rows: SendableRecordBatchStream,
    ) -> Result<i64> {
        let text = format!("bulk ingest into {}", target.table);
        let name = target.name(session);
        let planned = session.plan_ingest(&name, target.mode, rows).await?;
        let execution = self.start_update(session, &text, Planned::Write(planned), Vec::new())?;
        execution.affected().await
    }

    /// Cancels a statement; `false` if it does not run (any more).
    pub fn cancel(&self, query: &QueryId) -> bool {
        self.inner.queries.cancel(query)
    }

    /// Takes no more statements, and waits until those that run have ended.
    pub(crate) async fn close(&self) {
        self.inner.closed.cancel();
        while !self.inner.queries.is_idle() {
            tokio::time::sleep(IDLE_PAUSE).await;
        }
    }

    /// Cancels what still runs, and waits until updates have cleaned up.
    pub(crate) async fn abort(&self) {
        self.inner.queries.cancel_all();
        self.close().await;
    }

    pub(crate) async fn plan(
        &self,
        session: &Arc<Session>,
        sql: &str,
        parameters: Option<ParamValues>,
    ) -> Result<Planned> {
        let statement = self.parse(session, sql)?;
        Ok(session.plan(statement, parameters).await?)
    }

    fn parse(&self, session: &Session, sql: &str) -> Result<Statement> {
        if self.inner.closed.is_cancelled() {
            return Err(StatementError::ShuttingDown);
        }
        let mut statements = session.parse(sql)?;
        match (statements.pop(), statements.len()) {
            (None, _) => Err(StatementError::Empty),
            (Some(statement), 0) => Ok(statement),
            (Some(_), others) => Err(StatementError::Several(others + 1)),
        }
    }

    /// What plans run on.
    pub(crate) fn places(&self) -> &Places {
        &self.inner.places
    }

    pub(crate) fn begin(&self, session: &Session, sql: &str, distributed: bool) -> RunningQuery {
        let user = &session.principal().name;
        self.inner
            .queries
            .begin(user, sql, distributed, CancellationToken::new())
    }

    fn start_query(&self, query: RunningQuery, plan: QueryPlan) -> Execution {
        let schema = plan.schema();
        let (id, progress) = (query.id.clone(), Arc::clone(&query.progress));

        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&schema), BATCHES_AHEAD);
        let mut sink = RowSink::Client {
            rows: stream.tx(),
            schema: Arc::clone(&schema),
            progress: Arc::clone(&progress),
            sent: false,
        };
        let places = Arc::clone(&self.inner.places);
        let threads = if query.distributed {
            tokio::runtime::Handle::current()
        } else {
            places.local.threads()
        };
        let work = async move {
            let done = places.run(&query, &plan, &mut sink).await;
            query.progress.set_state(final_state(&done));
            done.map_err(DataFusionError::from)
        };
        stream.spawn_on(work, &threads);
        Execution {
            id,
            schema,
            rows: stream.build(),
            is_update: false,
            progress,
        }
    }

    async fn start_command(
        &self,
        session: &Session,
        sql: &str,
        command: Command,
    ) -> Result<Execution> {
        let query = self.begin(session, sql, false);
        let (id, progress) = (query.id.clone(), Arc::clone(&query.progress));
        let schema = command.schema();
        let output = command.execute().await;
        let state = if output.is_ok() {
            QueryState::Finished
        } else {
            QueryState::Failed
        };
        progress.set_state(state);
        let batches = match output? {
            CommandOutput::Rows(batches) => batches,
            CommandOutput::Affected(_) => Vec::new(),
        };
        progress.add_rows(batches.iter().map(RecordBatch::num_rows).sum());
        let rows = futures::stream::iter(batches.into_iter().map(Ok));
        Ok(Execution {
            id,
            rows: Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows)),
            schema,
            is_update: false,
            progress,
        })
    }

    /// Runs an update in the background: when its client goes away it is told to stop, and gets
    /// the time to clean up after itself. `more` are the parameters of further runs.
    fn start_update(
        &self,
        session: &Arc<Session>,
        sql: &str,
        first: Planned,
        more: Vec<Option<ParamValues>>,
    ) -> Result<Execution> {
        let distributed = is_distributed(session, &first)?;
        let query = self.begin(session, sql, distributed);
        let (statements, session, sql) = (self.clone(), Arc::clone(session), sql.to_string());
        let mut execution = self.in_background(query, affected_schema(), |query| async move {
            let affected = statements
                .update(&query, &session, &sql, first, more)
                .await?;
            let column = Arc::new(Int64Array::from(vec![affected]));
            RecordBatch::try_new(affected_schema(), vec![column])
                .map_err(|error| StatementError::Invalid(error.to_string()))
        });
        execution.is_update = true;
        Ok(execution)
    }

    /// Runs `work`, which answers with one batch, in a task of its own. When its client goes away it is
    /// told to stop, and gets the time to clean up after itself.
    pub(crate) fn in_background<W, F>(
        &self,
        query: RunningQuery,
        schema: SchemaRef,
        work: W,
    ) -> Execution
    where
        W: FnOnce(Arc<RunningQuery>) -> F,
        F: Future<Output = Result<RecordBatch>> + Send + 'static,
    {
        let (id, progress) = (query.id.clone(), Arc::clone(&query.progress));
        let cancel_on_drop = query.cancel.clone().drop_guard();
        let threads = if query.distributed {
            tokio::runtime::Handle::current()
        } else {
            self.inner.places.local.threads()
        };
        let query = Arc::new(query);
        let work = work(Arc::clone(&query));
        let work = threads.spawn(async move {
            let done = work.await;
            query.progress.set_state(final_state(&done));
            done
        });
        let row = async move {
            let batch = work
                .await
                .map_err(|error| DataFusionError::External(Box::new(error)))??;
            cancel_on_drop.disarm();
            Ok(batch)
        };
        Execution {
            id,
            rows: once(Arc::clone(&schema), row),
            schema,
            is_update: false,
            progress,
        }
    }

    async fn update(
        &self,
        query: &RunningQuery,
        session: &Arc<Session>,
        sql: &str,
        first: Planned,
        more: Vec<Option<ParamValues>>,
    ) -> Result<i64> {
        let mut affected = self.update_once(query, first).await?;
        for parameters in more {
            let planned = self.plan(session, sql, parameters).await?;
            affected = affected.saturating_add(self.update_once(query, planned).await?);
        }
        Ok(affected)
    }

    async fn update_once(&self, query: &RunningQuery, planned: Planned) -> Result<i64> {
        let affected = match planned {
            Planned::Write(write) => self.write(query, write).await?,
            Planned::Command(command) => match command.execute().await? {
                CommandOutput::Affected(rows) => rows,
                CommandOutput::Rows(batches) => {
                    batches.iter().map(|batch| batch.num_rows() as u64).sum()
                }
            },
            Planned::Query(_) | Planned::Analyze(_) | Planned::CopyImages(_) | Planned::Call(_) => {
                return Err(StatementError::Empty);
            }
        };
        Ok(i64::try_from(affected).unwrap_or(i64::MAX))
    }

    /// Writes data files, then commits them. Until the commit begins, a failure or a cancel leaves
    /// the table as it was and removes the files that are known.
    async fn write(&self, query: &RunningQuery, write: WritePlan) -> Result<u64> {
        let files = self.write_files(query, &write).await?;
        Ok(write.finish(files).await?)
    }

    /// Writes data files, for the caller to commit or to discard. After a failure or a cancel those
    /// that are known are removed.
    pub(crate) async fn write_files(
        &self,
        query: &RunningQuery,
        write: &WritePlan,
    ) -> Result<Vec<DataFile>> {
        let mut sink = RowSink::memory();
        let places = &self.inner.places;
        let done = places.run(query, &write.query(), &mut sink).await;
        if done.is_err() {
            sink.start_over();
        }
        let RowSink::Memory { rows, abandoned } = sink else {
            return Ok(Vec::new());
        };
        write.discard(&data_files(&abandoned)?).await;
        done?;
        data_files(&rows)
    }
}

/// The files that a writer reported, each once.
fn data_files(rows: &[RecordBatch]) -> Result<Vec<DataFile>> {
    let mut files: Vec<DataFile> = Vec::new();
    for batch in rows {
        files.extend(decode_files(batch).map_err(EngineError::from)?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

fn is_distributed(session: &Session, planned: &Planned) -> Result<bool> {
    let decision = Estimate::of(planned)?.decide(&session.query_settings());
    Ok(decision.place == Place::Executors)
}

fn final_state<T>(done: &Result<T>) -> QueryState {
    match done {
        Ok(_) => QueryState::Finished,
        Err(StatementError::Cancelled { .. }) => QueryState::Cancelled,
        Err(_) => QueryState::Failed,
    }
}

fn once(
    schema: SchemaRef,
    row: impl Future<Output = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(
        schema,
        futures::stream::once(row),
    ))
}

fn parameter_rows(batch: &RecordBatch) -> Result<Vec<ParamValues>> {
    (0..batch.num_rows())
        .map(|row| {
            let values = batch
                .columns()
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| StatementError::Parameters(error.strip_backtrace()))?;
            Ok(ParamValues::from(values))
        })
        .collect()
}
