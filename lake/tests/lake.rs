//! Tables end to end without SQL DDL or a cluster: create, write, prune, read, conflict, stale caches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    util::pretty::pretty_format_batches,
};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    execution::{SessionStateBuilder, context::QueryPlanner, runtime_env::RuntimeEnvBuilder},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, collect},
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
    prelude::{Expr, SessionConfig, SessionContext, col, lit},
};
use datafusion_proto::physical_plan::AsExecutionPlan as _;
use shoal_config::{Settings, WriteSettings};
use shoal_lake::*;
use url::Url;

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LakePlanner)])
            .create_physical_plan(plan, state)
            .await
    }
}

struct Fixture {
    lake: Arc<Lake>,
    context: SessionContext,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let lake = Lake::new(&Settings::default());
        let runtime = lake.runtime(RuntimeEnvBuilder::new()).unwrap();
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(2))
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(Planner))
            .build();
        Fixture {
            lake,
            context: SessionContext::new_with_state(state),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn table(&self, name: &str) -> TableRef {
        let url = Url::from_directory_path(self.directory.path().join(name)).unwrap();
        TableRef::new(format!("lake.default.{name}"), Format::Delta, url)
    }

    fn request(&self, name: &str, schema: SchemaRef, partition_by: &[&str]) -> CreateTable {
        CreateTable {
            table: self.table(name),
            schema,
            partition_by: partition_by
                .iter()
                .map(|c| PartitionField::identity(*c))
                .collect(),
            generated: vec![],
            checks: vec![],
            comment: None,
            properties: BTreeMap::new(),
        }
    }

    async fn plan_write(
        &self,
        snapshot: &Snapshot,
        rows: &str,
        checks: Vec<(String, Expr)>,
    ) -> Arc<dyn ExecutionPlan> {
        let input = self.context.sql(rows).await.unwrap();
        let spec = WriteSpec::for_snapshot(snapshot, &WriteSettings::default()).unwrap();
        let plan = write_node(input.into_optimized_plan().unwrap(), spec, checks);
        self.context
            .state()
            .create_physical_plan(&plan)
            .await
            .unwrap()
    }

    async fn write(&self, snapshot: &Snapshot, rows: &str) -> Vec<DataFile> {
        let plan = self.plan_write(snapshot, rows, vec![]).await;
        let batches = collect(plan, self.context.task_ctx()).await.unwrap();
        batches
            .iter()
            .flat_map(|b| decode_files(b).unwrap())
            .collect()
    }

    async fn append(&self, table: &TableRef, rows: &str) -> Committed {
        let snapshot = self.lake.snapshot(table).await.unwrap();
        let add = self.write(&snapshot, rows).await;
        let changes = Changes {
            mode: WriteMode::Append,
            add,
        };
        self.lake.commit(&snapshot, &changes).await.unwrap()
    }

    async fn query(&self, table: &TableRef, sql: &str) -> String {
        let snapshot = self.lake.snapshot(table).await.unwrap();
        let _ = self.context.deregister_table("t").unwrap();
        self.context
            .register_table("t", self.lake.provider(snapshot))
            .unwrap();
        let batches = self
            .context
            .sql(sql)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    async fn explain(&self, table: &TableRef, sql: &str) -> String {
        self.query(table, &format!("EXPLAIN {sql}")).await
    }
}

fn events() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("day", DataType::Date32, true),
        Field::new("at", time, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]))
}

const ROWS: &str = "SELECT * FROM (VALUES
    (1::bigint, date '2024-01-01', arrow_cast('2024-01-01T10:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))'), 'a', 1.50::decimal(10,2)),
    (2::bigint, date '2024-01-02', arrow_cast('2024-01-02T10:00:00.123456Z', 'Timestamp(Microsecond, Some(\"UTC\"))'), 'b', NULL::decimal(10,2)),
    (3::bigint, NULL::date, NULL, '', 99999999.99::decimal(10,2)))";

fn rows(answer: &str) -> usize {
    answer.lines().filter(|l| l.starts_with('|')).count() - 1
}

#[tokio::test]
async fn what_was_written_is_read_back_partition_columns_included() {
    let f = Fixture::new();
    let request = f.request("events", events(), &["day"]);
    f.lake.create(&request, &[], false).await.unwrap();
    let committed = f.append(&request.table, ROWS).await;
    assert_eq!(
        committed,
        Committed {
            version: 1,
            rows: 3
        }
    );
    let answer = f.query(&request.table, "SELECT * FROM t ORDER BY id").await;
    insta_eq(
        &answer,
        "
+----+------------+-----------------------------+------+-------------+
| id | day        | at                          | name | price       |
+----+------------+-----------------------------+------+-------------+
| 1  | 2024-01-01 | 2024-01-01T10:00:00Z        | a    | 1.50        |
| 2  | 2024-01-02 | 2024-01-02T10:00:00.123456Z | b    |             |
| 3  |            |                             |      | 99999999.99 |
+----+------------+-----------------------------+------+-------------+",
    );
}

fn insta_eq(got: &str, want: &str) {
    assert_eq!(got.trim(), want.trim(), "\n{got}");
}

#[tokio::test]
async fn partition_conditions_read_only_matching_files() {
    let f = Fixture::new();
    let request = f.request("events", events(), &["day"]);
    f.lake.create(&request, &[], false).await.unwrap();
    f.append(&request.table, ROWS).await;
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    assert_eq!(snapshot.files().len(), 3);
    let table = f.lake.provider(snapshot);
    let state = f.context.state();
    let day = || lit(datafusion::common::ScalarValue::Date32(Some(19723)));
    for (filter, files) in [
        (col("day").eq(day()), 1),
        (col("day").not_eq(day()), 1),
        (col("day").is_null(), 1),
        (col("day").is_not_null(), 2),
        (col("id").gt(lit(2_i64)), 1),
        (col("name").eq(lit("b")), 1),
        (col("name").eq(lit("zzz")), 0),
        (col("price").lt(lit(2)), 1),
    ] {
        let pruned = table.prune(std::slice::from_ref(&filter), &state).unwrap();
        assert_eq!(pruned.files.len(), files, "{filter}");
    }
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_log() {
    let f = Fixture::new();
    let request = f.request("events", events(), &["day"]);
    f.lake.create(&request, &[], false).await.unwrap();
    f.append(&request.table, ROWS).await;
    let sql = "SELECT count(*), min(id), max(id) FROM t";
    let plan = f.explain(&request.table, sql).await;
    assert!(!plan.contains("DataSourceExec: file"), "{plan}");
    let answer = f.query(&request.table, sql).await;
    assert!(
        answer.contains("| 3        | 1         | 3         |"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_cached_snapshot_is_never_stale() {
    let f = Fixture::new();
    let request = f.request("events", events(), &[]);
    f.lake.create(&request, &[], false).await.unwrap();
    let other = Lake::new(&Settings::default());
    let first = other.snapshot(&request.table).await.unwrap();
    assert!(Arc::ptr_eq(
        &first,
        &other.snapshot(&request.table).await.unwrap()
    ));
    f.append(&request.table, ROWS).await;
    let second = other.snapshot(&request.table).await.unwrap();
    assert_eq!((second.version(), second.files().is_empty()), (1, false));
    f.lake.purge(&request.table).await.unwrap();
    let gone = other.snapshot(&request.table).await.unwrap_err();
    assert!(matches!(gone, LakeError::NotATable { .. }), "{gone:?}");
    f.lake.create(&request, &[], false).await.unwrap();
    f.append(&request.table, ROWS).await;
    let anew = other.snapshot(&request.table).await.unwrap();
    assert_eq!(anew.version(), 1);
    assert_eq!(
        f.query(&request.table, "SELECT id FROM t")
            .await
            .lines()
            .count(),
        7
    );
}

#[tokio::test]
async fn concurrent_appends_lose_and_double_nothing() {
    let f = Arc::new(Fixture::new());
    let request = f.request("events", events(), &[]);
    f.lake.create(&request, &[], false).await.unwrap();
    let writers = (0..8).map(|_| {
        let (f, table) = (f.clone(), request.table.clone());
        tokio::spawn(async move {
            for _ in 0..3 {
                f.append(&table, ROWS).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    assert_eq!(snapshot.version(), 24);
    let answer = f
        .query(
            &request.table,
            "SELECT id, count(*) n FROM t GROUP BY id HAVING count(*) = 24",
        )
        .await;
    assert_eq!(rows(&answer), 3, "{answer}");
}

#[tokio::test]
async fn overwriting_replaces_the_named_partitions_only() {
    let f = Fixture::new();
    let request = f.request("events", events(), &["day"]);
    f.lake.create(&request, &[], false).await.unwrap();
    f.append(&request.table, ROWS).await;
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    let one_row = format!(
        "SELECT 7::bigint, * FROM (SELECT day, at, name, price FROM ({ROWS}) AS v(id, day, at, name, price) WHERE id = 1)"
    );
    let add = f.write(&snapshot, &one_row).await;
    let changes = Changes {
        mode: WriteMode::OverwriteTouchedPartitions,
        add,
    };
    f.lake.commit(&snapshot, &changes).await.unwrap();
    let answer = f
        .query(&request.table, "SELECT id FROM t ORDER BY id")
        .await;
    insta_eq(
        &answer,
        "+----+\n| id |\n+----+\n| 2  |\n| 3  |\n| 7  |\n+----+",
    );
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    let changes = Changes {
        mode: WriteMode::Overwrite,
        add: vec![],
    };
    f.lake.commit(&snapshot, &changes).await.unwrap();
    assert_eq!(
        f.lake.snapshot(&request.table).await.unwrap().files().len(),
        0
    );
}

#[tokio::test]
async fn a_violated_constraint_names_itself_and_the_row_and_leaves_no_file() {
    let f = Fixture::new();
    let request = f.request("events", events(), &[]);
    f.lake.create(&request, &[], false).await.unwrap();
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    let checks = vec![("small".to_string(), col("v.id").lt(lit(3_i64)))];
    let named = format!("SELECT * FROM ({ROWS}) AS v(id, day, at, name, price)");
    let plan = f.plan_write(&snapshot, &named, checks).await;
    let error = collect(plan, f.context.task_ctx())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("CHECK small") && error.contains("id: 3"),
        "{error}"
    );
    let null_id = format!(
        "SELECT NULL::bigint, day, at, name, price FROM ({ROWS}) AS v(id, day, at, name, price)"
    );
    let plan = f.plan_write(&snapshot, &null_id, vec![]).await;
    let error = collect(plan, f.context.task_ctx())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("NOT NULL id") && error.contains("id: NULL"),
        "{error}"
    );
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let left = std::fs::read_dir(f.directory.path().join("events")).unwrap();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["_delta_log"]);
}

#[tokio::test]
async fn a_writer_survives_the_way_to_an_executor() {
    let f = Fixture::new();
    let request = f.request("events", events(), &["day"]);
    f.lake.create(&request, &[], false).await.unwrap();
    let snapshot = f.lake.snapshot(&request.table).await.unwrap();
    let named = format!("SELECT * FROM ({ROWS}) AS v(id, day, at, name, price)");
    let checks = vec![("small".to_string(), col("v.id").lt(lit(9_i64)))];
    let plan = f.plan_write(&snapshot, &named, checks).await;
    let codec = codec();
    let message =
        datafusion_proto::protobuf::PhysicalPlanNode::try_from_physical_plan(plan, codec.as_ref())
            .unwrap();
    let again = message
        .try_into_physical_plan(&f.context.task_ctx(), codec.as_ref())
        .unwrap();
    let batches = collect(again, f.context.task_ctx()).await.unwrap();
    let files: Vec<DataFile> = batches
        .iter()
        .flat_map(|b| decode_files(b).unwrap())
        .collect();
    assert_eq!(files.iter().filter_map(|f| f.rows).sum::<u64>(), 3);
    for file in &files {
        let path = f.directory.path().join("events").join(&file.path);
        assert_eq!(std::fs::metadata(path).unwrap().len(), file.size);
    }
}
