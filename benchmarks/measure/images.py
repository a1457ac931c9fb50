"""Images: taking in a tree of photos against copying it, and features against Pillow and numpy."""

import functools
import io
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from harness.shoal import Shoal
from reference_features import SIDE, features, upright_on_white

PHOTOS = Path(__file__).parents[2] / "examples/photos"
#: Pixels of a photo of the benchmark, about those of a camera.
PIXELS = 3_000_000
#: Standard deviation of the grain that makes an enlarged photo as hard to compress as a real one.
GRAIN = 4
#: Copies of each photo, each made a file of its own by a few bytes behind its end.
COPIES = 120
#: Runs of everything; the fastest counts, for the copy and for Pillow as for Shoal. Memory that a
#: virtual machine touches for the first time makes first runs slow.
RUNS = 3


def camera_photo(path: Path) -> bytes:
    """An example photo at the size and with the grain of a camera's, as JPEG of quality 90."""
    photo = upright_on_white(path.read_bytes()).convert("RGB")
    factor = (PIXELS / (photo.width * photo.height)) ** 0.5
    photo = photo.resize((round(photo.width * factor), round(photo.height * factor)), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(1).normal(0, GRAIN, (photo.height, photo.width, 1))
    pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def tree(folder: Path) -> tuple[list[Path], int]:
    """Files of camera photos in ten folders; returns them and their bytes."""
    files = []
    for path in sorted((PHOTOS / "2024").rglob("*.jpg")):
        content = camera_photo(path)
        for copy in range(COPIES):
            target = folder / f"{copy % 10}" / f"{path.stem}-{copy}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content + copy.to_bytes(8))
            files.append(target)
    return files, sum(path.stat().st_size for path in files)


def pillow_features(path: str, least_side: int | None = None) -> int:
    """Computes the vector of `image_features` as a Pillow UDF would."""
    return len(features(Path(path).read_bytes(), least_side))


def fastest(work) -> float:
    """Seconds of the fastest of the runs."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def measure(folder, arguments):
    files, size = tree(folder / "photos")

    def copy():
        shutil.rmtree(folder / "copy", ignore_errors=True)
        began = time.perf_counter()
        shutil.copytree(folder / "photos", folder / "copy")
        return time.perf_counter() - began

    copied = size / min(copy() for _ in range(RUNS))
    shutil.rmtree(folder / "copy")
    with ProcessPoolExecutor() as pool:
        def all_files(function):
            return fastest(lambda: list(pool.map(function, map(str, files), chunksize=8)))

        pillow = len(files) / all_files(pillow_features)
        drafted = len(files) / all_files(functools.partial(pillow_features, least_side=2 * SIDE))

    yield f"{len(files)} photos of {PIXELS / 1e6:.0f} megapixels, {size / 1e6:.0f} MB"
    yield ""
    yield "| | ingest MB/s | × copy | features images/s | × Pillow |"
    yield "|---|---:|---:|---:|---:|"
    yield f"| copy; Pillow and numpy | {copied / 1e6:.0f} | 1.00 | {pillow:.0f} | 1.00 |"
    yield f"| Pillow told to decode reduced (`draft`), and numpy | | | {drafted:.0f} | {drafted / pillow:.2f} |"
    for kind in ("serve", "cluster"):
        place = folder / kind
        place.mkdir()
        deployment = Shoal(kind, place, {"query": {"placement": "distributed"}})
        try:
            def ingest():
                deployment.run("DROP TABLE IF EXISTS raw.images PURGE")
                began = time.perf_counter()
                deployment.cli("ingest", "images", folder / "photos")
                seconds = time.perf_counter() - began
                assert deployment.value("SELECT count(*) FROM raw.images") == len(files)
                return seconds

            ingested = size / min(ingest() for _ in range(RUNS))
            query = "SELECT count(image_features(content)) FROM raw.images"
            computed = len(files) / fastest(lambda: deployment.run(query))
        finally:
            deployment.discard()
        yield (f"| Shoal {kind} | {ingested / 1e6:.0f} | {ingested / copied:.2f} "
               f"| {computed:.0f} | {computed / pillow:.2f} |")
