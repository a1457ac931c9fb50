//! The vector functions through SQL. Numbers to compare with were computed by numpy in float64.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, RecordBatch,
};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int8Type};
use datafusion::common::ScalarValue;
use datafusion::execution::FunctionRegistry as _;
use datafusion::prelude::{SessionContext, col, lit};

use super::tests::{context, error, rows, run, vector_columns};

const A: [f32; 10] = [0.5, -1.25, 3.0, 0.75, 2.0, -0.5, 1.5, 4.0, -2.25, 0.125];
const B: [f32; 10] = [1.0, 0.5, -2.0, 0.25, 1.5, 3.0, -0.75, 2.0, 0.5, -1.0];

/// A session with a table `t` of one row per vector, as FLOATs of known length.
fn fixed(name: &str, dimension: i32, values: &[f32]) -> SessionContext {
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values: ArrayRef = Arc::new(Float32Array::from(values.to_vec()));
    let list: ArrayRef = Arc::new(FixedSizeListArray::new(field, dimension, values, None));
    let context = context();
    let batch = RecordBatch::try_from_iter([(name, list)]).unwrap();
    context.register_batch("t", batch).unwrap();
    context
}

async fn column(context: &SessionContext, sql: &str) -> ArrayRef {
    let batches = run(context, sql).await.unwrap();
    Arc::clone(batches[0].column(0))
}

#[tokio::test]
async fn measures_are_those_of_numpy() {
    let text = |v: [f32; 10]| format!("arrow_cast({v:?}, 'List(Float32)')");
    let (a, b) = (text(A), text(B));
    for (function, expected) in [
        ("vector_inner_product", 1.1875),
        ("vector_cosine_similarity", 0.04022360063150471),
        ("cosine_distance", 1.0 - 0.04022360063150471),
        ("vector_l2_distance", 7.678093838968107),
        ("vector_l1_distance", 19.875),
    ] {
        // As two constants, as a column and a constant on either side, as two columns.
        for sql in [
            format!("SELECT {function}({a}, {b})"),
            format!("SELECT {function}(a, {b}) FROM (VALUES ({a}), ({a})) AS t(a)"),
            format!("SELECT {function}({b}, a) FROM (VALUES ({a}), ({a})) AS t(a)"),
            format!("SELECT {function}(a, b) FROM (VALUES ({a}, {b}), ({a}, {b})) AS t(a, b)"),
        ] {
            let answers = column(&context(), &sql).await;
            let answers = answers.as_primitive::<Float64Type>();
            assert!(!answers.is_empty());
            for answer in answers.values() {
                assert!((answer - expected).abs() < 1e-14, "{sql}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn nan_and_infinity_count_as_in_ieee_and_no_direction_is_null() {
    let answers = rows(
        &context(),
        "SELECT vector_cosine_similarity(v, [1, 0]), cosine_distance([1, 0], v), \
         vector_l2_distance(v, [1, 0]), vector_l1_distance(v, v), vector_inner_product(v, [1, 0]), \
         vector_norm(v), vector_norm(v, 1), vector_norm(v, CAST('inf' AS DOUBLE)) FROM VALUES \
         ([CAST('NaN' AS DOUBLE), 1]), ([CAST('inf' AS DOUBLE), 1]), ([0, 0]) AS t(v)",
    )
    .await;
    assert_eq!(
        answers,
        [
            "NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN",
            "NaN,NaN,inf,NaN,inf,inf,inf,inf",
            ",,1.0,0.0,0.0,0.0,0.0,0.0",
        ]
    );
}

#[tokio::test]
async fn lengths_that_differ_are_named_in_order() {
    for function in [
        "vector_cosine_similarity",
        "cosine_distance",
        "vector_l2_distance",
        "vector_l1_distance",
        "vector_inner_product",
    ] {
        for from in [
            "([1, 2, 3], [1, 2]) FROM (VALUES (1)) AS t(x)",
            "(v, [1, 2]) FROM (VALUES ([1, 2, 3]), ([1, 2, 3])) AS t(v)",
            "([1, 2, 3], v) FROM (VALUES ([1, 2]), ([1, 2])) AS t(v)",
            "(v, w) FROM (VALUES ([1, 2, 3], [1, 2]), ([1], [1])) AS t(v, w)",
        ] {
            let message = error(&format!("SELECT {function}{from}")).await;
            let expected =
                format!("{function} takes two vectors of the same length, not of 3 and 2");
            assert!(message.contains(&expected), "{from}: {message}");
        }
    }
}

#[tokio::test]
async fn norms_are_those_of_numpy_and_float_for_floats() {
    let context = fixed("v", 10, &A);
    let norms = [
        ("vector_norm(v)", 6.241244_f32),
        ("vector_norm(v, 2)", 6.241244),
        ("vector_norm(v, 1.0)", 15.875),
        ("vector_norm(v, CAST('inf' AS FLOAT))", 4.0),
    ];
    for (call, expected) in norms {
        let norm = column(&context, &format!("SELECT {call} FROM t")).await;
        assert_eq!(
            norm.as_primitive::<Float32Type>().values(),
            &[expected],
            "{call}"
        );
    }
    let norm = column(
        &context,
        "SELECT vector_norm(arrow_cast(v, 'List(Float64)')) FROM t",
    )
    .await;
    let norm = norm.as_primitive::<Float64Type>().value(0);
    assert!((norm - 6.241243866409964).abs() < 1e-14);
}

#[tokio::test]
async fn normalizing_keeps_the_length_and_divides_by_the_norm_asked_for() {
    let context = fixed("v", 2, &[3.0, 4.0, 0.0, 0.0]);
    let sql = "SELECT vector_normalize(v, 1) FROM t";
    let units = column(&context, sql).await;
    let units = units.as_fixed_size_list();
    assert_eq!((units.value_length(), units.null_count()), (2, 1));
    let unit = units.value(0);
    assert_eq!(
        unit.as_primitive::<Float32Type>().values(),
        &[3.0 / 7.0, 4.0 / 7.0]
    );
    let answers = rows(
        &context,
        "SELECT vector_normalize(v, CAST('inf' AS DOUBLE)), vector_normalize(v, NULL), \
         vector_norm(arrow_cast([], 'List(Float32)')), \
         vector_normalize(arrow_cast([], 'List(Float32)')) FROM t",
    )
    .await;
    assert_eq!(answers, ["[0.75, 1.0],,0.0,[]", ",,0.0,[]"]);
}

#[tokio::test]
async fn a_degree_that_is_not_there_fails_while_planning() {
    let context = context();
    for (call, expected) in [
        ("vector_norm([1], 3)", "degree 1, 2 or float('inf'), not 3"),
        (
            "vector_normalize([1], 0.5)",
            "degree 1, 2 or float('inf'), not 0.5",
        ),
        ("vector_norm([1], 'x')", "degree as a number"),
    ] {
        let message = context.sql(&format!("SELECT {call}")).await.unwrap_err();
        assert!(message.to_string().contains(expected), "{message}");
    }
}

#[tokio::test]
async fn slices_are_indexed_as_spark_does() {
    let answers = rows(
        &context(),
        "SELECT vector_slice(v, 2, 2), vector_slice(v, -2, 9), vector_slice(v, 5, 1), \
         vector_slice(v, -5, 2), vector_slice(v, 1, 0), vector_slice(v, n, 1) FROM VALUES \
         ([1, 2, 3, 4], 4), (NULL, 1), ([1, 2, NULL, 4], 1), ([1, 2, 3, 4], NULL) AS t(v, n)",
    )
    .await;
    let whole = "[2.0, 3.0],[3.0, 4.0],[],[],[]";
    let expected = [
        format!("{whole},[4.0]"),
        ",,,,,".into(),
        ",,,,,".into(),
        format!("{whole},"),
    ];
    assert_eq!(answers, expected);
    for (call, expected) in [
        ("vector_slice([1], 0, 1)", "start is 0"),
        ("vector_slice([1], 1, -1)", "a length of 0 or more, not -1"),
        ("vector_slice([1], 1, 'x')", "as integers"),
    ] {
        let message = context().sql(&format!("SELECT {call}")).await.unwrap_err();
        assert!(message.to_string().contains(expected), "{message}");
    }
}

#[tokio::test]
async fn slices_and_concatenations_of_known_length_have_known_length() {
    let context = fixed("v", 4, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    for (call, length, second) in [
        ("vector_slice(v, 2, 2)", 2, &[6.0, 7.0][..]),
        ("vector_slice(v, -1, 5)", 1, &[8.0]),
        (
            "vector_concat(v, vector_slice(v, 1, 1))",
            5,
            &[5.0, 6.0, 7.0, 8.0, 5.0],
        ),
    ] {
        let lists = column(&context, &format!("SELECT {call} FROM t")).await;
        let lists = lists.as_fixed_size_list();
        assert_eq!(lists.value_length(), length, "{call}");
        let row = lists.value(1);
        assert_eq!(row.as_primitive::<Float32Type>().values(), second, "{call}");
    }
    // What is a number only when it has been computed would have one type first and another then.
    let sql = "SELECT vector_slice(v, 1 + 1, 2) FROM t";
    let message = context.sql(sql).await.unwrap_err().to_string();
    assert!(message.contains("as plain numbers"), "{message}");
    let sql = "SELECT vector_slice(arrow_cast(v, 'List(Float32)'), 1 + 1, 2) FROM t";
    assert_eq!(rows(&context, sql).await, ["[2.0, 3.0]", "[6.0, 7.0]"]);
}

#[tokio::test]
async fn vectors_of_any_type_are_concatenated() {
    for column in vector_columns() {
        let kind = column.data_type().clone();
        let context = context();
        let batch = RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap();
        context.register_batch("vectors", batch).unwrap();
        let answers = rows(
            &context,
            "SELECT vector_concat(v, [5], v), vector_concat(v), vector_dimension(v) FROM vectors",
        )
        .await;
        let whole = "[3.0, 4.0, 5.0, 3.0, 4.0],[3.0, 4.0],2";
        let zeros = "[0.0, 0.0, 5.0, 0.0, 0.0],[0.0, 0.0],2";
        assert_eq!(answers, [whole, ",,", zeros, ",,"], "{kind}");
    }
    assert!(
        error("SELECT vector_concat()")
            .await
            .contains("vector_concat")
    );
    assert!(
        error("SELECT vector_concat([1], 2)")
            .await
            .contains("arrays of numbers")
    );
}

#[tokio::test]
async fn quantizing_is_off_by_half_a_step_at_most() {
    let values: Vec<f32> = (0..640)
        .map(|i| (i as f32 * 0.37).sin() * (i / 64) as f32)
        .collect();
    let context = fixed("v", 64, &values);
    let small = column(&context, "SELECT vector_quantize(v) FROM t").await;
    let small = small.as_struct();
    let scales = small.column(0).as_primitive::<Float32Type>().clone();
    let steps = small.column(1).as_fixed_size_list().clone();
    assert_eq!(steps.value_length(), 64);
    let again = column(
        &context,
        "SELECT vector_dequantize(vector_quantize(v)) FROM t",
    )
    .await;
    let again = again.as_fixed_size_list();
    for row in 0..10 {
        let original = &values[row * 64..][..64];
        let largest = original.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let scale = scales.value(row);
        assert_eq!(scale, (f64::from(largest) / 127.0) as f32);
        let row_steps = steps.value(row);
        let largest_step = row_steps.as_primitive::<Int8Type>().iter().flatten();
        let largest_step = largest_step.map(i8::unsigned_abs).max().unwrap();
        assert_eq!(largest_step, if row == 0 { 0 } else { 127 });
        let near = again.value(row);
        for (x, y) in original
            .iter()
            .zip(near.as_primitive::<Float32Type>().values())
        {
            assert!(
                (x - y).abs() <= scale / 2.0 * (1.0 + 1e-5),
                "{x} became {y}"
            );
        }
    }
}

#[tokio::test]
async fn quantizing_keeps_null_and_turns_what_is_not_finite_into_nan() {
    let answers = rows(
        &context(),
        "SELECT vector_quantize(v), vector_dequantize(vector_quantize(v)) FROM VALUES \
         ([0, 0]), (NULL), ([1, NULL]), ([1, CAST('NaN' AS DOUBLE)]), ([1e300, 1]), ([]) AS t(v)",
    )
    .await;
    let nan = "{scale: NaN, values: [0, 0]},[NaN, NaN]";
    let zeros = "{scale: 0.0, values: [0, 0]},[0.0, 0.0]";
    assert_eq!(
        answers,
        [zeros, ",", ",", nan, nan, "{scale: 0.0, values: []},[]"]
    );
    assert_eq!(
        rows(&context(), "SELECT vector_dequantize(NULL)").await,
        [""]
    );
    assert!(
        error("SELECT vector_dequantize([1])")
            .await
            .contains("STRUCT<scale FLOAT, values")
    );
}

#[tokio::test]
async fn bits_that_differ_are_counted() {
    let context = context();
    let bytes = [[0xff_u8; 11].to_vec(), [0x0f; 11].to_vec()];
    let column: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap());
    let batch = RecordBatch::try_from_iter([("h", column)]).unwrap();
    context.register_batch("t", batch).unwrap();
    let answers = rows(
        &context,
        "SELECT hamming_distance(h, h), hamming_distance(h, X'ffffffffffffffffffffff'), \
         hamming_distance(X'0000000000000000000001', h), hamming_distance(5, 2), \
         hamming_distance(-1, 0), hamming_distance(CAST(-1 AS INT), CAST(0 AS TINYINT)) AS narrow, \
         hamming_distance(NULL, h), hamming_distance(NULL, NULL) FROM t",
    )
    .await;
    assert_eq!(answers, ["0,0,87,3,64,64,,", "0,44,43,3,64,64,,"]);
    for (call, expected) in [
        ("hamming_distance(X'00', X'0000')", "not of 1 and 2 bytes"),
        ("hamming_distance('00', '01')", "unhex"),
        ("hamming_distance(X'00', 1)", "two integers or two BINARY"),
        ("hamming_distance(1.5, 1)", "integers or BINARY, not"),
    ] {
        let message = error(&format!("SELECT {call}")).await;
        assert!(message.contains(expected), "{call}: {message}");
    }
}

#[test]
fn cosine_distance_is_ours_and_not_the_one_of_datafusion() {
    let mut state = SessionContext::new().state();
    crate::register_functions(&mut state, shoal_images::probe::Limits::default()).unwrap();
    let documentation = state.scalar_functions()["cosine_distance"]
        .documentation()
        .unwrap();
    assert_eq!(documentation.doc_section.label, "Vector functions");
    for name in ["vector_sum", "vector_avg", "vector_kmeans"] {
        assert!(state.aggregate_functions().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn an_unnested_class_is_found_once_and_null_for_what_has_no_direction() {
    let context = fixed("v", 2, &[1.0, 0.1, 0.2, 1.0, 0.0, 0.0]);
    for (call, expected) in [
        (
            "vector_classify(v, [[1, 0], [0, 1], [1, 1]], ['a', 'b', 'b'], 1)",
            ["a,true", "b,true", ",false"],
        ),
        (
            "vector_cluster(v, [[0, 1], [1, 0]])",
            ["1,true", "0,true", "0,true"],
        ),
    ] {
        let sql = format!(
            "SELECT class, (confidence >= 0 AND seconds >= 0) IS TRUE FROM (SELECT unnest({call}) FROM t) \
             AS found(class, confidence, seconds)"
        );
        assert_eq!(rows(&context, &sql).await, expected);
        let plan = rows(&context, &format!("EXPLAIN {sql} WHERE class IS NOT NULL")).await;
        let computed = plan.iter().filter(|line| line.contains("(v@0, "));
        let calls: usize = computed.map(|line| line.matches("(v@0, ").count()).sum();
        assert_eq!(calls, 1, "{plan:#?}");
    }
}

#[tokio::test]
async fn long_constants_are_named_by_length_and_hash_and_kept_apart() {
    let values: Vec<f32> = [A, B].concat();
    let turned: Vec<f32> = [B, A].concat();
    let context = fixed("v", 20, &values);
    let distance = context.udf("cosine_distance").unwrap();
    let to = |values: &[f32]| {
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let numbers: ArrayRef = Arc::new(Float32Array::from(values.to_vec()));
        let list = FixedSizeListArray::new(item, 20, numbers, None);
        let literal = lit(ScalarValue::FixedSizeList(Arc::new(list)));
        distance.call(vec![col("v"), literal])
    };
    let table = context.table("t").await.unwrap();
    let both = table.select(vec![to(&values), to(&turned)]).unwrap();
    let names = both.schema().fields().iter().map(|field| field.name());
    let names: Vec<String> = names.cloned().collect();
    assert!(
        names[0].starts_with("cosine_distance(t.v,[20 numbers #"),
        "{names:?}"
    );
    assert_ne!(names[0], names[1]);
    let batches = both.collect().await.unwrap();
    let answer = |column: usize| {
        batches[0]
            .column(column)
            .as_primitive::<Float64Type>()
            .value(0)
    };
    assert!(answer(0).abs() < 1e-12 && answer(1) > 0.01, "{batches:?}");
}
