//! The aggregates through SQL, in one and in two phases, with few and with many groups.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int32Array, RecordBatch,
};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::config::SessionConfig;
use datafusion::prelude::SessionContext;

use crate::functions::tests::{context, error, rows, run, vector_columns};

/// Vectors of `dimension` FLOATs in 5 partitions, numbered, as the table `t`.
fn partitioned(dimension: i32, values: &[f32]) -> SessionContext {
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let floats: ArrayRef = Arc::new(Float32Array::from(values.to_vec()));
    let vectors: ArrayRef = Arc::new(FixedSizeListArray::new(
        Arc::clone(&field),
        dimension,
        floats,
        None,
    ));
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..vectors.len() as i32));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("v", DataType::FixedSizeList(field, dimension), true),
    ]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![ids, vectors]).unwrap();
    let part = batch.num_rows().div_ceil(5);
    let parts = (0..5).map(|i| vec![batch.slice(i * part, part.min(batch.num_rows() - i * part))]);
    let table = MemTable::try_new(schema, parts.collect()).unwrap();
    let config = SessionConfig::new()
        .with_target_partitions(3)
        .with_batch_size(16);
    let context = SessionContext::new_with_config(config);
    for function in crate::aggregate_functions() {
        context.register_udaf(function.as_ref().clone());
    }
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

#[tokio::test]
async fn sums_and_means_of_every_list_type_leave_null_out() {
    for column in vector_columns() {
        let kind = column.data_type().clone();
        let context = context();
        let batch = RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap();
        context.register_batch("vectors", batch).unwrap();
        let answers = run(
            &context,
            "SELECT vector_sum(v), vector_avg(v), vector_kmeans(v, 2) FROM vectors",
        )
        .await
        .unwrap();
        let sum = answers[0].column(0).data_type().clone();
        assert_eq!(
            std::mem::discriminant(&sum),
            std::mem::discriminant(&kind),
            "{kind}"
        );
        let text = rows(
            &context,
            "SELECT vector_sum(v), vector_avg(v), vector_kmeans(v, 2), \
             vector_sum(v) FILTER (WHERE v IS NULL), vector_kmeans(v, 1) FILTER (WHERE v IS NULL) \
             FROM vectors",
        )
        .await;
        let expected = "[3.0, 4.0],[1.5, 2.0],[[0.0, 0.0], [3.0, 4.0]],,";
        assert_eq!(text, [expected], "{kind}");
    }
}

#[tokio::test]
async fn groups_are_summed_over_partitions() {
    let values: Vec<f32> = (0..300).map(|i| i as f32).collect();
    let context = partitioned(3, &values);
    for groups in [4, 60] {
        let batches = run(
            &context,
            &format!(
                "SELECT id % {groups} AS g, vector_sum(v), vector_avg(v), \
                 vector_sum(v) FILTER (WHERE id < 0) FROM t GROUP BY g ORDER BY g"
            ),
        )
        .await
        .unwrap();
        let mut group = 0_usize;
        for batch in batches {
            for row in 0..batch.num_rows() {
                let members: Vec<usize> = (group..100).step_by(groups).collect();
                for element in 0..3 {
                    let sum: usize = members.iter().map(|id| 3 * id + element).sum();
                    let of = |column: usize| {
                        let vector = batch.column(column).as_fixed_size_list().value(row);
                        vector.as_primitive::<Float32Type>().value(element)
                    };
                    assert_eq!(of(1), sum as f32);
                    assert_eq!(of(2), (sum as f64 / members.len() as f64) as f32);
                }
                assert!(batch.column(3).is_null(row));
                group += 1;
            }
        }
        assert_eq!(group, groups);
    }
}

#[tokio::test]
async fn lengths_that_differ_in_a_group_are_an_error_and_between_groups_are_not() {
    let from = "FROM VALUES (1, [1, 2, 3]), (2, [1, 2]), (1, [1, 1, 1]) AS t(g, v)";
    for call in ["vector_sum(v)", "vector_avg(v)", "vector_kmeans(v, 2)"] {
        let message = error(&format!("SELECT {call} {from}")).await;
        let expected = "vectors of the same length in a group, not of 3 and 2";
        assert!(message.contains(expected), "{call}: {message}");
    }
    let sql = format!("SELECT vector_sum(v), vector_kmeans(v, 1) {from} GROUP BY g ORDER BY g");
    let expected = [
        "[2.0, 3.0, 4.0],[[1.0, 1.5, 2.0]]",
        "[1.0, 2.0],[[1.0, 2.0]]",
    ];
    assert_eq!(rows(&context(), &sql).await, expected);
}

#[tokio::test]
async fn a_moving_window_forgets_what_has_left_it() {
    let answers = rows(
        &context(),
        "SELECT vector_sum(v) OVER w, vector_avg(v) OVER w FROM VALUES (1, [1, 2]), (2, NULL), \
         (3, [CAST('NaN' AS DOUBLE), CAST('inf' AS DOUBLE)]), (4, [5, 6]), (5, [7, 8]), \
         (6, NULL), (7, NULL) AS t(i, v) \
         WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY i",
    )
    .await;
    assert_eq!(
        answers,
        [
            "[1.0, 2.0],[1.0, 2.0]",
            "[1.0, 2.0],[1.0, 2.0]",
            "[NaN, inf],[NaN, inf]",
            "[NaN, inf],[NaN, inf]",
            "[12.0, 14.0],[6.0, 7.0]",
            "[7.0, 8.0],[7.0, 8.0]",
            ",",
        ]
    );
}

/// `count` points around each of four corners of a square, by a fixed rule.
fn around_corners(count: usize) -> Vec<f32> {
    let mut values = Vec::new();
    for i in 0..count {
        for (corner, (x, y)) in [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0)]
            .iter()
            .enumerate()
        {
            // The first corner has half the points again, so that it is the heaviest.
            if i % 3 == 2 && corner > 0 {
                continue;
            }
            let turn = (i * 4 + corner) as f32 * 2.399_963;
            let radius = ((i * 31 + corner * 17) % 100) as f32 / 100.0;
            values.extend([x + radius * turn.cos(), y + radius * turn.sin()]);
        }
    }
    values
}

async fn centers(context: &SessionContext, sql: &str) -> Vec<Vec<f32>> {
    let batches = run(context, sql).await.unwrap();
    let list = batches[0].column(0).as_list::<i32>().value(0);
    let list = list.as_fixed_size_list();
    (0..list.len())
        .map(|row| {
            list.value(row)
                .as_primitive::<Float32Type>()
                .values()
                .to_vec()
        })
        .collect()
}

#[tokio::test]
async fn clusters_are_found_in_any_order_and_on_any_partitions() {
    let values = around_corners(120);
    let context = partitioned(2, &values);
    let found = centers(&context, "SELECT vector_kmeans(v, 4) FROM t").await;
    assert_eq!(found.len(), 4);
    for (x, y) in [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0)] {
        let near = found.iter().filter(|c| (c[0] - x).hypot(c[1] - y) < 0.2);
        assert_eq!(near.count(), 1, "{found:?}");
    }
    assert!(
        found[0][0].hypot(found[0][1]) < 0.2,
        "the heaviest is not first: {found:?}"
    );

    let mut turned: Vec<f32> = values.chunks(2).rev().flatten().copied().collect();
    turned.extend_from_slice(&values);
    let turned = partitioned(2, &turned);
    let again = centers(
        &turned,
        "SELECT vector_kmeans(v, 4) FROM t WHERE id % 2 < 5",
    )
    .await;
    // Every vector came twice: the weights double, and the centroids stay.
    for (a, b) in found.iter().zip(&again) {
        assert!(
            (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-5,
            "{found:?} {again:?}"
        );
    }
}

#[tokio::test]
async fn more_vectors_than_a_sample_holds_are_sampled() {
    let values = around_corners(6_000);
    assert!(values.len() / 2 > 8_192);
    let context = partitioned(2, &values);
    let found = centers(&context, "SELECT vector_kmeans(v, 4) FROM t").await;
    for (x, y) in [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0)] {
        let near = found.iter().filter(|c| (c[0] - x).hypot(c[1] - y) < 0.1);
        assert_eq!(near.count(), 1, "{found:?}");
    }
}

#[tokio::test]
async fn a_sample_does_not_depend_on_how_it_was_merged() {
    use super::sample::{Sample, SampleSize};
    let size = SampleSize { least: 2, most: 50 };
    let vectors: Vec<[f64; 2]> = (0..500).map(|i| [f64::from(i % 300), 1.0]).collect();
    let of = |parts: usize| {
        let mut whole = Sample::new(size);
        for part in vectors.chunks(vectors.len().div_ceil(parts)) {
            let mut sample = Sample::new(size);
            for vector in part.iter().rev() {
                sample.add("test", vector.iter().copied(), 1).unwrap();
            }
            for point in sample.points() {
                let elements = point.vector.iter().map(|x| f64::from(*x));
                whole.add("test", elements, point.weight).unwrap();
            }
        }
        let points = whole.points();
        points
            .map(|point| (point.vector[0], point.weight))
            .collect::<Vec<_>>()
    };
    let whole = of(1);
    assert_eq!(whole.len(), 50);
    // Vectors below 200 came twice, the others once.
    assert!(
        whole
            .iter()
            .all(|(x, weight)| *weight == if *x < 200.0 { 2 } else { 1 })
    );
    for parts in [2, 3, 7] {
        assert_eq!(of(parts), whole, "{parts} parts");
    }
}

#[tokio::test]
async fn a_wrong_number_of_centroids_fails_while_planning() {
    let context = context();
    let from = "FROM VALUES ([1, 2], 3) AS t(v, n)";
    for (call, expected) in [
        ("vector_kmeans(v, 0)", "k from 1 to 1024, not 0"),
        ("vector_kmeans(v, 1 + 1024)", "k from 1 to 1024, not 1025"),
        ("vector_kmeans(v, NULL)", "not NULL"),
        ("vector_kmeans(v, n)", "k as a constant"),
        ("vector_kmeans(v, 'x')", "k as an integer"),
        ("vector_kmeans('x', 2)", "arrays of numbers"),
        ("vector_sum(n)", "arrays of numbers"),
    ] {
        let plan = async {
            let frame = context.sql(&format!("SELECT {call} {from}")).await?;
            frame.into_optimized_plan()
        };
        let message = plan.await.unwrap_err().to_string();
        assert!(message.contains(expected), "{call}: {message}");
    }
    let nan = "SELECT vector_kmeans([CAST('NaN' AS DOUBLE)], 2)";
    assert!(error(nan).await.contains("FILTER"), "{}", error(nan).await);
    assert!(
        error(
            "SELECT vector_kmeans(DISTINCT v, 2), vector_sum(DISTINCT v) FROM VALUES ([1]) AS t(v)"
        )
        .await
        .contains("DISTINCT")
    );
}
