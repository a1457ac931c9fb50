"""Libraries of vector indexes, called in process: engines of search_process.py.

All hold vectors in single precision and build with all cores. Lists and links are as many as Shoal's index has:
about two lists per root of the rows (which Shoal, with a list per root of a segment's rows, has in four
segments), 16 links per node and twice that at the bottom, 100 nodes looked at to link one. Vectors are
brought to length 1, after which Euclidean distance and cosine give one order.
"""

import functools
from contextlib import contextmanager

import numpy as np

from processes import CORES

LINKS, BUILD_BREADTH = 16, 100
#: Rows looked at per list when its center is found, as many as Shoal looks at.
TRAINING_ROWS = 40
#: Nodes a search keeps in view, and lists it reads.
BREADTHS = (16, 32, 64, 96, 128, 256, 512)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def shape(source) -> tuple[int, int]:
    return np.load(source / "vectors.npy", mmap_mode="r").shape


def parts(source, rows=50_000):
    """Vectors of length 1, some at a time, and the number of the first: memory is to be the index's."""
    _, size = shape(source)
    with open(source / "vectors.npy", "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        start = 0
        while len(numbers := np.fromfile(file, np.float32, rows * size)):
            vectors = unit(numbers.reshape(-1, size))
            yield start, vectors
            start += len(vectors)


def settings(name, numbers, search):
    """As engines give them: by name of a setting, what puts it into force and returns the search."""
    return {f"{name} {number}": functools.partial(search, number) for number in numbers}


@contextmanager
def usearch(source, k, folder):
    from usearch.index import Index

    def build():
        rows, size = shape(source)
        index = Index(ndim=size, metric="cos", dtype="f32", connectivity=LINKS, expansion_add=BUILD_BREADTH)
        for start, vectors in parts(source):
            index.add(np.arange(start, start + len(vectors)), vectors, threads=CORES)

        def search(breadth):
            index.expansion_search = breadth
            return lambda query: index.search(query, k).keys.tolist()

        return settings("expansion", BREADTHS, search)

    yield build


@contextmanager
def hnswlib(source, k, folder):
    import hnswlib as package

    def build():
        rows, size = shape(source)
        index = package.Index("cosine", size)
        index.init_index(rows, ef_construction=BUILD_BREADTH, M=LINKS)
        index.set_num_threads(CORES)
        for start, vectors in parts(source):
            index.add_items(vectors, np.arange(start, start + len(vectors)))

        def search(breadth):
            index.set_ef(breadth)
            return lambda query: index.knn_query(query, k)[0][0].tolist()

        return settings("ef", BREADTHS, search)

    yield build


@contextmanager
def faiss_hnsw(source, k, folder):
    import faiss
    faiss.omp_set_num_threads(CORES)

    def build():
        index = faiss.IndexHNSWFlat(shape(source)[1], LINKS)
        index.hnsw.efConstruction = BUILD_BREADTH
        for _, vectors in parts(source):
            index.add(vectors)

        def search(breadth):
            index.hnsw.efSearch = breadth
            return functools.partial(faiss_nearest, index, k)

        return settings("efSearch", BREADTHS, search)

    yield build


@contextmanager
def faiss_ivf(source, k, folder):
    import faiss
    faiss.omp_set_num_threads(CORES)

    def build():
        rows, size = shape(source)
        lists = 2 * round(rows**0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(size), size, lists)
        _, sample = next(parts(source, TRAINING_ROWS * lists))
        index.train(sample)
        for _, vectors in parts(source):
            index.add(vectors)

        def search(probes):
            index.nprobe = probes
            return functools.partial(faiss_nearest, index, k)

        return settings("nprobe", [n for n in PROBES if n < lists], search)

    yield build


def faiss_nearest(index, k, query):
    _, found = index.search(unit(query)[None], k)
    return found[0].tolist()


#: By name, as search_process.py has engines.
ENGINES = {"usearch": usearch, "hnswlib": hnswlib, "faiss HNSW": faiss_hnsw, "faiss IVF-Flat": faiss_ivf}
