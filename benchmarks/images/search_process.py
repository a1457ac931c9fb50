"""Nearest neighbors in one engine, in a process of its own: `search_process.py ENGINE SOURCE K RUNS FOLDER`.

SOURCE holds vectors.npy, queries.npy, the same queries as queries.f32 without a head, and the same vectors
as a Delta table. The queries are asked one after the other, with all cores for each. Prints a JSON line with the seconds that making the table and
its index took, and one per setting of the search: its name, the seconds of the fastest run over all
queries, the ids found.
"""

import functools
import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tests")]

import numpy as np  # noqa: E402

import index_libraries  # noqa: E402
import shoal_queries  # noqa: E402
from processes import CORES  # noqa: E402


EXACT_QUERIES = 20


@contextmanager
def brute_force(source, k, folder):
    """A product of the matrix with the query and a partial sort."""
    def build():
        vectors = np.load(source / "vectors.npy")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return {"exact": lambda: functools.partial(nearest, vectors)}

    def nearest(vectors, query):
        closeness = vectors @ query
        best = np.argpartition(closeness, -k)[-k:]
        return best[np.argsort(-closeness[best])].tolist()

    yield build


@contextmanager
def duckdb(source, k, folder):
    import duckdb as package
    with package.connect(folder / "vectors.duckdb", config={"threads": CORES}) as connection:
        def build():
            rows = delta(source).to_pyarrow_dataset().scanner().to_reader()
            size = np.load(source / "queries.npy").shape[1]
            connection.register("staged", rows)
            connection.execute(f"CREATE TABLE vectors AS SELECT id, v::FLOAT[{size}] AS v FROM staged")
            sql = f"SELECT id FROM vectors ORDER BY array_cosine_distance(v, ?::FLOAT[{size}]) LIMIT {k}"
            return {"exact": lambda: lambda query: [row[0] for row in connection.execute(sql, [query.tolist()]).fetchall()]}

        yield build


def delta(source):
    import deltalake
    return deltalake.DeltaTable(source / "delta")


def lancedb(source, k, folder, index=None):
    """`index` gives the configuration of an index and the settings to search it with."""
    import lancedb as package

    @contextmanager
    def engine():
        def build():
            vectors = np.load(source / "vectors.npy", mmap_mode="r")
            table = package.connect(folder / "lance").create_table("vectors", lance_batches(vectors))
            if index is None:
                return {"exact": lambda: functools.partial(nearest, table, lambda search: search)}
            configuration, settings = index(vectors.shape[1])
            table.create_index("v", config=configuration)
            return {name: functools.partial(functools.partial, nearest, table, change) for name, change in settings.items()}

        def nearest(table, change, query):
            search = change(table.search(query, "v").distance_type("cosine"))
            return search.select(["id"]).limit(k).to_arrow()["id"].to_pylist()

        yield build

    return engine()


def lance_batches(vectors):
    """The vectors as Arrow, some at a time."""
    import pyarrow
    size = vectors.shape[1]
    schema = pyarrow.schema([("id", pyarrow.int64()), ("v", pyarrow.list_(pyarrow.float32(), size))])

    def batches():
        for start in range(0, len(vectors), 10_000):
            part = vectors[start:start + 10_000]
            values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(part.ravel()), size)
            yield pyarrow.record_batch([pyarrow.array(np.arange(start, start + len(part))), values], schema)

    return pyarrow.RecordBatchReader.from_batches(schema, batches())


def ivf_pq(size):
    """As LanceDB's guide recommends: a code of one byte for eight numbers, candidates refined."""
    from lancedb.index import IvfPq
    settings = {f"nprobes {probes}, refine {factor}": lambda search, p=probes, f=factor: search.nprobes(p).refine_factor(f)
                for factor in (5, 20) for probes in (5, 10, 20, 50, 100)}
    return IvfPq(distance_type="cosine", num_sub_vectors=size // 8), settings


def ivf_hnsw_sq(size):
    from lancedb.index import HnswSq
    settings = {f"ef {ef}, refine {factor}": lambda search, e=ef, f=factor: search.ef(e).refine_factor(f)
                for factor, least in ((1, 16), (5, 64)) for ef in (16, 32, 64, 128, 256) if ef >= least}
    return HnswSq(distance_type="cosine"), settings


@contextmanager
def shoal(source, k, folder, index=None):
    import pyarrow
    from harness.shoal import Shoal
    settings = {"cluster": {"executor": {"vcores": CORES, "memory": "4GiB"}}}
    deployment = Shoal("serve", folder, settings)
    try:
        with deployment.connect() as connection, connection.cursor() as cursor:
            def execute(sql):
                cursor.execute(sql)
                return cursor.fetchall()

            def nearest(query):
                vector = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(query), len(query))
                cursor.execute(shoal_queries.nearest(k), pyarrow.record_batch({"1": vector}))
                return cursor.fetch_arrow_table()["id"].to_pylist()

            def with_breadth(number):
                set_breadth(deployment.location("default", "vectors"), number)
                return nearest

            def build():
                query = np.load(source / "queries.npy")[0]
                for sql in shoal_queries.make_vectors(source / "delta", len(query)):
                    execute(sql)
                if index is None:
                    return {"exact": lambda: nearest}
                execute(shoal_queries.create_index(index))
                if not any("rows=" in text for _, text in execute(shoal_queries.plan_of_nearest(query, k))):
                    raise RuntimeError("the search does not use the index")
                option, numbers = shoal_queries.BREADTHS[index]
                settings = {f"{option} {number}": functools.partial(with_breadth, number) for number in numbers}
                return {"default": lambda: nearest, **settings}

            yield build
    finally:
        deployment.discard()


def set_breadth(table, number):
    """Has searches look at so many lists or nodes. No statement changes that for an index that is there, and
    making it anew for each number would take hours, so this writes the description of the index that
    `CREATE INDEX … WITH` that number would have written, and waits until the server, which keeps
    descriptions for five seconds, reads it."""
    versions = table / "_shoal_index" / shoal_queries.INDEX
    newest = max(versions.glob("*.json"))
    manifest = json.loads(newest.read_text())
    (versions / f"{int(newest.stem) + 1:020}.json").write_text(json.dumps({**manifest, "breadth": number}))
    time.sleep(6)


def become_index_search(kind, source, k, runs):
    """Goes on as the program that measures Shoal's index alone; it prints the same lines."""
    from harness.shoal import program
    _, numbers = shoal_queries.BREADTHS[kind]
    command = [program("index-search"), "--kind", kind.lower(), "--queries", source / "queries.f32", "--k", k,
               "--runs", runs, "--threads", CORES, "--probes", ",".join(map(str, numbers)), source / "delta"]
    os.execv(command[0], [str(part) for part in command])


#: Engines by name: each gives a function that makes the table and returns, by name of a setting, what
#: puts that setting into force and returns the search.
ENGINES = {
    "numpy": brute_force,
    "DuckDB": duckdb,
    "LanceDB": lancedb,
    "LanceDB IVF_PQ": lambda *place: lancedb(*place, index=ivf_pq),
    "LanceDB IVF_HNSW_SQ": lambda *place: lancedb(*place, index=ivf_hnsw_sq),
    "Shoal": shoal,
    "Shoal IVF": lambda *place: shoal(*place, index="IVF"),
    "Shoal HNSW": lambda *place: shoal(*place, index="HNSW"),
    **index_libraries.ENGINES,
}
#: Shoal's index alone is measured by a program of its own.
ALONE = {"Shoal IVF alone": "IVF", "Shoal HNSW alone": "HNSW"}


def main(engine: str, source: Path, k: int, runs: int, folder: Path):
    if engine in ALONE:
        become_index_search(ALONE[engine], source, k, runs)
    queries = np.load(source / "queries.npy")
    with ENGINES[engine](source, k, folder) as build:
        began = time.perf_counter()
        searches = build()
        print(json.dumps({"built": time.perf_counter() - began}), flush=True)
        if list(searches) == ["exact"]:
            queries = queries[:EXACT_QUERIES]
        for name, start in searches.items():
            search = start()
            search(queries[0])
            seconds = []
            for _ in range(runs):
                began = time.perf_counter()
                found = [search(query) for query in queries]
                seconds.append(time.perf_counter() - began)
            print(json.dumps({"setting": name, "seconds": min(seconds), "found": found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
