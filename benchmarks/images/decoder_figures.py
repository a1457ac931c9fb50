"""Decoders of each format side by side, and Pillow's, which are written in C: megapixels per second."""

import io
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from PIL import Image

from harness.minio import CACHE

import make_photos

ROOT = Path(__file__).parents[2]
#: Photos of which files are made, and the most pixels they have.
PHOTOS, PIXELS = 6, 3_000_000
ROUNDS = 3
#: Kind of file: how Pillow writes it. The first word is the format.
KINDS = {
    "JPEG 4:2:0": ("JPEG", {"quality": 90, "subsampling": 2}),
    "JPEG 4:4:4": ("JPEG", {"quality": 90, "subsampling": 0}),
    "JPEG progressive": ("JPEG", {"quality": 90, "subsampling": 2, "progressive": True}),
    "PNG": ("PNG", {}),
    "PNG palette": ("PNG", {"mode": "P"}),
    "PNG 16 bits gray": ("PNG", {"mode": "I;16"}),
    "TIFF uncompressed": ("TIFF", {}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "WebP lossy": ("WEBP", {"quality": 85}),
    "WebP lossless": ("WEBP", {"lossless": True, "method": 1}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
}


def encoded(photo: Image.Image, format: str, options: dict) -> bytes:
    options = dict(options)
    match options.pop("mode", None):
        case "P":
            photo = photo.quantize(256)
        case "I;16":
            photo = photo.convert("L").point(lambda level: level * 257, "I").convert("I;16")
    file = io.BytesIO()
    photo.save(file, format, **options)
    return file.getvalue()


def pillow(files: list[bytes]) -> float:
    """Megapixels per second of one core."""
    least = float("inf")
    for _ in range(ROUNDS):
        start, pixels = time.perf_counter(), 0
        for file in files:
            with Image.open(io.BytesIO(file)) as picture:
                picture.load()
                pixels += picture.width * picture.height
        least = min(least, time.perf_counter() - start)
    return pixels / 1e6 / least


def measure(arguments):
    """The lines of the table."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(CACHE / "target-decoders")}
    subprocess.run(["cargo", "build", "--release"], cwd=ROOT / "benchmarks/decoders", env=environment, check=True)
    photos = []
    for path in make_photos.photos(CACHE / "bench-images/photos", 100):
        with Image.open(path) as photo:
            if photo.mode == "RGB" and photo.width * photo.height <= PIXELS:
                photos.append(photo.copy())
        if len(photos) == PHOTOS:
            break
    rates = {}
    with tempfile.TemporaryDirectory(prefix="bench-decoders-", dir=CACHE) as folder:
        for kind, (format, options) in KINDS.items():
            files = [encoded(photo, format, options) for photo in photos]
            (Path(folder) / kind).mkdir()
            for number, file in enumerate(files):
                (Path(folder) / kind / str(number)).write_bytes(file)
            rates[kind, "Pillow"] = f"{pillow(files):.0f}"
        printed = subprocess.run([CACHE / "target-decoders/release/decoders", folder], check=True, capture_output=True, text=True)
    for line in map(json.loads, printed.stdout.splitlines()):
        rate = f"{line['rate']:.0f}" if line["rate"] else line["problem"]
        rates[line["kind"], line["decoder"]] = rate

    pixels = sum(photo.width * photo.height for photo in photos) / 1e6
    yield from [f"Megapixels per second of one core, {len(photos)} photos of {pixels:.1f} megapixels together as files of each kind:", "",
                "| | Shoal | others | Pillow |", "|---|---:|---|---:|"]
    for kind in KINDS:
        others = [f"{decoder} {rate}" for (other, decoder), rate in rates.items() if other == kind and decoder not in ("Shoal", "Pillow")]
        yield f"| {kind} | {rates[kind, 'Shoal']} | {', '.join(others)} | {rates[kind, 'Pillow']} |"
