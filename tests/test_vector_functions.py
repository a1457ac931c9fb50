"""Vector functions and aggregates against numpy, on a scheduler and two executors that are processes
of their own, every query distributed."""

import numpy as np
import pyarrow as pa
import pytest

ROWS, DIMENSION, PARTS = 3000, 48, 6
#: A FLOAT is a 2⁻²⁴th off at most; what is DOUBLE is computed of the same FLOATs in the same precision.
FLOAT = 2e-7
DOUBLE = 1e-12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from harness.shoal import Shoal

    deployment = Shoal("cluster", tmp_path_factory.mktemp("vectors"), {"query": {"placement": "distributed"}})
    yield deployment
    deployment.discard()


@pytest.fixture(scope="module")
def vectors(cluster):
    """Points around five centers, as the table `vectors` of several files: id, class, v; and as an array."""
    chance = np.random.default_rng(7)
    centers = chance.normal(size=(5, DIMENSION)) * 10
    labels = chance.integers(0, 5, ROWS)
    array = (centers[labels] + chance.normal(size=(ROWS, DIMENSION))).astype(np.float32)
    for part in range(PARTS):
        rows = range(part, ROWS, PARTS)
        table = pa.table({
            "id": pa.array(rows, pa.int64()),
            "class": pa.array(labels[rows], pa.int32()),
            "v": pa.array(list(array[rows]), pa.list_(pa.float32())),
        })
        with cluster.connect() as connection, connection.cursor() as cursor:
            mode = "create" if part == 0 else "append"
            cursor.adbc_ingest("vectors", table, mode=mode, catalog_name="lake", db_schema_name="default")
    return array, labels, centers


def by_id(cluster, expression: str) -> list:
    rows = cluster.rows(f"SELECT id, {expression} FROM vectors ORDER BY id")
    assert [id for id, *_ in rows] == list(range(ROWS))
    return [value for _, value in rows]


def literal(vector) -> str:
    return f"arrow_cast([{', '.join(repr(float(x)) for x in vector)}], 'List(Float32)')"


def test_measures_are_those_of_numpy(cluster, vectors):
    array = vectors[0].astype(np.float64)
    query = array[42]
    cosine = array @ query / np.linalg.norm(array, axis=1) / np.linalg.norm(query)
    expected = {
        "vector_inner_product": array @ query,
        "vector_cosine_similarity": cosine,
        "cosine_distance": 1 - cosine,
        "vector_l2_distance": np.linalg.norm(array - query, axis=1),
        "vector_l1_distance": np.abs(array - query).sum(axis=1),
    }
    for function, values in expected.items():
        found = by_id(cluster, f"{function}(v, {literal(vectors[0][42])})")
        np.testing.assert_allclose(found, values, rtol=DOUBLE, atol=1e-9, err_msg=function)
    # Without a constant: every vector with itself turned round.
    found = by_id(cluster, "vector_inner_product(v, vector_concat(vector_slice(v, -1, 1), vector_slice(v, 1, 47)))")
    np.testing.assert_allclose(found, (array * np.roll(array, 1, axis=1)).sum(axis=1), rtol=DOUBLE, atol=1e-9)


def test_norms_and_units_are_those_of_numpy(cluster, vectors):
    array = vectors[0].astype(np.float64)
    for degree, text in ((1, "1"), (2, "2"), (np.inf, "float('inf')")):
        norms = np.linalg.norm(array, degree, axis=1)
        np.testing.assert_allclose(by_id(cluster, f"vector_norm(v, {text})"), norms, rtol=FLOAT)
        units = by_id(cluster, f"vector_normalize(v, {text})")
        np.testing.assert_allclose(np.array(units), array / norms[:, None], rtol=FLOAT)
    schema = cluster.table("SELECT vector_norm(v) AS n, vector_normalize(v) AS u FROM vectors LIMIT 1").schema
    assert schema.field("n").type == pa.float32()
    assert schema.field("u").type.value_type == pa.float32()


def test_slices_and_dimensions_are_those_of_numpy(cluster, vectors):
    array = vectors[0]
    for start, length, part in ((1, 3, np.s_[0:3]), (-4, 2, np.s_[44:46]), (47, 9, np.s_[46:]), (99, 1, np.s_[0:0])):
        found = by_id(cluster, f"vector_slice(v, {start}, {length})")
        assert np.array_equal(np.array(found, np.float32).reshape(ROWS, -1), array[:, part]), (start, length)
    assert set(by_id(cluster, "vector_dimension(vector_concat(v, v))")) == {2 * DIMENSION}


def test_quantized_vectors_come_back_as_near_as_promised(cluster, vectors):
    array = vectors[0].astype(np.float64)
    quantized = by_id(cluster, "vector_quantize(v)")
    steps = np.array([row["values"] for row in quantized])
    scales = np.array([row["scale"] for row in quantized])
    assert np.array_equal(np.abs(steps).max(axis=1), np.full(ROWS, 127))
    np.testing.assert_allclose(scales, np.abs(array).max(axis=1) / 127, rtol=FLOAT)
    again = np.array(by_id(cluster, "vector_dequantize(vector_quantize(v))"))
    assert (np.abs(again - array) <= scales[:, None] / 2 * (1 + 1e-5)).all()


def test_differing_bits_are_counted(cluster, vectors):
    found = by_id(cluster, "hamming_distance(id * 2654435761, 123456789)")
    assert found == [((id * 2654435761) ^ 123456789).bit_count() for id in range(ROWS)]


def test_sums_and_means_of_groups_are_those_of_numpy(cluster, vectors):
    array, labels, _ = vectors
    array = array.astype(np.float64)
    rows = cluster.rows("SELECT class, vector_sum(v), vector_avg(v) FROM vectors GROUP BY class ORDER BY class")
    assert [group for group, *_ in rows] == list(range(5))
    for group, total, mean in rows:
        members = array[labels == group]
        np.testing.assert_allclose(total, members.sum(axis=0), rtol=FLOAT)
        np.testing.assert_allclose(mean, members.mean(axis=0), rtol=FLOAT)
    # Many groups, of few rows each.
    rows = cluster.rows("SELECT id % 1000, vector_sum(v), vector_avg(v) FROM vectors GROUP BY 1 ORDER BY 1")
    assert len(rows) == 1000
    np.testing.assert_allclose([total for _, total, _ in rows], array.reshape(3, 1000, -1).sum(axis=0), rtol=FLOAT, atol=1e-5)
    [[total, mean]] = cluster.rows("SELECT vector_sum(v), vector_avg(v) FROM vectors")
    np.testing.assert_allclose(total, array.sum(axis=0), rtol=FLOAT)
    np.testing.assert_allclose(mean, array.mean(axis=0), rtol=FLOAT)
    assert cluster.rows("SELECT vector_sum(v), vector_avg(v), vector_kmeans(v, 2) FROM vectors WHERE id < 0") == [(None,) * 3]


def test_clusters_are_those_that_the_points_were_made_around(cluster, vectors):
    array, labels, _ = vectors
    means = np.stack([array[labels == group].astype(np.float64).mean(axis=0) for group in range(5)])
    found = np.array(cluster.value("SELECT vector_kmeans(v, 5) FROM vectors"))
    order = np.argsort(-np.bincount(labels), kind="stable")
    np.testing.assert_allclose(found, means[order], rtol=1e-5, atol=1e-5)
    assert np.array_equal(found, cluster.value("SELECT vector_kmeans(v, 5) FROM vectors WHERE id >= 0"))
    for group, centroids in cluster.rows("SELECT class, vector_kmeans(v, 1) FROM vectors GROUP BY class"):
        np.testing.assert_allclose(centroids, [means[group]], rtol=1e-5, atol=1e-5)


def test_vectors_of_different_lengths_are_refused_by_name(cluster, vectors):
    for call in ("vector_sum(w)", "vector_avg(w)", "vector_kmeans(w, 3)"):
        with pytest.raises(Exception, match=f"{call[:10]}.* of the same length in a group"):
            cluster.rows(f"SELECT {call} FROM (SELECT vector_slice(v, 1, id) AS w FROM vectors WHERE id IN (5, 7))")
    with pytest.raises(Exception, match="vector_kmeans takes k from 1 to 1024, not 0"):
        cluster.rows("SELECT vector_kmeans(v, 0) FROM vectors")


def test_aggregates_are_listed_and_described(cluster):
    for name in ("vector_sum", "vector_avg", "vector_kmeans", "cosine_distance", "hamming_distance"):
        [(listed, about)] = cluster.rows(f"SHOW FUNCTIONS LIKE '{name}'")
        assert listed == name and about
        text = "\n".join(line for line, in cluster.rows(f"DESCRIBE FUNCTION EXTENDED {name}"))
        assert f"Usage: {name}(" in text and "SELECT" in text
