"""Images: taking in a tree of photos against copying it, and features against Pillow and numpy."""

import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness.shoal import Shoal
from reference_features import features

PHOTOS = Path(__file__).parents[2] / "examples/photos"
#: Copies of each photo, each made a file of its own by a few bytes behind its end.
COPIES = 100


def pillow_features(path: str) -> int:
    """Computes the vector of `image_features` as a Pillow UDF would."""
    return len(features(Path(path).read_bytes()))


def tree(folder: Path) -> tuple[list[Path], int]:
    """Copies of the whole photos; returns them and their bytes."""
    files = []
    for path in sorted(PHOTOS.rglob("*.jpg")):
        if "broken" in path.parts:
            continue
        content = path.read_bytes()
        for copy in range(COPIES):
            target = folder / f"{copy % 10}" / f"{path.stem}-{copy}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content + copy.to_bytes(8))
            files.append(target)
    return files, sum(path.stat().st_size for path in files)


def measure(folder, arguments):
    files, size = tree(folder / "photos")
    began = time.perf_counter()
    shutil.copytree(folder / "photos", folder / "copy")
    copied = size / (time.perf_counter() - began)
    began = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        list(pool.map(pillow_features, map(str, files), chunksize=32))
    pillow = len(files) / (time.perf_counter() - began)

    yield f"{len(files)} photos, {size / 1e6:.0f} MB"
    yield ""
    yield "| | ingest MB/s | × copy | features images/s | × Pillow |"
    yield "|---|---:|---:|---:|---:|"
    yield f"| copy; Pillow and numpy | {copied / 1e6:.0f} | 1.00 | {pillow:.0f} | 1.00 |"
    for kind in ("serve", "cluster"):
        place = folder / kind
        place.mkdir()
        deployment = Shoal(kind, place, {"query": {"placement": "distributed"}})
        try:
            began = time.perf_counter()
            deployment.cli("ingest", "images", folder / "photos")
            ingested = size / (time.perf_counter() - began)
            assert deployment.value("SELECT count(*) FROM raw.images") == len(files)
            began = time.perf_counter()
            deployment.run("SELECT count(image_features(content)) FROM raw.images")
            features = len(files) / (time.perf_counter() - began)
        finally:
            deployment.discard()
        yield (f"| Shoal {kind} | {ingested / 1e6:.0f} | {ingested / copied:.2f} "
               f"| {features:.0f} | {features / pillow:.2f} |")
