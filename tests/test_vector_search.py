"""Vector search against numpy's brute force, exact and through an index, in the scheduler and on executors."""

import threading

import numpy
import pyarrow
import pytest

DIMENSIONS = 32
K = 10


@pytest.fixture(params=["local", "distributed"])
def session(request, shoal, schema):
    """A connection whose statements run here or there, and the test's schema."""
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = {request.param}")
        cursor.fetchall()
        cursor.execute(f"USE {schema}")
        cursor.fetchall()
        yield cursor


def run(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def clustered(seed: int, rows: int) -> numpy.ndarray:
    """Vectors around 40 centers that are the same for every seed."""
    centers = numpy.random.default_rng(0).normal(size=(40, DIMENSIONS))
    random = numpy.random.default_rng(seed)
    vectors = centers[random.integers(0, 40, rows)] + 0.4 * random.normal(size=(rows, DIMENSIONS))
    return vectors.astype("float32")


def insert(cursor, ids, vectors):
    """One file of rows; a vector that is all NaN stands for none."""
    lists = [None if numpy.isnan(v[0]) else v.tolist() for v in vectors]
    table = pyarrow.table({
        "id": pyarrow.array(ids, pyarrow.int64()),
        "kind": pyarrow.array([int(i) % 3 for i in ids], pyarrow.int64()),
        "v": pyarrow.array(lists, pyarrow.list_(pyarrow.float32())),
    })
    cursor.adbc_ingest("vectors", table, mode="append")


def make(cursor, format="DELTA", rows=3000, files=3) -> numpy.ndarray:
    run(cursor, f"CREATE TABLE vectors (id BIGINT, kind BIGINT, v ARRAY<FLOAT>) USING {format}")
    vectors = clustered(1, rows)
    vectors[::50] = numpy.nan
    for part in numpy.array_split(numpy.arange(rows), files):
        insert(cursor, part, vectors[part])
    return vectors


def cosine(vectors, query):
    wide = vectors.astype("float64")
    return 1 - wide @ query / (numpy.linalg.norm(wide, axis=1) * numpy.linalg.norm(query))


def l2(vectors, query):
    return numpy.linalg.norm(vectors.astype("float64") - query, axis=1)


def nearest(distances, keep=None) -> list[int]:
    distances = numpy.where(numpy.isnan(distances), numpy.inf, distances)
    if keep is not None:
        distances = numpy.where(keep, distances, numpy.inf)
    return numpy.argsort(distances, kind="stable")[:K].tolist()


def literal(query) -> str:
    return "[" + ", ".join(repr(float(x)) for x in query) + "]"


def ids(rows) -> list[int]:
    return [row[0] for row in rows]


@pytest.mark.parametrize("format", ["DELTA", "ICEBERG"])
def test_an_exact_search_is_brute_force(session, format):
    vectors = make(session, format)
    kinds = numpy.arange(len(vectors)) % 3
    for query in clustered(9, 3).astype("float64"):
        for metric, distance in [("cosine", cosine), ("l2", l2)]:
            found = run(session, f"SELECT id, distance FROM vector_search('vectors', 'v', {literal(query)}, {K}, metric => '{metric}')")
            expected = distance(vectors, query)
            assert ids(found) == nearest(expected)
            numpy.testing.assert_allclose([d for _, d in found], expected[ids(found)], rtol=1e-5, atol=1e-6)
        filtered = run(session, f"SELECT id FROM vector_search('vectors', 'v', {literal(query)}, {K}, filter => 'kind = 1 AND id < 2000')")
        keep = (kinds == 1) & (numpy.arange(len(vectors)) < 2000)
        assert ids(filtered) == nearest(cosine(vectors, query), keep)


def test_the_vector_may_be_bound(session):
    vectors = make(session, rows=300, files=1)
    query = clustered(9, 1)[0]
    bound = pyarrow.record_batch({
        "1": pyarrow.array([query.tolist()], pyarrow.list_(pyarrow.float64())),
    })
    found = run(session, f"SELECT id FROM vector_search('vectors', 'v', ?, {K})", bound)
    assert ids(found) == nearest(cosine(vectors, query))


@pytest.mark.parametrize("format, using", [("DELTA", "IVF"), ("ICEBERG", "IVF"), ("DELTA", "HNSW")])
def test_an_index_finds_nearly_all(session, format, using):
    vectors = make(session, format)
    run(session, f"CREATE INDEX near ON vectors USING {using} (v)")
    [[table, index, column, kind, metric, count, covered, _]] = run(session, "SHOW INDEXES ON vectors")
    assert (index, column, kind, metric, count, covered) == ("near", "v", using, "cosine", "2940", "3 of 3")
    queries = clustered(9, 20).astype("float64")
    for search in (f"SELECT id FROM vector_search('vectors', 'v', {literal(queries[0])}, {K})",
                   f"SELECT id FROM vectors ORDER BY cosine_distance(v, {literal(queries[0])}) LIMIT {K}"):
        plan = run(session, f"EXPLAIN {search}")
        assert any("rows=20 of" in text for _, text in plan), plan
    hits = 0
    for query in queries:
        found = ids(run(session, f"SELECT id FROM vectors ORDER BY cosine_distance(v, {literal(query)}) LIMIT {K}"))
        assert len(set(found)) == K
        hits += len(set(found) & set(nearest(cosine(vectors, query))))
    assert hits / (K * len(queries)) >= 0.95


def test_an_index_of_a_file_that_scans_would_cut_knows_its_rows(start):
    shoal = start("serve", {"write": {"row_group_bytes": "1MiB"}})
    rows = 100_000
    vectors = clustered(1, rows)
    with shoal.connect() as connection, connection.cursor() as session:
        run(session, "CREATE TABLE vectors (id BIGINT, kind BIGINT, v ARRAY<FLOAT>)")
        insert(session, range(rows), vectors)
        [file] = shoal.location("default", "vectors").glob("*.parquet")
        assert file.stat().st_size > 10 << 20, "smaller files are not cut"
        for placement in ("local", "distributed"):
            run(session, f"SET query.placement = {placement}")
            run(session, "CREATE INDEX near ON vectors USING IVF (v) WITH (lists = 4, probes = 4)")
            assert run(session, "SHOW INDEXES ON vectors")[0][5] == str(rows)
            for query in clustered(9, 5).astype("float64"):
                found = run(session, f"SELECT id FROM vector_search('vectors', 'v', {literal(query)}, {K})")
                assert ids(found) == nearest(cosine(vectors, query)), "all lists are looked at"
            run(session, "DROP INDEX near ON vectors")


def test_what_came_and_went_since_an_index_was_made(session):
    make(session)
    run(session, "CREATE INDEX near ON vectors USING IVF (v)")
    query = numpy.full(DIMENSIONS, 7.0)
    search = f"SELECT id FROM vector_search('vectors', 'v', {literal(query)}, 1)"
    insert(session, [9001], numpy.full((1, DIMENSIONS), 7.1, "float32"))
    assert run(session, search) == [(9001,)]
    run(session, "REFRESH INDEX near ON vectors")
    assert run(session, "SHOW INDEXES ON vectors")[0][6] == "4 of 4"
    assert run(session, search) == [(9001,)]
    run(session, "INSERT OVERWRITE vectors SELECT * FROM vectors WHERE id <> 9001 AND id >= 100")
    found = ids(run(session, f"SELECT id FROM vector_search('vectors', 'v', {literal(query)}, 50)"))
    assert len(found) == 50 and 9001 not in found and min(found) >= 100
    run(session, "REFRESH INDEX near ON vectors")
    again = ids(run(session, f"SELECT id FROM vector_search('vectors', 'v', {literal(query)}, 50)"))
    assert len(again) == 50 and 9001 not in again and min(again) >= 100


def test_refreshing_while_rows_come(shoal, schema, session):
    make(session)
    run(session, "CREATE INDEX near ON vectors USING IVF (v)")
    failures = []

    def refresh():
        try:
            for _ in range(4):
                shoal.run(f"REFRESH INDEX near ON {schema}.vectors")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(4):
        insert(session, [9000 + n], numpy.full((1, DIMENSIONS), 7.0 + n, "float32"))
    for thread in threads:
        thread.join()
    assert not failures
    found = ids(run(session, f"SELECT id FROM vector_search('vectors', 'v', {literal(numpy.full(DIMENSIONS, 7.0))}, 4, metric => 'cosine')"))
    assert sorted(found) == [9000, 9001, 9002, 9003]
    run(session, "REFRESH INDEX near ON vectors")
    [[_, _, _, _, _, count, covered, _]] = run(session, "SHOW INDEXES ON vectors")
    assert covered == "7 of 7" and int(count) >= 2944, "a file may be covered twice, never not at all"


def test_dropping_a_table_removes_its_indexes(shoal):
    shoal.run("CREATE TABLE processed.indexed AS SELECT 1 AS id, [1.0, 2.0] AS v",
              "CREATE INDEX near ON processed.indexed USING IVF (v)")
    location = shoal.location("processed", "indexed")
    assert list(location.rglob("*.segment"))
    shoal.run("DROP TABLE processed.indexed")
    assert not list(location.rglob("*.segment")) and list(location.rglob("*.parquet"))


def test_near_duplicates_are_those_of_brute_force(session):
    random = numpy.random.default_rng(3)
    base = random.integers(0, 2**63, 60, dtype="uint64")
    hashes = []
    for number in base:
        for _ in range(5):
            flips = random.choice(64, random.integers(0, 9), replace=False)
            hashes.append(int(number) ^ sum(1 << int(bit) for bit in flips))
    values = ", ".join(f"('{n:04}', {h if h < 2**63 else h - 2**64})" for n, h in enumerate(hashes))
    run(session, "CREATE TABLE hashes (id STRING, hash BIGINT)")
    run(session, f"INSERT INTO hashes VALUES {values}")
    for distance in (0, 3, 10):
        expected = {(f"{a:04}", f"{b:04}", (hashes[a] ^ hashes[b]).bit_count())
                    for a in range(len(hashes)) for b in range(a + 1, len(hashes))
                    if (hashes[a] ^ hashes[b]).bit_count() <= distance}
        found = run(session, f"SELECT * FROM image_duplicates('hashes', 'hash', {distance})")
        assert len(found) == len(expected) and set(found) == expected
