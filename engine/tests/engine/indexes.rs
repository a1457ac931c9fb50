//! Vector indexes: used when they can be, complete or not, and never the cause of a wrong row.

use arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::physical_plan::displayable;
use shoal_engine::Planned;

use crate::harness::{Lake, execute};

const DIMENSIONS: usize = 16;

/// Vectors around 25 centers; the same numbers for the same seed.
fn clustered(seed: u64, rows: usize) -> Vec<String> {
    let mut state = seed;
    let mut unit = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0
    };
    (0..rows)
        .map(|row| {
            let numbers: Vec<String> = (0..DIMENSIONS)
                .map(|d| {
                    let center = (((row % 25) * 37 + d * 101) % 200) as f64 / 100.0 - 1.0;
                    format!("{:.4}", center + 0.2 * unit())
                })
                .collect();
            format!("[{}]", numbers.join(", "))
        })
        .collect()
}

/// Inserts vectors with ids from `first` on; each tenth has none.
async fn insert(lake: &Lake, into: &str, first: usize, vectors: &[String]) {
    let values: Vec<String> = (first..)
        .zip(vectors)
        .map(|(id, vector)| match id % 10 {
            0 => format!("({id}, NULL)"),
            _ => format!("({id}, {vector})"),
        })
        .collect();
    lake.ok(&format!("INSERT {into} VALUES {}", values.join(", ")))
        .await;
}

/// A table of three files of 400 vectors.
async fn table(lake: &Lake, format: &str) {
    lake.ok(&format!(
        "CREATE TABLE v (id BIGINT, v ARRAY<FLOAT>) USING {format}"
    ))
    .await;
    for (part, vectors) in clustered(1, 1200).chunks(400).enumerate() {
        insert(lake, "INTO v", part * 400, vectors).await;
    }
}

/// Ids that the index gives for a query and ids that are right.
async fn both(lake: &Lake, query: &str, distance: &str) -> (Vec<String>, Vec<String>) {
    let sql = |condition: &str| {
        format!("SELECT id FROM v {condition} ORDER BY {distance}(v, {query}) LIMIT 10")
    };
    (
        lake.rows(&sql("")).await,
        lake.rows(&sql("WHERE v IS NOT NULL")).await,
    )
}

async fn recall(lake: &Lake, distance: &str) -> f64 {
    let mut found = 0;
    let queries = clustered(99, 20);
    for query in &queries {
        let (indexed, exact) = both(lake, query, distance).await;
        assert_eq!(indexed.len(), 10);
        found += exact.iter().filter(|id| indexed.contains(id)).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

async fn explain(lake: &Lake) -> String {
    let query = clustered(99, 1).remove(0);
    let sql = format!("EXPLAIN SELECT * FROM vector_search('v', 'v', {query}, 5)");
    lake.rows(&sql).await.join("\n")
}

/// The plan of a search for a vector that is bound.
async fn plan_of_bound(lake: &Lake) -> String {
    let sql = "SELECT id FROM vector_search('v', 'v', ?, 5)";
    let statement = lake.session.parse(sql).unwrap().remove(0);
    let numbers = vec![ScalarValue::Float64(Some(0.5)); DIMENSIONS];
    let vector = ScalarValue::new_list_nullable(&numbers, &DataType::Float64);
    let values = ParamValues::from(vec![ScalarValue::List(vector)]);
    let planned = lake.session.plan(statement, Some(values)).await.unwrap();
    let Planned::Query(query) = planned else {
        panic!("{planned:?}");
    };
    let plan = query.local_state().create_physical_plan(&query.plan).await;
    displayable(plan.unwrap().as_ref())
        .indent(false)
        .to_string()
}

#[tokio::test]
async fn an_index_finds_nearly_all_of_the_nearest() {
    for format in ["DELTA", "ICEBERG"] {
        let lake = Lake::new().await;
        table(&lake, format).await;
        for (kind, metric, distance) in [
            ("HNSW", "cosine", "cosine_distance"),
            ("HNSW", "l2", "vector_l2_distance"),
            ("IVF", "cosine", "cosine_distance"),
            ("IVF", "l2", "vector_l2_distance"),
        ] {
            lake.ok(&format!("DROP INDEX IF EXISTS by_{metric} ON v"))
                .await;
            let sql = format!(
                "CREATE INDEX by_{metric} ON v USING {kind} (v) WITH (metric = '{metric}')"
            );
            assert_eq!(lake.ok(&sql).await, 1080, "{format}");
            let recall = recall(&lake, distance).await;
            assert!(recall >= 0.95, "{format} {kind} {metric}: {recall}");
        }
        let plan = explain(&lake).await;
        assert!(plan.contains("rows=20 of"), "{plan}");
        assert!(!plan.contains("RepartitionExec"), "{plan}");
        let bound = plan_of_bound(&lake).await;
        assert!(bound.contains("rows=20 of"), "{bound}");
        // A predicate decides itself what is read.
        let filtered = lake
            .rows(
                "EXPLAIN SELECT id FROM v WHERE id < 50 ORDER BY cosine_distance(v, [1.0]) LIMIT 3",
            )
            .await
            .join("\n");
        assert!(!filtered.contains("rows=20"), "{filtered}");
        let listed = lake.rows("SHOW INDEXES ON v").await;
        assert_eq!(listed.len(), 2);
        assert!(
            listed[0].starts_with("lake.default.v|by_cosine|v|IVF|cosine|1080|3 of 3|"),
            "{listed:?}"
        );
        assert_eq!(lake.rows("SHOW INDEXES").await, listed);
    }
}

#[tokio::test]
async fn what_is_near_may_lie_in_one_segment() {
    let lake = Lake::new().await;
    lake.ok("CREATE TABLE v (id BIGINT, v ARRAY<FLOAT>)").await;
    let vectors = clustered(1, 1200);
    for part in 0..5 {
        let of_five_centers: Vec<String> = (0..)
            .zip(&vectors)
            .filter(|(row, _)| row % 25 / 5 == part)
            .map(|(_, vector)| vector.clone())
            .collect();
        insert(&lake, "INTO v", part * 240, &of_five_centers).await;
        let statement = match part {
            0 => "CREATE INDEX near ON v USING IVF (v) WITH (metric = 'cosine')",
            _ => "REFRESH INDEX near ON v",
        };
        lake.ok(statement).await;
    }
    let recall = recall(&lake, "cosine_distance").await;
    assert!(recall >= 0.95, "{recall}");
}

#[tokio::test]
async fn rows_that_came_later_are_found_and_rows_that_are_gone_are_not() {
    for kind in ["IVF", "HNSW"] {
        later_and_gone(kind).await;
    }
}

async fn later_and_gone(kind: &str) {
    let lake = Lake::new().await;
    table(&lake, "DELTA").await;
    lake.ok(&format!("CREATE INDEX i ON v USING {kind} (v)"))
        .await;
    let query = format!("[{}]", ["5.0"; DIMENSIONS].join(", "));
    let near = format!("[{}]", ["4.9"; DIMENSIONS].join(", "));
    insert(&lake, "INTO v", 7001, &[near]).await;
    let nearest = format!("SELECT id FROM vector_search('v', 'v', {query}, 1)");
    assert_eq!(lake.rows(&nearest).await, ["7001"]);
    assert!(lake.rows("SHOW INDEXES ON v").await[0].contains("|3 of 4|"));
    assert_eq!(lake.ok("REFRESH INDEX i ON v").await, 1);
    assert!(lake.rows("SHOW INDEXES ON v").await[0].contains("|4 of 4|"));
    assert_eq!(lake.rows(&nearest).await, ["7001"]);
    assert_eq!(lake.ok("REFRESH INDEX i ON v").await, 0);
    assert!(recall(&lake, "cosine_distance").await >= 0.95);

    let before = lake.files(".segment").len();
    insert(&lake, "OVERWRITE v", 8001, &clustered(3, 300)).await;
    let (indexed, exact) = both(&lake, &query, "cosine_distance").await;
    assert_eq!(indexed, exact);
    assert!(lake.rows("SHOW INDEXES ON v").await[0].contains("|0 of 1|"));
    assert_eq!(lake.ok("REFRESH INDEX i ON v").await, 270);
    assert!(lake.rows("SHOW INDEXES ON v").await[0].contains("|270|1 of 1|"));
    assert!(
        lake.files(".segment").len() < before,
        "segments of files that are gone stay"
    );
    assert!(recall(&lake, "cosine_distance").await >= 0.95);
}

#[tokio::test]
async fn two_refreshes_at_a_time_cover_a_file_once() {
    let lake = Lake::new().await;
    table(&lake, "DELTA").await;
    lake.ok("CREATE INDEX i ON v USING IVF (v)").await;
    insert(&lake, "INTO v", 2000, &clustered(4, 100)).await;
    let plan = || async {
        let statement = lake
            .session
            .parse("REFRESH INDEX i ON v")
            .unwrap()
            .remove(0);
        lake.session.plan(statement, None).await.unwrap()
    };
    let (one, other) = (plan().await, plan().await);
    let later = clustered(5, 100);
    let insert = insert(&lake, "INTO v", 3000, &later);
    let (one, other, ()) = tokio::join!(execute(one), execute(other), insert);
    one.unwrap();
    other.unwrap();
    let listed = lake.rows("SHOW INDEXES ON v").await;
    assert!(listed[0].contains("|1170|4 of 5|"), "{listed:?}");
    let (indexed, _) = both(&lake, &clustered(4, 1)[0], "cosine_distance").await;
    let unique: std::collections::HashSet<&String> = indexed.iter().collect();
    assert_eq!(unique.len(), 10);
}

#[tokio::test]
async fn an_index_goes_with_its_table() {
    let lake = Lake::new().await;
    table(&lake, "DELTA").await;
    lake.ok("CREATE INDEX i ON v USING IVF (v)").await;
    lake.ok("CREATE INDEX j ON v USING IVF (v) WITH (metric = 'l2', lists = 4, probes = 2)")
        .await;
    lake.ok("DROP INDEX i ON v").await;
    assert!(lake.files("_shoal_index/i/").is_empty());
    assert!(!lake.files("_shoal_index/j/").is_empty());
    assert!(!explain(&lake).await.contains("rows=20"));
    lake.ok("DROP TABLE v").await;
    assert!(lake.files(".segment").is_empty());
    assert!(!lake.files(".parquet").is_empty());
}

#[tokio::test]
async fn an_index_whose_segments_are_lost_makes_a_search_exact() {
    let lake = Lake::new().await;
    table(&lake, "DELTA").await;
    lake.ok("CREATE INDEX i ON v USING IVF (v)").await;
    for file in lake.files(".segment") {
        std::fs::remove_file(lake.folder.path().join(file)).unwrap();
    }
    let (indexed, exact) = both(&lake, &clustered(4, 1)[0], "cosine_distance").await;
    assert_eq!(indexed, exact);
}

#[tokio::test]
async fn wrong_index_statements_say_what_is_wrong() {
    let lake = Lake::new().await;
    table(&lake, "DELTA").await;
    lake.ok("CREATE VIEW w AS SELECT * FROM v").await;
    lake.ok("CREATE TABLE ragged (v ARRAY<FLOAT>)").await;
    lake.ok("INSERT INTO ragged VALUES ([1, 2]), ([1])").await;
    lake.ok("CREATE INDEX i ON v USING IVF (v)").await;
    lake.ok("CREATE INDEX IF NOT EXISTS i ON v USING IVF (v)")
        .await;
    lake.ok("DROP INDEX IF EXISTS k ON v").await;
    for (sql, parts) in [
        (
            "CREATE INDEX i ON v USING IVF (v)",
            vec!["index i of table lake.default.v", "already exists"],
        ),
        (
            "CREATE INDEX k ON v USING BTREE (v)",
            vec!["IVF or HNSW", "BTREE"],
        ),
        (
            "CREATE INDEX k ON v USING IVF (id)",
            vec!["column id", "Int64"],
        ),
        (
            "CREATE INDEX k ON v USING IVF (x)",
            vec!["column x of table lake.default.v"],
        ),
        (
            "CREATE INDEX k ON v USING IVF (v) WITH (metric = 'x')",
            vec!["metric = x", "cosine"],
        ),
        (
            "CREATE INDEX k ON v USING IVF (v) WITH (m = 3)",
            vec!["no option m", "lists"],
        ),
        (
            "CREATE INDEX `a/b` ON v USING IVF (v)",
            vec!["a/b", "letters"],
        ),
        (
            "CREATE INDEX k ON w USING IVF (v)",
            vec!["lake.default.w is a view"],
        ),
        (
            "CREATE INDEX k ON ragged USING IVF (v)",
            vec!["table lake.default.ragged", "of 2 and of 1"],
        ),
        (
            "REFRESH INDEX k ON v",
            vec!["index k of table lake.default.v"],
        ),
        (
            "DROP INDEX k ON v",
            vec!["index k of table lake.default.v", "SHOW INDEXES"],
        ),
    ] {
        let message = lake.error(sql).await;
        for part in parts {
            assert!(message.contains(part), "{sql}: {message}");
        }
    }
}
