"""Makes the photographs that the image figures are measured on, from the real ones in examples/photos.

    make_photos.py FOLDER [--count 5000]

Writes FOLDER/00/photo-00000.jpg, … and leaves out what is there: photo n depends on n alone, so a
set of 400 is the beginning of the set of 5,000. Its traits are spread evenly over the numbers, so
any first few hundred are like the whole: sizes of 0.3 to 12 megapixels (median 3.7), four
qualities, three subsamplings, one in ten progressive, a few gray, one in ten on its side with an
EXIF orientation. Example photos are smaller than a camera's, so enlarged ones get their own finer
detail and a sensor's noise, by which their JPEG takes as many bits per pixel as a camera's.
"""

import argparse
import functools
import io
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

EXAMPLES = Path(__file__).parents[2] / "examples/photos"
#: Photographs of things; the scans and the picture of the sky are left out.
SUBJECTS = ("2024/03/05/cat-01.jpg", "2024/03/06/coffee-01.jpg", "2024/03/07/astronaut-01.jpg",
            "2024/04/01/rocket-01.jpg", "2024/04/02/photographer-01.jpg", "scans/museum/coins-02.jpg")
SEED = 20_261_121
MEGAPIXELS = (0.3, 12.0)
#: Sizes follow a log-normal distribution, cut at both ends: median in megapixels and spread.
MEDIAN, SPREAD = 4.0, 0.8
#: Quality of the JPEG and its share.
QUALITIES = {75: 0.25, 85: 0.35, 92: 0.25, 95: 0.15}
#: Pillow's numbers for 4:4:4, 4:2:2 and 4:2:0, and their shares; cameras and phones write 4:2:0 most.
SUBSAMPLINGS = {0: 0.2, 1: 0.3, 2: 0.5}
ASPECTS = (3 / 2, 4 / 3, 16 / 9, 1.0, 3 / 4, 2 / 3)
ORIENTATION = 0x0112
#: Orientation tag and how pixels are stored so that the tag puts them upright.
TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
#: Standard deviation of the sensor's noise in the darkest and the brightest parts, of 255.
NOISE = (1.6, 4.2)
#: How strongly an enlarged photo gets its own finer detail.
DETAIL = 0.8


def spread(number: int, trait: int) -> float:
    """Position of a photo in [0, 1) for one of its traits: evenly spread over any run of numbers
    (the additive recurrence by Roberts, with one irrational step per trait)."""
    root = 1.0
    for _ in range(40):
        root = (1 + root) ** (1 / 9)  # the generalized golden ratio for eight traits
    return (0.5 + number * root ** -(trait + 1)) % 1.0


def pick(shares: dict, position: float):
    """The key in whose share of [0, 1) the position lies."""
    for key, share in shares.items():
        position -= share
        if position < 0:
            return key
    return key


def megapixels(position: float) -> float:
    """The size at a position in the sorted sizes, by the inverse of the error function."""
    from statistics import NormalDist
    low, high = (NormalDist(math.log(MEDIAN), SPREAD).cdf(math.log(limit)) for limit in MEGAPIXELS)
    return math.exp(NormalDist(math.log(MEDIAN), SPREAD).inv_cdf(low + position * (high - low)))


@functools.cache
def example(path: str) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(EXAMPLES / path)).convert("RGB")


@functools.cache
def noise_bank() -> np.ndarray:
    """Gray noise to cut pieces from: drawing it anew for each photo would take most of the time.
    Slightly blurred, because a camera computes each pixel from its neighbors."""
    random = np.random.default_rng(SEED)
    grain = Image.fromarray((random.normal(0, 40, (4096, 4096)) + 128).clip(0, 255).astype(np.uint8))
    grain = np.asarray(grain.filter(ImageFilter.GaussianBlur(0.45)), dtype=np.float32) - 128
    return grain / grain.std()


def noise(random, height: int, width: int) -> np.ndarray:
    bank = noise_bank()
    y, x = random.integers(0, 4096, 2)
    return np.take(np.take(bank, range(y, y + height), 0, mode="wrap"), range(x, x + width), 1, mode="wrap")


def detail(source: Image.Image, random, size: tuple[int, int]) -> np.ndarray:
    """What the photo has of fine structure, repeated at its own scale over a larger picture:
    mirrored tiles of its difference from a blurred copy of itself."""
    gray = source.convert("L")
    fine = np.asarray(gray, dtype=np.float32) - np.asarray(gray.filter(ImageFilter.GaussianBlur(2)), dtype=np.float32)
    width, height = size
    y, x = random.integers(0, fine.shape[0]), random.integers(0, fine.shape[1])
    mirrored = np.block([[fine, fine[:, ::-1]], [fine[::-1], fine[::-1, ::-1]]])
    rows = (np.arange(height) + y) % mirrored.shape[0]
    columns = (np.arange(width) + x) % mirrored.shape[1]
    return mirrored[rows[:, None], columns]


def upright(number: int) -> Image.Image:
    """The photo's pixels, the right way up."""
    random = np.random.default_rng([SEED, number])
    source = example(SUBJECTS[number % len(SUBJECTS)])
    aspect = ASPECTS[int(spread(number, 1) * len(ASPECTS))]
    pixels = megapixels(spread(number, 0)) * 1e6
    width, height = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))

    share = random.uniform(0.7, 1.0)
    crop_width = share * min(source.width, source.height * aspect)
    crop_height = crop_width / aspect
    left, top = random.uniform(0, source.width - crop_width), random.uniform(0, source.height - crop_height)
    photo = source.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + crop_width, top + crop_height))
    if random.random() < 0.5:
        photo = ImageOps.mirror(photo)
    photo = ImageEnhance.Brightness(photo).enhance(random.uniform(0.8, 1.2))
    photo = ImageEnhance.Color(photo).enhance(random.uniform(0.7, 1.3))
    photo = ImageEnhance.Contrast(photo).enhance(random.uniform(0.9, 1.1))

    values = np.array(photo, dtype=np.float32)
    light = values[..., 1] * (1 / 255)
    grain = noise(random, height, width) * (NOISE[0] + (NOISE[1] - NOISE[0]) * np.sqrt(light))
    if width > crop_width:
        # More of the detail where the enlarged photo is busy, none in a smooth sky.
        busy = photo.convert("L").resize((width // 8 + 1, height // 8 + 1), Image.Resampling.BOX)
        busy = busy.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.GaussianBlur(4)).resize((width, height))
        weight = np.minimum(np.asarray(busy, dtype=np.float32) * (1 / 24), 1.0)
        grain += DETAIL * weight * detail(source, random, (width, height))
    color = noise(random, height // 2 + 1, width // 2 + 1) * 0.8
    color = color.repeat(2, 0).repeat(2, 1)[:height, :width]
    for channel, share in enumerate((1.0, -0.5, 0.3)):
        values[..., channel] += grain + np.float32(share) * color
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8))


def encoded(number: int) -> bytes:
    """The photo as JPEG."""
    photo = upright(number)
    quality = pick(QUALITIES, spread(number, 2))
    options = {"quality": quality, "subsampling": pick(SUBSAMPLINGS, spread(number, 3)),
               "progressive": spread(number, 4) < 0.1}
    if spread(number, 5) < 0.03:
        photo = photo.convert("L")
        del options["subsampling"]
    if spread(number, 6) < 0.1:
        orientation = list(TURNED)[int(spread(number, 7) * len(TURNED))]
        photo = photo.transpose(TURNED[orientation])
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    content = io.BytesIO()
    photo.save(content, "JPEG", **options)
    return content.getvalue()


def path_of(folder: Path, number: int) -> Path:
    return folder / f"{number // 500:02}" / f"photo-{number:05}.jpg"


def make(folder: Path, number: int) -> None:
    """Writes one photo whole or not at all."""
    target = path_of(folder, number)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_suffix(".making")
    making.write_bytes(encoded(number))
    os.replace(making, target)


def photos(folder: Path, count: int) -> list[Path]:
    """The paths of the first `count` photos, made where they are missing."""
    paths = [path_of(folder, number) for number in range(count)]
    if missing := [number for number, path in enumerate(paths) if not path.exists()]:
        print(f"making {len(missing)} photos in {folder}", file=sys.stderr)
        with ProcessPoolExecutor() as pool:
            for done, _ in enumerate(pool.map(functools.partial(make, folder), missing, chunksize=4), 1):
                if done % 500 == 0:
                    print(f"{done} of {len(missing)}", file=sys.stderr)
    return paths


def summary(paths: list[Path]) -> str:
    """How many photos of what sizes, as one sentence."""
    bits, sizes = 0, []
    for path in paths:
        with Image.open(path) as photo:
            sizes.append(photo.width * photo.height / 1e6)
        bits += 8 * path.stat().st_size
    sizes.sort()
    return (f"{len(paths):,} photos of {sizes[0]:.1f} to {sizes[-1]:.1f} megapixels (median {sizes[len(sizes) // 2]:.1f}, "
            f"mean {sum(sizes) / len(sizes):.1f}), {bits / 8e6:,.0f} MB, {bits / 1e6 / sum(sizes):.2f} bits per pixel")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    arguments = parser.parse_args()
    print(summary(photos(arguments.folder, arguments.count)))


if __name__ == "__main__":
    main()
