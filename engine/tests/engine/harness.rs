//! An engine over a temporary folder, and a runner that does what the scheduler does, in process.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;
use shoal_config::Settings;
use shoal_engine::{CommandOutput, Engine, EngineError, Planned, Principal, Session, WritePlan};
use tempfile::TempDir;

/// A session, and the folder its engine works in.
pub struct Lake {
    pub folder: TempDir,
    pub session: Arc<Session>,
}

/// What a statement came to.
#[derive(Debug)]
pub enum Outcome {
    Rows(Vec<RecordBatch>),
    Affected(u64),
}

impl Lake {
    pub async fn new() -> Self {
        Self::open("[]").await
    }

    /// A lake with an Iceberg catalog `ice` attached.
    pub async fn with_iceberg() -> Self {
        Self::open("[{name: ice, kind: iceberg_sql, uri: 'sqlite://FOLDER/ice.db', warehouse: FOLDER/warehouse}]")
            .await
    }

    /// `attach` is the setting of that name, in which `FOLDER` is the lake's folder.
    async fn open(attach: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let attach = attach.replace("FOLDER", &folder.path().display().to_string());
        let flags = [
            ("storage.raw_path", at("raw")),
            ("storage.processed_path", at("processed")),
            ("storage.curated_path", at("curated")),
            ("storage.default_path", at("default")),
            ("catalog.url", format!("sqlite://{}", at("catalog.db"))),
            ("cluster.executor.spill_dir", at("spill")),
            ("cluster.executor.work_dir", at("work")),
            ("catalog.attach", attach),
        ];
        let flags = flags.map(|(key, value)| (key.to_string(), value));
        let settings = Settings::load(None, &flags).unwrap();
        let engine = Engine::new(Arc::new(settings)).await.unwrap();
        let session = engine.session(Principal {
            name: "tester".into(),
            anonymous: false,
        });
        Self { folder, session }
    }

    /// Runs all statements of `sql` and returns what the last one came to.
    pub async fn run(&self, sql: &str) -> Result<Outcome, EngineError> {
        let mut last = Outcome::Affected(0);
        for statement in self.session.parse(sql)? {
            let planned = self.session.plan(statement, None).await?;
            last = execute(planned).await?;
        }
        Ok(last)
    }

    /// Runs `sql`, which must succeed, for its effect.
    pub async fn ok(&self, sql: &str) -> u64 {
        match self.run(sql).await {
            Ok(Outcome::Affected(rows)) => rows,
            Ok(Outcome::Rows(_)) => panic!("{sql} gave rows"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// The message of the error that `sql` must end in.
    pub async fn error(&self, sql: &str) -> String {
        match self.run(sql).await {
            Ok(outcome) => panic!("{sql} gave {outcome:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// The rows of `sql`, one line each, columns separated by `|`.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let batches = match self.run(sql).await {
            Ok(Outcome::Rows(batches)) => batches,
            Ok(Outcome::Affected(_)) => panic!("{sql} gave no rows"),
            Err(error) => panic!("{sql}: {error}"),
        };
        lines(&batches)
    }

    /// The rows of `sql`, sorted.
    pub async fn sorted(&self, sql: &str) -> Vec<String> {
        let mut rows = self.rows(sql).await;
        rows.sort();
        rows
    }

    /// Folders and files below the engine's folder whose path holds `part`.
    pub fn files(&self, part: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                let name = path.strip_prefix(self.folder.path()).unwrap();
                if name.display().to_string().contains(part) {
                    found.push(name.display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

/// Every batch's rows as text.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let table = pretty_format_batches(batches).unwrap().to_string();
    table
        .lines()
        .skip(3)
        .filter(|line| !line.starts_with('+'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join("|")
        })
        .collect()
}

/// Does what the scheduler does with a planned statement.
pub async fn execute(planned: Planned) -> Result<Outcome, EngineError> {
    match planned {
        Planned::Query(query) => Ok(Outcome::Rows(run(&query.local_ctx(), &query.plan).await?)),
        Planned::Write(write) => write_and_commit(write).await.map(Outcome::Affected),
        Planned::Command(command) => Ok(match command.execute().await? {
            CommandOutput::Rows(batches) => Outcome::Rows(batches),
            CommandOutput::Affected(rows) => Outcome::Affected(rows),
        }),
        Planned::Analyze(analyze) => {
            let query = analyze.local()?;
            Ok(Outcome::Rows(run(&query.local_ctx(), &query.plan).await?))
        }
        Planned::CopyImages(copy) => panic!("the scheduler conducts COPY INTO {}", copy.table),
        Planned::Call(procedure) => panic!("the scheduler conducts {}", procedure.name()),
    }
}

pub async fn write_and_commit(write: WritePlan) -> Result<u64, EngineError> {
    let query = write.query();
    let batches = run(&query.local_ctx(), &query.plan).await?;
    let mut files = Vec::new();
    for batch in &batches {
        files.extend(shoal_lake::decode_files(batch)?);
    }
    write.finish(files).await
}

async fn run(ctx: &SessionContext, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, EngineError> {
    let physical = ctx.state().create_physical_plan(plan).await?;
    let schema = physical.schema();
    let mut batches = collect(physical, ctx.task_ctx()).await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}
