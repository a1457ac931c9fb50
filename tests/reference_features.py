"""What `image_features`, `image_hash` and `image_info` must give, computed with Pillow, numpy and
imagehash and sharing no code with Shoal. The recipe is the one documented in udfs/src/features.rs.

Also the yardstick of benchmarks/images.py, so it is written the way a careful user would write it.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

SIDE = 128
COLOR_BINS = 64
EDGE_BINS = 128
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def upright_on_white(content, least_side=None):
    """The picture as a person sees it: 8-bit RGB or gray, alpha on white, EXIF applied. With
    `least_side`, a JPEG may come reduced to that many pixels or more, which is faster."""
    picture = Image.open(BytesIO(content))
    if least_side is not None:
        picture.draft(None, (least_side, least_side))
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, (255, 255, 255))
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return picture if picture.mode == "L" else picture.convert("RGB")


def features(content, least_side=None):
    """The 192 numbers of `image_features`, as float32."""
    square = upright_on_white(content, least_side).convert("RGB")
    square = square.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(square, dtype=np.float32)
    return np.concatenate([_unit(_colors(pixels)), _unit(_edges(pixels))])


def _colors(pixels):
    position = pixels.reshape(-1, 3) * (3.0 / 255.0)
    below = np.minimum(position.astype(np.intp), 2)
    share = position - below
    histogram = np.zeros(COLOR_BINS)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, share, 1.0 - share).prod(axis=1)
        index = (below + corner) @ (16, 4, 1)
        histogram += np.bincount(index, weight, minlength=COLOR_BINS)
    return histogram


def _edges(pixels):
    gray = pixels @ LUMA
    gx = gray[1:-1, 2:] - gray[1:-1, :-2]
    gy = gray[2:, 1:-1] - gray[:-2, 1:-1]
    magnitude = np.hypot(gx, gy)
    position = np.mod(np.arctan2(gy, gx), np.pi) * (8.0 / np.pi)
    below = position.astype(np.intp)
    share = position - below
    rows, columns = np.mgrid[1 : SIDE - 1, 1 : SIDE - 1] // 32
    cell = (4 * rows + columns) * 8
    histogram = np.zeros(EDGE_BINS)
    for bin, weight in ((below % 8, 1.0 - share), ((below + 1) % 8, share)):
        histogram += np.bincount((cell + bin).ravel(), (weight * magnitude).ravel(), EDGE_BINS)
    return histogram


def _unit(part):
    norm = np.linalg.norm(part)
    return (part / norm if norm > 0 else part).astype(np.float32)


def phash(content):
    """The 64 bits of `image_hash` as a signed integer."""
    import imagehash

    bits = int(str(imagehash.phash(upright_on_white(content))), 16)
    return bits - (1 << 64) if bits >= 1 << 63 else bits


def info(content):
    """Width, height and format as stored."""
    with Image.open(BytesIO(content)) as picture:
        return picture.width, picture.height, picture.format.lower()
