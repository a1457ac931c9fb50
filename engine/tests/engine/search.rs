//! `vector_search` and `image_duplicates` against brute force, and what they refuse.

use datafusion::common::{ParamValues, ScalarValue};

use crate::harness::{Lake, Outcome, execute, lines};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From -1 to 1, exact in single precision.
    fn unit(&mut self) -> f32 {
        (self.bits() % 2001) as f32 / 1000.0 - 1.0
    }
}

fn literal(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(|x| format!("{x:?}")).collect();
    format!("[{}]", numbers.join(", "))
}

/// A table `v (id, kind, v)` of 200 vectors of 8 numbers; each tenth row has no vector.
async fn vectors(lake: &Lake) -> Vec<(i64, Option<Vec<f32>>)> {
    let mut numbers = Numbers(42);
    let rows: Vec<(i64, Option<Vec<f32>>)> = (0..200)
        .map(|id| {
            let vector = (0..8).map(|_| numbers.unit()).collect();
            (id, (id % 10 != 0).then_some(vector))
        })
        .collect();
    lake.ok("CREATE TABLE v (id BIGINT, kind BIGINT, v ARRAY<FLOAT>)")
        .await;
    // Several files, as an append per day makes them.
    for chunk in rows.chunks(50) {
        let values: Vec<String> = chunk
            .iter()
            .map(|(id, vector)| {
                let vector = vector.as_deref().map_or("NULL".into(), literal);
                format!("({id}, {}, {vector})", id % 3)
            })
            .collect();
        lake.ok(&format!("INSERT INTO v VALUES {}", values.join(", ")))
            .await;
    }
    rows
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn l2(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Ids of the rows nearest to `query` among those that `keep`.
fn nearest(
    rows: &[(i64, Option<Vec<f32>>)],
    query: &[f32],
    k: usize,
    distance: fn(&[f32], &[f32]) -> f64,
    keep: fn(i64) -> bool,
) -> Vec<String> {
    let mut all: Vec<(f64, i64)> = rows
        .iter()
        .filter(|(id, _)| keep(*id))
        .filter_map(|(id, vector)| Some((distance(vector.as_deref()?, query), *id)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.iter().take(k).map(|(_, id)| id.to_string()).collect()
}

#[tokio::test]
async fn the_nearest_rows_are_those_of_brute_force() {
    let lake = Lake::new().await;
    let rows = vectors(&lake).await;
    let mut numbers = Numbers(7);
    let query: Vec<f32> = (0..8).map(|_| numbers.unit()).collect();
    let q = literal(&query);
    let all: fn(i64) -> bool = |_| true;
    for (sql, expected) in [
        (
            format!("SELECT id FROM vector_search('default.v', 'v', {q}, 10)"),
            nearest(&rows, &query, 10, cosine, all),
        ),
        (
            format!("SELECT id FROM vector_search('v', 'V', '{q}', 10, metric => 'l2')"),
            nearest(&rows, &query, 10, l2, all),
        ),
        (
            format!(
                "SELECT s.id FROM vector_search(v, v, {q}, 5, filter => 'kind = 1 AND id > 20') AS s"
            ),
            nearest(&rows, &query, 5, cosine, |id| id % 3 == 1 && id > 20),
        ),
        (
            format!("SELECT id FROM v ORDER BY cosine_distance(v, {q}) LIMIT 7"),
            nearest(&rows, &query, 7, cosine, all),
        ),
        (
            format!("SELECT id FROM v ORDER BY vector_cosine_similarity(v, {q}) DESC LIMIT 7"),
            nearest(&rows, &query, 7, cosine, all),
        ),
        (
            format!(
                "SELECT id, vector_cosine_similarity(v, {q}) AS near FROM v ORDER BY near DESC LIMIT 7"
            ),
            nearest(&rows, &query, 7, cosine, all),
        ),
        // More than there are: rows without a vector are not among them.
        (
            format!("SELECT id FROM vector_search('v', 'v', {q}, 1000)"),
            nearest(&rows, &query, 180, cosine, all),
        ),
    ] {
        let ids: Vec<String> = lake
            .rows(&sql)
            .await
            .iter()
            .map(|row| row.split('|').next().unwrap().to_string())
            .collect();
        assert_eq!(ids, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_vector_and_a_number_of_rows_may_be_parameters() {
    let lake = Lake::new().await;
    let rows = vectors(&lake).await;
    let query = [0.5, -0.25, 1.0, 0.0, 0.125, -1.0, 0.75, 0.5];
    let list = ScalarValue::List(ScalarValue::new_list_nullable(
        &query.map(|x: f32| ScalarValue::Float32(Some(x))),
        &arrow::datatypes::DataType::Float32,
    ));
    let nearest = nearest(&rows, &query, 3, cosine, |_| true);
    for (sql, values) in [
        (
            "SELECT id FROM vector_search('v', 'v', ?, ?)",
            vec![list.clone(), ScalarValue::Int64(Some(3))],
        ),
        (
            "SELECT id FROM vector_search('v', 'v', ?, 3)",
            vec![list.clone()],
        ),
        (
            "SELECT id FROM v ORDER BY cosine_distance(v, CAST(? AS ARRAY<FLOAT>)) LIMIT 3",
            vec![list],
        ),
    ] {
        let statement = lake.session.parse(sql).unwrap().remove(0);
        let open = lake.session.plan(statement.clone(), None).await.unwrap();
        let parameters = open.parameters().unwrap();
        assert!(
            parameters.field(0).data_type().to_string().contains("List"),
            "{parameters}"
        );
        let values = Some(ParamValues::from(values));
        let planned = lake.session.plan(statement, values).await.unwrap();
        let Outcome::Rows(batches) = execute(planned).await.unwrap() else {
            panic!("rows");
        };
        assert_eq!(lines(&batches), nearest, "{sql}");
    }
}

#[tokio::test]
async fn a_search_keeps_k_rows_per_task_and_filters_in_the_scan() {
    let lake = Lake::new().await;
    vectors(&lake).await;
    let sql = "EXPLAIN SELECT id FROM vector_search('v', 'v', [1, 0, 0, 0, 0, 0, 0, 0], 4, filter => 'kind = 2')";
    let plan = lake.rows(sql).await.join("\n");
    assert!(plan.contains("TopK(fetch=4)"), "{plan}");
    assert!(plan.contains("predicate=kind"), "{plan}");
}

#[tokio::test]
async fn wrong_searches_say_what_is_wrong_with_which_table() {
    let lake = Lake::new().await;
    vectors(&lake).await;
    lake.ok("CREATE TABLE d (id INT, v ARRAY<FLOAT>, distance INT)")
        .await;
    for (call, parts) in [
        (
            "vector_search('nope', 'v', [1], 1)",
            vec!["lake.default.nope"],
        ),
        (
            "vector_search('v', 'w', [1], 1)",
            vec!["column w of table lake.default.v", "did you mean v?"],
        ),
        (
            "vector_search('v', 'id', [1], 1)",
            vec!["column id of table lake.default.v", "Int64"],
        ),
        (
            "vector_search('v', 'v', 'abc', 1)",
            vec!["abc", "[0.5, -1]"],
        ),
        ("vector_search('v', 'v', [1], 0)", vec!["from 1"]),
        (
            "vector_search('v', 'v', [1])",
            vec!["number of rows", "missing"],
        ),
        (
            "vector_search('v', 'v', [1], 1, metric => 'x')",
            vec!["x is no metric", "cosine"],
        ),
        (
            "vector_search('v', 'v', [1], 1, filter => 'id = ')",
            vec!["filter"],
        ),
        (
            "vector_search('v', 'v', [1], 1, limit => 3)",
            vec!["no argument limit"],
        ),
        ("vector_search('d', 'v', [1], 1)", vec!["column distance"]),
        (
            "image_duplicates('v', 'v', 3)",
            vec!["column v of table lake.default.v", "BIGINT"],
        ),
        ("image_duplicates('v', 'id', 40)", vec!["0 to 15"]),
        (
            "image_duplicates('v', 'id', 4, key => 'x')",
            vec!["column x", "key =>"],
        ),
    ] {
        let message = lake.error(&format!("SELECT * FROM {call}")).await;
        for part in parts {
            assert!(message.contains(part), "{call}: {message}");
        }
    }
}

#[tokio::test]
async fn near_duplicates_are_those_of_brute_force() {
    let lake = Lake::new().await;
    let mut numbers = Numbers(3);
    let mut values = Vec::new();
    for group in 0..40 {
        let hash = numbers.bits();
        for copy in 0..5 {
            // Up to 16 flipped bits, the sign among them.
            let flips =
                (0..numbers.bits() % 17).fold(0u64, |flips, _| flips | 1 << (numbers.bits() % 64));
            let hash = (hash ^ flips).cast_signed();
            values.push(format!("('{group}-{copy}', {hash})"));
        }
    }
    values.push("('none', NULL)".into());
    lake.ok("CREATE TABLE h (id STRING, hash BIGINT)").await;
    lake.ok(&format!("INSERT INTO h VALUES {}", values.join(", ")))
        .await;
    for distance in [0, 1, 4, 10, 15] {
        let found = lake
            .sorted(&format!(
                "SELECT * FROM image_duplicates('h', 'hash', {distance})"
            ))
            .await;
        let expected = lake
            .sorted(&format!(
                "SELECT a.id, b.id, bit_count(a.hash ^ b.hash) FROM h a CROSS JOIN h b \
                 WHERE a.id < b.id AND bit_count(a.hash ^ b.hash) <= {distance}"
            ))
            .await;
        assert_eq!(found, expected, "{distance}");
        if distance == 10 {
            assert!(found.len() > 20, "{found:?}");
        }
    }
    let plan = lake
        .rows("EXPLAIN SELECT * FROM image_duplicates('h', 'hash', 4, key => 'id')")
        .await
        .join("\n");
    assert!(
        !plan.contains("CrossJoin") && !plan.contains("NestedLoop"),
        "{plan}"
    );
    assert!(plan.contains("HashJoin"), "{plan}");
}
