//! The adapter end to end, without a server: tables in an SQL catalog on SQLite, written and read by
//! plans that went through the codec as on the way to an executor.

mod foreign;
mod own;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, TimeUnit},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    execution::{TaskContext, runtime_env::RuntimeEnvBuilder, session_state::SessionStateBuilder},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, collect},
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner as _},
    prelude::{SessionConfig, SessionContext},
};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use iceberg::{
    MetadataLocation,
    spec::{
        DataContentType, DataFileBuilder, DataFileFormat, ManifestListWriter, ManifestWriterBuilder,
    },
};
use shoal_config::Settings;
use url::Url;

use crate::{
    Changes, CheckConstraint, CreateTable, DataFile, Format, Lake, LakeError, LakePlanner,
    PartitionField, Snapshot, TableRef, Transform, WriteMode, WriteSpec, codec, decode_files,
    write_node,
};

struct Fixture {
    folder: tempfile::TempDir,
    settings: Settings,
    lake: Arc<Lake>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.catalog.url = format!("sqlite://{}/catalog.db", folder.path().display());
        settings.storage.default_path = format!("file://{}/lake/", folder.path().display());
        let lake = Lake::new(&settings);
        Fixture {
            folder,
            settings,
            lake,
        }
    }

    fn table(&self, name: &str) -> TableRef {
        let location = format!("{}{name}", self.settings.storage.default_path);
        let location = Url::parse(&location).unwrap();
        TableRef::new(format!("lake.raw.{name}"), Format::Iceberg, location)
    }

    /// `id`, `ts`, `category`, `price`, partitioned by `days(ts), category`.
    fn sales(&self, name: &str) -> CreateTable {
        let fields = vec![
            Field::new("id", DataType::Int64, false),
            Field::new(
                "ts",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                true,
            ),
            Field::new("category", DataType::Utf8, true),
            Field::new("price", DataType::Decimal128(9, 2), true),
        ];
        let day = PartitionField {
            name: "ts_day".into(),
            source: "ts".into(),
            transform: Transform::Day,
        };
        CreateTable {
            partition_by: vec![day, PartitionField::identity("category")],
            ..self.plain(name, Schema::new(fields))
        }
    }

    fn plain(&self, name: &str, schema: Schema) -> CreateTable {
        CreateTable {
            table: self.table(name),
            schema: Arc::new(schema),
            partition_by: vec![],
            generated: vec![],
            checks: vec![],
            comment: None,
            properties: BTreeMap::new(),
        }
    }

    fn session(&self) -> SessionContext {
        let runtime = self.lake.runtime(RuntimeEnvBuilder::new()).unwrap();
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(2))
            .with_runtime_env(runtime)
            .build();
        SessionContext::new_with_state(state)
    }

    async fn run(&self, session: &SessionContext, plan: &LogicalPlan) -> Vec<RecordBatch> {
        let state = session.state();
        let plan = state.optimize(plan).unwrap();
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LakePlanner)]);
        let plan = planner.create_physical_plan(&plan, &state).await.unwrap();
        let plan = travelled(plan, &session.task_ctx());
        collect(plan, session.task_ctx()).await.unwrap()
    }

    /// Writes the rows of a query as data files.
    async fn write(&self, sql: &str, spec: WriteSpec) -> Vec<DataFile> {
        let session = self.session();
        let rows = session.sql(sql).await.unwrap();
        let columns = spec.schema.fields().iter().zip(rows.schema().columns());
        let columns: Vec<_> = columns
            .map(|(field, column)| {
                datafusion::logical_expr::cast(
                    datafusion::logical_expr::Expr::Column(column),
                    field.data_type().clone(),
                )
                .alias(field.name())
            })
            .collect();
        let rows = rows.select(columns).unwrap().into_unoptimized_plan();
        let answer = self.run(&session, &write_node(rows, spec, vec![])).await;
        answer
            .iter()
            .flat_map(|batch| decode_files(batch).unwrap())
            .collect()
    }

    async fn create(&self, request: &CreateTable, sql: &str) -> Arc<Snapshot> {
        let spec = WriteSpec::for_new_table(request, &self.settings.write).unwrap();
        let files = self.write(sql, spec).await;
        self.lake.create(request, &files, false).await.unwrap()
    }

    async fn append(&self, snapshot: &Arc<Snapshot>, sql: &str) -> Arc<Snapshot> {
        let spec = WriteSpec::for_snapshot(snapshot, &self.settings.write).unwrap();
        let add = self.write(sql, spec).await;
        let changes = Changes {
            mode: WriteMode::Append,
            add,
        };
        self.lake.commit(snapshot, &changes).await.unwrap();
        self.lake.snapshot(snapshot.table()).await.unwrap()
    }

    async fn query(&self, snapshot: &Arc<Snapshot>, sql: &str) -> String {
        let session = self.session();
        session
            .register_table("t", self.lake.provider(snapshot.clone()))
            .unwrap();
        let plan = session.sql(sql).await.unwrap().into_unoptimized_plan();
        let rows = self.run(&session, &plan).await;
        pretty_format_batches(&rows).unwrap().to_string()
    }

    /// How many files a query with that condition reads.
    async fn files_read(&self, snapshot: &Arc<Snapshot>, condition: &str) -> usize {
        let session = self.session();
        let table = self.lake.provider(snapshot.clone());
        session.register_table("t", table.clone()).unwrap();
        let sql = format!("SELECT * FROM t WHERE {condition}");
        let plan = session
            .sql(&sql)
            .await
            .unwrap()
            .into_optimized_plan()
            .unwrap();
        let mut filters = vec![];
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                filters.extend(scan.filters.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
        .unwrap();
        table.prune(&filters, &session.state()).unwrap().files.len()
    }
}

/// The plan as an executor gets it.
fn travelled(plan: Arc<dyn ExecutionPlan>, context: &TaskContext) -> Arc<dyn ExecutionPlan> {
    let codec = codec();
    let bytes = physical_plan_to_bytes_with_extension_codec(plan, codec.as_ref()).unwrap();
    physical_plan_from_bytes_with_extension_codec(&bytes, context, codec.as_ref()).unwrap()
}

const ROWS: &str = "SELECT * FROM (VALUES
    (1, TIMESTAMP '2024-01-01T10:00:00Z', 'a', 1.50),
    (2, TIMESTAMP '2024-01-01T23:59:59.999999Z', 'b', 2.50),
    (3, TIMESTAMP '2024-01-02T00:00:00Z', 'a', 3.50),
    (4, NULL, '', NULL),
    (5, TIMESTAMP '1969-12-31T23:00:00Z', NULL, -5.25)) AS r (id, ts, category, price)";
