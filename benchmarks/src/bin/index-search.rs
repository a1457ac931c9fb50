//! Shoal's vector index alone: one process, no SQL, no wire, no executors, so that it can be compared with
//! libraries of indexes. `index-search --kind ivf --queries q.f32 --probes 4,8,16 TABLE` indexes column
//! `v` of a local Delta table, keeps the table's vectors in memory, and asks one query after the other: the
//! index names candidates, their exact distances decide.
//!
//! Prints what `benchmarks/images/search_process.py` prints: a JSON line with the seconds that reading and
//! indexing took, then one per setting with the seconds of the fastest run and the ids found.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};
use clap::{Parser, ValueEnum};
use datafusion::datasource::provider_as_source;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::collect;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use shoal_config::Settings;
use shoal_lake::{
    Format, IndexKind, IndexManifest, IndexSpec, Lake, LakePlanner, Metric, Snapshot, TableRef,
    decode_files, index_node,
};
use url::Url;

/// As in the programs that are measured beside it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COLUMN: &str = "v";

/// Measures a vector index in process.
#[derive(Parser)]
struct Arguments {
    /// How the index finds what is near.
    #[arg(long)]
    kind: Kind,
    /// The vectors to search for: f32, little-endian, one after the other.
    #[arg(long)]
    queries: PathBuf,
    /// Rows to find for each.
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Runs over all queries, of which the fastest counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Threads that build; a search has one.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Lists (IVF) or nodes in view (HNSW) of a search, each a setting beside the default.
    #[arg(long, value_delimiter = ',')]
    probes: Vec<usize>,
    /// A local Delta table with columns `id` (BIGINT) and `v` (arrays of FLOAT).
    table: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Ivf,
    Hnsw,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()?
        .block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let location = Url::from_directory_path(std::path::absolute(&arguments.table)?)
        .map_err(|()| format!("{} is no folder", arguments.table.display()))?;
    let table = TableRef::new("vectors", Format::Delta, location);
    let lake = Lake::new(&Settings::default());
    let kind = match arguments.kind {
        Kind::Ivf => IndexKind::Ivf,
        Kind::Hnsw => IndexKind::Hnsw,
    };
    let name = format!("measured_{}", kind.name().to_lowercase());
    lake.drop_index(&table, &name).await?;

    let began = Instant::now();
    let snapshot = lake.snapshot(&table).await?;
    let mut index = build(&lake, &snapshot, &name, kind, arguments.threads).await?;
    let vectors = Vectors::read(&index)?;
    println!("{}", json!({ "built": began.elapsed().as_secs_f64() }));

    let queries = queries(&arguments.queries, vectors.dimensions)?;
    let default = std::iter::once(None);
    for breadth in default.chain(arguments.probes.iter().copied().map(Some)) {
        index.breadth = breadth;
        let mut seconds = f64::INFINITY;
        let mut found = Vec::new();
        // The first run brings what is searched into memory, and does not count.
        for run in 0..=arguments.runs {
            let began = Instant::now();
            found.clear();
            for query in &queries {
                found.push(nearest(&lake, &snapshot, &index, &vectors, query, arguments.k).await?);
            }
            if run > 0 {
                seconds = seconds.min(began.elapsed().as_secs_f64());
            }
        }
        let setting = setting(kind, breadth);
        let line = json!({ "setting": setting, "seconds": seconds, "found": found });
        println!("{line}");
    }
    lake.drop_index(&table, &name).await?;
    Ok(())
}

fn setting(kind: IndexKind, breadth: Option<usize>) -> String {
    let option = match kind {
        IndexKind::Ivf => "probes",
        IndexKind::Hnsw => "breadth",
    };
    match breadth {
        Some(number) => format!("{option} {number}"),
        None => "default".into(),
    }
}

/// Makes the index as `CREATE INDEX` does, with a task per thread.
async fn build(
    lake: &Arc<Lake>,
    snapshot: &Arc<Snapshot>,
    name: &str,
    kind: IndexKind,
    threads: usize,
) -> Result<IndexManifest> {
    let table = snapshot.table();
    let manifest = IndexManifest {
        name: name.into(),
        column: COLUMN.into(),
        kind,
        metric: Metric::Cosine,
        lists: None,
        breadth: None,
        table_version: snapshot.version(),
        segments: vec![],
    };
    let spec = IndexSpec {
        table: table.name.clone(),
        location: table.location.clone(),
        index: name.into(),
        column: COLUMN.into(),
        kind,
        metric: manifest.metric,
        lists: manifest.lists,
    };
    let column = snapshot.schema().index_of(COLUMN)?;
    let rows = provider_as_source(lake.provider(snapshot.clone()));
    let scan = LogicalPlanBuilder::scan("vectors", rows, Some(vec![column]))?.build()?;

    // A task takes whole files: it numbers their rows.
    let config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_repartition_file_scans(false);
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(lake.runtime(RuntimeEnvBuilder::new())?)
        .build();
    let plan = state.optimize(&index_node(scan, spec))?;
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LakePlanner)]);
    let plan = planner.create_physical_plan(&plan, &state).await?;
    let answer = collect(plan, SessionContext::new_with_state(state).task_ctx()).await?;
    let mut reported = Vec::new();
    for batch in &answer {
        reported.extend(decode_files(batch)?);
    }
    lake.create_index(table, manifest, &reported).await?;
    let made = lake.index(table, name).await?;
    made.ok_or_else(|| format!("index {name} was dropped by somebody else").into())
}

/// Ids of the `k` nearest rows, nearest first.
async fn nearest(
    lake: &Lake,
    snapshot: &Snapshot,
    index: &IndexManifest,
    vectors: &Vectors,
    query: &[f32],
    k: usize,
) -> Result<Vec<i64>> {
    let candidates = lake.candidates(snapshot, index, query, k).await?;
    let candidates = candidates.ok_or("the index names fewer rows than are wanted")?;
    let mut near = Vec::with_capacity(candidates.len());
    for (file, rows) in &candidates.rows {
        let Some(file) = vectors.files.get(file) else {
            return Err(format!("the index names rows of {file}, which it does not cover").into());
        };
        for row in rows {
            let start = *row as usize * vectors.dimensions;
            let vector = file.values.get(start..start + vectors.dimensions);
            let (Some(vector), Some(id)) = (vector, file.ids.get(*row as usize)) else {
                return Err(format!("the index names row {row}, which is not there").into());
            };
            near.push((cosine_distance(vector, query), *id));
        }
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(near.into_iter().take(k).map(|(_, id)| id).collect())
}

fn cosine_distance(a: &[f32], b: &[f32]) -> f32 {
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// In lanes that the compiler turns into SIMD.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// The vectors that are searched for.
fn queries(path: &Path, dimensions: usize) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path)?;
    let (words, rest) = bytes.as_chunks::<4>();
    if dimensions == 0 || !rest.is_empty() || !words.len().is_multiple_of(dimensions) {
        let path = path.display();
        return Err(format!("{path} does not hold vectors of {dimensions} numbers").into());
    }
    let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    Ok(numbers.chunks(dimensions).map(<[f32]>::to_vec).collect())
}

/// The rows of the table, in memory.
struct Vectors {
    dimensions: usize,
    /// By path of the data file, as the index names it.
    files: HashMap<String, Rows>,
}

/// The rows of a data file, in their order.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    values: Vec<f32>,
}

impl Vectors {
    /// The vectors of all files that the index covers.
    fn read(index: &IndexManifest) -> Result<Self> {
        let mut files = HashMap::new();
        for path in index.covered() {
            // Paths of a store begin below the root of the file system.
            let file = File::open(Path::new("/").join(path))?;
            let mut rows = Rows::default();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
                rows.add(&batch?)?;
            }
            files.insert(path.to_string(), rows);
        }
        let filled = files.values().find(|rows| !rows.ids.is_empty());
        let dimensions = filled.map_or(0, |rows| rows.values.len() / rows.ids.len());
        Ok(Self { dimensions, files })
    }
}

impl Rows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            let found = batch.column_by_name(name);
            found.ok_or_else(|| format!("the table has no column {name}"))
        };
        let ids = column("id")?.as_primitive_opt::<Int64Type>();
        let vectors = column(COLUMN)?;
        let values = match (
            vectors.as_list_opt::<i32>(),
            vectors.as_fixed_size_list_opt(),
        ) {
            (Some(list), _) => Some(list.values()),
            (_, Some(list)) => Some(list.values()),
            _ => None,
        };
        let values = values.and_then(|values| values.as_primitive_opt::<Float32Type>());
        let (Some(ids), Some(values)) = (ids, values) else {
            return Err("column id has to be BIGINT, column v ARRAY<FLOAT>".into());
        };
        if vectors.null_count() > 0 || values.null_count() > 0 {
            return Err("every row has to have a vector, all of one length".into());
        }
        self.ids.extend(ids.values());
        self.values.extend(values.values());
        Ok(())
    }
}
