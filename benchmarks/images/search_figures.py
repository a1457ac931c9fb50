"""Nearest neighbors among many vectors: queries per second against recall, building, and memory."""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from harness.minio import CACHE

from processes import run

SIZE, QUERIES, K = 256, 100, 10
SEED = 3
#: Name of an engine, as search_process.py has it: title, runs of which the fastest counts.
ENGINES = {
    "numpy": ("numpy, brute force", 2),
    "DuckDB": ("DuckDB, exact", 1),
    "LanceDB": ("LanceDB, exact", 2),
    "Shoal": ("Shoal, exact", 2),
    "LanceDB IVF_PQ": ("LanceDB, IVF_PQ", 3),
    "LanceDB IVF_HNSW_SQ": ("LanceDB, IVF_HNSW_SQ", 3),
    "Shoal IVF": ("Shoal, IVF", 3),
    "Shoal HNSW": ("Shoal, HNSW", 3),
}
#: Recalls at which indexes are compared.
LEVELS = (0.90, 0.95, 0.98)
#: Seconds after which an engine is given up.
TIMEOUT = 3600


def clustered(count: int) -> np.ndarray:
    """Vectors as a network gives them for pictures: a thousand clusters of unequal size, most of what
    varies lies in few directions, lengths differ. The last `QUERIES` of them are the queries."""
    random = np.random.default_rng(SEED)
    spectrum = (1 / np.sqrt(1 + np.arange(SIZE) / 16)).astype(np.float32)
    clusters = max(10, round(count**0.5))
    centers = random.standard_normal((clusters, SIZE), np.float32) * spectrum
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


def prepare(folder: Path, count: int) -> np.ndarray:
    """Writes what engines read; returns the true neighbors."""
    import deltalake

    from search_process import lance_batches

    both = clustered(count)
    vectors, queries = both[:count], both[count:]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    deltalake.write_deltalake(folder / "delta", lance_batches(vectors), target_file_size=256 << 20)
    return truth(vectors, queries)


def recall(found: list[list[int]], closest: np.ndarray) -> float:
    return float(np.mean([len(set(ids) & set(nearest)) / K for ids, nearest in zip(found, closest.tolist())]))


def measure(arguments):
    """The lines of the tables."""
    with tempfile.TemporaryDirectory(prefix="bench-search-", dir=CACHE) as folder:
        yield from tables(Path(folder), arguments)


def tables(folder: Path, arguments):
    closest = prepare(folder, arguments.vectors)
    rows, remarks = [], []
    for engine in arguments.engines or ENGINES:
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
            rows.append((title, line["setting"], QUERIES / line["seconds"], recall(line["found"], closest), built, line["peak"]))
            print(*rows[-1], file=sys.stderr, flush=True)
    yield (f"{arguments.vectors:,} vectors of {SIZE} float32 in clusters, {QUERIES} queries one after the other, "
           f"the {K} nearest by cosine distance")
    yield ""
    yield f"| | setting | queries/s | recall@{K} | table and index built in s | most memory, MB |"
    yield "|---|---|---:|---:|---:|---:|"
    for title, setting, rate, part, built, peak in rows:
        yield f"| {title} | {setting} | {rate:,.1f} | {part:.3f} | {built:,.0f} | {peak / 1e6:,.0f} |"
    yield from at_equal_recall(rows)
    yield from ["", *remarks] if remarks else []


def at_equal_recall(rows: list[tuple]):
    """For each recall the fastest setting of each engine that reaches it."""
    titles = list(dict.fromkeys(row[0] for row in rows if row[1] != "exact"))
    if titles:
        yield from ["", "Queries per second of the fastest setting that reaches a recall", ""]
        yield "| | " + " | ".join(f"≥ {level:.2f}" for level in LEVELS) + " |"
        yield "|---|" + "---:|" * len(LEVELS)
    for title in titles:
        cells = [f"{rate:,.1f}" if rate else "–" for rate in (fastest(rows, title, level) for level in LEVELS)]
        yield f"| {title} | " + " | ".join(cells) + " |"
    both = [(fastest(rows, "Shoal, ", level), fastest(rows, "LanceDB, ", level)) for level in LEVELS]
    if any(ours and theirs for ours, theirs in both):
        cells = [f"{ours / theirs:.2f}" if ours and theirs else "–" for ours, theirs in both]
        yield "| Shoal's best × LanceDB's best | " + " | ".join(cells) + " |"


def fastest(rows: list[tuple], title: str, level: float) -> float:
    """The most queries per second at this recall or better among engines whose title begins so; 0 if none."""
    return max((row[2] for row in rows if row[0].startswith(title) and row[1] != "exact" and row[3] >= level), default=0.0)
