"""Nearest neighbors among many vectors: queries per second against recall, building, and memory."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.minio import CACHE

from processes import run

SIZE, QUERIES, K = 256, 100, 10
SEED = 3
#: Name of an engine, as search_process.py has it: title, runs of which the fastest counts.
EXACT = {
    "numpy": ("numpy, brute force", 2),
    "DuckDB": ("DuckDB, exact", 1),
    "LanceDB": ("LanceDB, exact", 1),
    "Shoal": ("Shoal, exact", 1),
}
INDEXED = {
    "LanceDB IVF_PQ": ("LanceDB, IVF_PQ", 7),
    "LanceDB IVF_HNSW_SQ": ("LanceDB, IVF_HNSW_SQ", 7),
    "Shoal IVF": ("Shoal, IVF", 7),
    "Shoal HNSW": ("Shoal, HNSW", 7),
}
#: Called in process, without SQL, a wire or a table.
ALONE = {
    "Shoal IVF alone": ("Shoal's IVF", 5),
    "faiss IVF-Flat": ("faiss, IVF-Flat", 5),
    "Shoal HNSW alone": ("Shoal's HNSW", 5),
    "faiss HNSW": ("faiss, HNSW", 5),
    "hnswlib": ("hnswlib", 5),
    "usearch": ("usearch, HNSW", 5),
}
ENGINES = {**EXACT, **INDEXED, **ALONE}
#: Recalls at which indexes are compared.
LEVELS = (0.90, 0.95, 0.99)
#: Name: how far centers of clusters are apart, the part of the vectors that is searched, the engines.
DATA = {
    "in clusters": (1.0, 1.0, ENGINES),
    "hardly in clusters": (0.3, 0.2, {**INDEXED, **ALONE}),
}
#: Seconds after which an engine is given up.
TIMEOUT = 3600


def clustered(count: int, apart: float = 1.0) -> np.ndarray:
    """Vectors as a network gives them for pictures: a thousand clusters of unequal size, most of what
    varies lies in few directions, lengths differ. With centers less far apart there is less that an
    index could go by. The last `QUERIES` of them are the queries."""
    random = np.random.default_rng(SEED)
    spectrum = (1 / np.sqrt(1 + np.arange(SIZE) / 16)).astype(np.float32)
    clusters = max(10, round(count**0.5))
    centers = np.float32(apart) * random.standard_normal((clusters, SIZE), np.float32) * spectrum
    shares = 1 / np.arange(1, clusters + 1) ** 0.5
    of = random.choice(clusters, count + QUERIES, p=shares / shares.sum())
    # One turn for all, so that no single coordinate says much.
    turn = np.linalg.qr(random.standard_normal((SIZE, SIZE)))[0].astype(np.float32)
    vectors = np.empty((count + QUERIES, SIZE), np.float32)
    for start in range(0, len(vectors), 100_000):
        part = of[start:start + 100_000]
        vectors[start:start + len(part)] = (
            centers[part] + 0.7 * spectrum * random.standard_normal((len(part), SIZE), np.float32)) @ turn
    return vectors


def truth(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Ids of the k nearest of each query by cosine distance: candidates in single precision, their
    order in double precision."""
    lengths = np.linalg.norm(vectors, axis=1)
    closest = []
    for query in queries:
        candidates = np.argpartition(-(vectors @ query) / lengths, 10 * K)[: 10 * K]
        exact = vectors[candidates].astype(np.float64)
        closeness = exact @ query.astype(np.float64) / np.linalg.norm(exact, axis=1)
        closest.append(candidates[np.argsort(-closeness)[:K]])
    return np.array(closest)


def prepare(folder: Path, count: int, apart: float) -> np.ndarray:
    """Writes what engines read; returns the true neighbors."""
    import deltalake

    from search_process import lance_batches

    both = clustered(count, apart)
    vectors, queries = both[:count], both[count:]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    queries.tofile(folder / "queries.f32")
    deltalake.write_deltalake(folder / "delta", lance_batches(vectors), target_file_size=256 << 20)
    return truth(vectors, queries)


def recall(found: list[list[int]], closest: np.ndarray) -> float:
    return float(np.mean([len(set(ids) & set(nearest)) / K for ids, nearest in zip(found, closest.tolist())]))


class Row(NamedTuple):
    """An engine at a setting."""

    title: str
    setting: str
    rate: float
    recall: float
    built: float
    peak: int


def measure(arguments):
    """The lines of the tables."""
    for name, (apart, part, engines) in DATA.items():
        count = round(part * arguments.vectors)
        asked = [engine for engine in arguments.engines or engines if engine in engines]
        with tempfile.TemporaryDirectory(prefix="bench-search-", dir=CACHE) as folder:
            yield f"**{count:,} vectors of {SIZE} float32, {name}**"
            yield ""
            yield f"{QUERIES} queries one after the other, the {K} nearest by cosine distance"
            yield from tables(Path(folder), count, apart, asked)
            yield ""


def tables(folder: Path, count: int, apart: float, engines: list[str]):
    closest = prepare(folder, count, apart)
    rows, remarks = {}, []
    for engine in engines:
        title, runs = ENGINES[engine]
        own = folder / "own"
        own.mkdir()
        found = run(engine, "search_process.py", [engine, folder, K, runs, own], TIMEOUT)
        shutil.rmtree(own)
        if "error" in found[-1]:
            remarks.append(f"- {title}: {found.pop()['error']}")
        if not found:
            continue
        built = found[0]["built"]
        for line in found[1:]:
            rate = len(line["found"]) / line["seconds"]
            row = Row(title, line["setting"], rate, recall(line["found"], closest), built, line["peak"])
            rows.setdefault(engine, []).append(row)
            print(*row, file=sys.stderr, flush=True)
    tables = [row for engine, found in rows.items() if engine not in ALONE for row in found]
    if tables:
        yield from ["", *every_setting(tables, "table and index built in s")]
    indexes = [row for row in tables if row.setting != "exact"]
    if indexes:
        yield from ["", "Queries per second of the fastest setting that reaches a recall", ""]
        yield from at_equal_recall(indexes)
    alone = [row for engine in ALONE for row in rows.get(engine, [])]
    if alone:
        yield from ["", "Index kernels in process: queries per second of the fastest setting that reaches a recall", ""]
        yield from kernels(alone)
    yield from ["", *remarks] if remarks else []


def every_setting(rows: list[Row], built: str):
    yield f"| | setting | queries/s | recall@{K} | {built} | most memory, MB |"
    yield "|---|---|---:|---:|---:|---:|"
    for row in rows:
        yield (f"| {row.title} | {row.setting} | {row.rate:,.1f} | {row.recall:.3f} | {row.built:,.0f} "
               f"| {row.peak / 1e6:,.0f} |")


def at_equal_recall(rows: list[Row]):
    """For each recall the fastest setting of each engine that reaches it."""
    yield "| | " + " | ".join(f"≥ {level:.2f}" for level in LEVELS) + " |"
    yield "|---|" + "---:|" * len(LEVELS)
    for title in dict.fromkeys(row.title for row in rows):
        cells = [f"{best.rate:,.1f}" if best else "–" for best in (fastest(rows, title, level) for level in LEVELS)]
        yield f"| {title} | " + " | ".join(cells) + " |"
    both = [(fastest(rows, "Shoal, ", level), fastest(rows, "LanceDB, ", level)) for level in LEVELS]
    if any(ours and theirs for ours, theirs in both):
        cells = [f"{ours.rate / theirs.rate:.2f}" if ours and theirs else "–" for ours, theirs in both]
        yield "| Shoal's best × LanceDB's best | " + " | ".join(cells) + " |"


def kernels(rows: list[Row]):
    """For each index what it costs, and how fast it is at each recall with which setting."""
    yield "| | built in s | most memory, MB | " + " | ".join(f"≥ {level:.2f}" for level in LEVELS) + " | highest recall |"
    yield "|---|" + "---:|" * (len(LEVELS) + 3)
    for title in dict.fromkeys(row.title for row in rows):
        own = [row for row in rows if row.title == title]
        cells = [cell(fastest(own, title, level)) for level in LEVELS]
        peak = max(row.peak for row in own)
        yield (f"| {title} | {own[0].built:,.0f} | {peak / 1e6:,.0f} | " + " | ".join(cells)
               + f" | {max(row.recall for row in own):.3f} |")
        standard = next((row for row in own if row.setting == "default"), None)
        if standard:
            yield f"| {title} as it is without options | | | " + " | ".join(
                cell(standard) if standard.recall >= level else "–" for level in LEVELS) + f" | {standard.recall:.3f} |"


def cell(row: Row | None) -> str:
    return f"{row.rate:,.0f} ({row.setting}: {row.recall:.3f})" if row else "–"


def fastest(rows: list[Row], title: str, level: float) -> Row | None:
    """The row with most queries per second at this recall or better, among titles that begin so."""
    reached = [row for row in rows if row.title.startswith(title) and row.recall >= level]
    return max(reached, key=lambda row: row.rate, default=None)
