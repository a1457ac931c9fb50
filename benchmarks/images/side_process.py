"""One task on one side, in a process of its own, so that its memory is its own.

    side_process.py SIDE TASK PHOTOS SAMPLE RUNS FOLDER

PHOTOS is a file that lists the photos' paths; the first SAMPLE of them are answered one by one
into FOLDER/answers.pickle, the others are counted. Prints a JSON line: the seconds of each run, how
many photos were answered in the last and the sum of the sizes of the answers. What a side needs to
get going (a server, a session, workers, a table to read from) comes before the clock starts.
"""

import functools
import json
import multiprocessing
import os
import pickle
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tests")]

import pillow_tasks  # noqa: E402

WORKERS = 2
#: Rows that Spark, and Daft when told to, take at a time: Spark's default of 10,000 photos does not fit
#: in memory.
BATCH = 16


def answer_of_file(answer, task: str, path: str):
    """What `answer` gives for a file's bytes; the header is read from the file, as Pillow can."""
    return answer(path if task == "info" else Path(path).read_bytes())


def size_of_file(answer, task: str, path: str) -> int:
    return pillow_tasks.size(task, answer_of_file(answer, task, path))


@contextmanager
def pool(answer, task, paths, folder):
    """A function of a photo's bytes, in a pool of processes."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as workers:
        def total():
            sizes = list(workers.map(functools.partial(size_of_file, answer, task), paths, chunksize=8))
            return len(sizes), sum(sizes)

        list(workers.map(functools.partial(size_of_file, answer, task), paths[: 4 * WORKERS]))  # imports
        yield total, lambda sample: (answer_of_file(answer, task, path) for path in sample)


def pillow(task, paths, folder, reduce=None):
    return pool(functools.partial(pillow_tasks.TASKS[task], reduce=reduce), task, paths, folder)


_pixels = bytearray(3 * 16_000_000)


def turbo_decode(content: bytes):
    """All pixels by libjpeg-turbo itself, always into the same memory."""
    import simplejpeg
    return simplejpeg.decode_jpeg(content, "RGB", buffer=_pixels)


def libjpeg_turbo(task, paths, folder):
    return pool(turbo_decode, task, paths, folder)


@contextmanager
def daft(task, paths, folder, batch=None):
    """Native expressions, on batches as they come or on smaller ones, which keep both cores busier. For
    the numbers of features it has none: a UDF in numpy, in two processes, computes them from the
    picture that was decoded and resized natively."""
    os.environ.update(DAFT_PROGRESS_BAR="0", DAFT_ANALYTICS_ENABLED="0")
    import daft
    from daft import DataType, col
    from daft import functions as f

    @daft.cls(max_concurrency=WORKERS, use_process=True)
    class Features:
        @daft.method.batch(return_dtype=DataType.list(DataType.float32()))
        def __call__(self, pictures):
            return [pillow_tasks.features_of_pixels(picture) for picture in pictures.to_pylist()]

    picture = f.decode_image(f.download(col("path")))
    side = pillow_tasks.FEATURES
    answer, size = {
        "resize": (f.resize(picture, pillow_tasks.SMALL, pillow_tasks.SMALL), lambda a: f.image_width(a) * f.image_height(a) * 3),
        "hash": (f.image_hash(picture), lambda a: a.not_null().cast(DataType.int64())),
        "features": (Features()(f.resize(picture, side, side)) if task == "features" else None,
                     lambda a: a.not_null().cast(DataType.int64())),
        "info": (f.image_file_metadata(f.image_file(col("path"))), lambda a: a["width"].cast(DataType.int64()) * a["height"]),
        "decode": (picture, lambda a: f.image_width(a).cast(DataType.int64()) * f.image_height(a) * f.image_channel(a)),
    }[task]

    def answers(chosen):
        photos = daft.from_pydict({"path": chosen})
        photos = photos.into_batches(batch) if batch else photos
        return photos.select(col("path"), answer.alias("answer"))

    def total():
        sizes = answers(paths).select(size(col("answer")).alias("size"))
        found = sizes.agg(col("size").count().alias("count"), col("size").sum()).to_pydict()
        return found["count"][0], found["size"][0]

    def plain(value):
        match task:
            case "hash":
                return int.from_bytes(value)
            case "info":
                return value["width"], value["height"], value["format"].lower()
        return value

    def sample(chosen):
        found = answers(chosen).to_pydict()
        by_path = dict(zip(found["path"], map(plain, found["answer"])))
        return [by_path[path] for path in chosen]

    sample(paths[:4])
    yield total, sample


def linked(paths: list[str], tree: Path) -> Path:
    """A folder with these photos and no others, for sides that read folders; costs no space."""
    if not tree.exists():
        tree.mkdir()
        for path in paths:
            os.link(path, tree / Path(path).name)
    return tree


@contextmanager
def pyspark(task, paths, folder):
    """Pillow, decoding fully, in a mapInPandas over the `binaryFile` source."""
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tests")]
    os.environ.update(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable,
                      PYTHONPATH=os.pathsep.join([*here, os.environ.get("PYTHONPATH", "")]))
    import pandas
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.master(f"local[{WORKERS}]").config("spark.driver.memory", "4g")
               .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
               .config("spark.sql.files.maxPartitionBytes", "32m").config("spark.local.dir", str(folder))
               .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH))
               .config("spark.log.level", "ERROR").getOrCreate())
    answer = pillow_tasks.TASKS[task]

    def sizes(batches):
        for batch in batches:
            yield pandas.DataFrame({"size": [pillow_tasks.size(task, answer(bytes(content))) for content in batch["content"]]})

    def total_of(tree):
        photos = session.read.format("binaryFile").load(str(tree)).select("content")
        [row] = photos.mapInPandas(sizes, "size long").selectExpr("count(size)", "sum(size)").collect()
        return row[0], row[1]

    total_of(linked(paths[: 4 * WORKERS], folder / "first"))  # starts the Python workers
    tree = linked(paths, folder / f"linked-{len(paths)}")
    yield lambda: total_of(tree), lambda sample: (answer(Path(path).read_bytes()) for path in sample)
    session.stop()


@contextmanager
def shoal(task, paths, folder):
    """SQL through Flight SQL, over a table that COPY INTO has filled with the photos' bytes."""
    from adbc_driver_flightsql import DatabaseOptions

    import shoal_queries
    from harness.shoal import Shoal

    settings = {"cluster": {"executor": {"vcores": WORKERS, "memory": "4GiB"}}}
    place = folder / "shoal"
    filled = place / "filled"
    place.mkdir(exist_ok=True)
    deployment = Shoal("serve", place, settings)
    try:
        if not filled.exists():
            deployment.run(shoal_queries.ingest(linked(paths, folder / f"linked-{len(paths)}")))
            filled.touch()

        def total():
            [row] = deployment.rows(shoal_queries.total(task))
            return row

        def sample(chosen):
            wide = {DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(1 << 30)}  # a whole picture is one row
            with deployment.connect(**wide) as connection, connection.cursor() as cursor:
                for start in range(0, len(chosen), 8):
                    names = [Path(path).name for path in chosen[start:start + 8]]
                    cursor.execute(shoal_queries.answers(task, names))
                    rows = {row["name"]: row for row in cursor.fetch_arrow_table().to_pylist()}
                    yield from (shoal_answer(task, rows[name]) for name in names)

        yield total, sample
    finally:
        deployment.discard()


def rgb(data: bytes, height: int, width: int) -> np.ndarray:
    """Pixels of a color picture, or of a gray one as if it were one."""
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, -1)
    return np.broadcast_to(pixels, (height, width, 3))


def shoal_answer(task, row):
    """A value of Shoal's as Pillow's side has it."""
    answer = row["answer"]
    match task:
        case "resize":
            return rgb(answer, pillow_tasks.SMALL, pillow_tasks.SMALL)
        case "decode":
            # Turned upright, so height and width may have changed places; the means have not.
            return rgb(answer, row["info"]["height"], row["info"]["width"])
        case "hash":
            return int.from_bytes(answer) if isinstance(answer, bytes) else answer % (1 << 64)
        case "info":
            return answer["width"], answer["height"], answer["format"]
    return np.array(answer, dtype=np.float32)


SIDES = {
    "Shoal": shoal,
    "Daft": daft,
    "Daft in batches": functools.partial(daft, batch=BATCH),
    "PySpark and Pillow": pyspark,
    "Pillow": pillow,
    "Pillow draft 2": functools.partial(pillow, reduce=2),
    "Pillow draft": functools.partial(pillow, reduce=1),
    "Pillow-SIMD": pillow,
    "Pillow-SIMD draft": functools.partial(pillow, reduce=1),
    "libjpeg-turbo": libjpeg_turbo,
}


def main(side: str, task: str, photos: Path, sample: int, runs: int, folder: Path):
    paths = photos.read_text().splitlines()
    with SIDES[side](task, paths, folder) as (total, answers):
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            count, size = total()
            seconds.append(time.perf_counter() - began)
        print(json.dumps({"seconds": seconds, "count": count, "size": size}), flush=True)
        kept = [pillow_tasks.digest(task, answer) for answer in answers(paths[:sample])]
    (folder / "answers.pickle").write_bytes(pickle.dumps(kept))


if __name__ == "__main__":
    main(*sys.argv[1:3], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6]))
