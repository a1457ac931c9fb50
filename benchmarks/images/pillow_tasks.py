"""The five tasks on one photo, in Pillow and numpy, written the way a careful user would.

`reduce` is None for full decoding, or tells Pillow's `draft()` to let a JPEG come out reduced by
1/2, 1/4 or 1/8, to not less than `reduce` times the size that is needed: 2 as `Image.thumbnail`
does, 1 for the fastest.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

import reference_features

#: Pixels of a side: of the small picture, of the one features are computed from, of phash's.
SMALL, FEATURES, HASHED = 224, reference_features.SIDE, 32


def least(side: int, reduce: int | None) -> int | None:
    return None if reduce is None else side * reduce


def resize(content: bytes, reduce: int | None = None) -> np.ndarray:
    """The photo at 224 × 224 RGB, upright. Turned when it is small, which costs nothing."""
    picture = Image.open(BytesIO(content))
    if reduce is not None:
        picture.draft(None, (SMALL * reduce, SMALL * reduce))
    small = picture.convert("RGB").resize((SMALL, SMALL), Image.Resampling.BILINEAR)
    return np.asarray(ImageOps.exif_transpose(small))


def hash(content: bytes, reduce: int | None = None) -> int:
    """imagehash.phash as 64 bits."""
    import imagehash
    picture = reference_features.upright_on_white(content, least(HASHED, reduce))
    return int(str(imagehash.phash(picture)), 16)


def features(content: bytes, reduce: int | None = None) -> np.ndarray:
    """The 192 numbers of Shoal's image_features."""
    return reference_features.features(content, least(FEATURES, reduce))


def features_of_pixels(pixels: np.ndarray) -> np.ndarray:
    """The same from a picture that has its 128 × 128 RGB pixels already."""
    pixels = pixels.astype(np.float32)
    halves = (reference_features._colors(pixels), reference_features._edges(pixels))
    return np.concatenate([reference_features._unit(half) for half in halves])


def info(content_or_path, reduce: None = None) -> tuple[int, int, str]:
    """Width, height and format, from the header alone."""
    source = BytesIO(content_or_path) if isinstance(content_or_path, bytes) else content_or_path
    with Image.open(source) as picture:
        return picture.width, picture.height, picture.format.lower()


def decode(content: bytes, reduce: None = None) -> np.ndarray:
    """All pixels as RGB, as they are stored."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


TASKS = {"resize": resize, "hash": hash, "features": features, "info": info, "decode": decode}


def size(task: str, answer) -> int:
    """What is added up over all photos, so that no engine can leave out the work: bytes of pixels,
    pixels of the header, else one for each answer."""
    match task:
        case "resize" | "decode":
            return answer.nbytes
        case "info":
            return answer[0] * answer[1]
        case _:
            return 1


def digest(task: str, answer):
    """What of an answer is kept to compare sides: all of it, but of whole pictures the shape and
    the mean of each channel."""
    if task == "decode":
        return *answer.shape[:2], *answer.reshape(-1, answer.shape[2])[:, :3].mean(axis=0)
    return answer
