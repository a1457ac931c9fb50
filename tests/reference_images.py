"""What the image functions must give, computed with Pillow, imagehash, numpy, scipy and
scikit-image and sharing no code with Shoal. Functions are named as in SQL; they take a Pillow
picture, already upright, and parameters as in SQL. Tolerances are stated where results may differ.
"""

from io import BytesIO

import imagehash
import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage
from skimage import color, feature, measure

HASHES = {
    "average": imagehash.average_hash,
    "difference": imagehash.dhash,
    "perceptual": imagehash.phash,
    "wavelet": imagehash.whash,
}
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
HOG_SIDE = 128


def image_hash(picture, method="perceptual", size=8):
    """Equal bit for bit, as big-endian bytes."""
    bits = int(str(HASHES[method](picture.convert("L"), size)), 16)
    return bits.to_bytes((size * size + 7) // 8, "big")


def image_stats(picture):
    """Equal but for the rounding of double precision."""
    rgb = np.asarray(picture.convert("RGB"))
    gray = np.asarray(picture.convert("L"))
    result = {}
    for index, name in enumerate(("red", "green", "blue")):
        channel = rgb[..., index]
        result[name] = {
            "mean": channel.mean(),
            "standard_deviation": channel.std(),
            "min": int(channel.min()),
            "max": int(channel.max()),
            "median": float(np.median(channel)),
        }
    result["brightness"] = gray.mean()
    result["contrast"] = gray.std()
    result["entropy"] = measure.shannon_entropy(gray)
    return result


def image_histogram(picture, bins):
    """All bins of red, then of green, then of blue; equal but for single precision."""
    rgb = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    counts = [np.histogram(rgb[:, c], bins, range=(0, 256))[0] for c in range(3)]
    return (np.concatenate(counts) / len(rgb)).astype(np.float32)


def image_hog(picture, orientations=9, cell=8, block=2):
    """Within 1e-5 on the same gray pixels."""
    gray = picture.convert("L").resize((HOG_SIDE, HOG_SIDE), Image.Resampling.BILINEAR)
    return hog_of(np.asarray(gray), orientations, cell, block)


def hog_of(gray, orientations=9, cell=8, block=2):
    return feature.hog(
        gray,
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(block, block),
        block_norm="L2-Hys",
        feature_vector=True,
    )


def image_lbp(picture):
    """Ten shares; equal but for single precision."""
    gray = np.asarray(picture.convert("L"))
    patterns = feature.local_binary_pattern(gray, P=8, R=1, method="uniform").astype(int)
    return (np.bincount(patterns.ravel(), minlength=10) / gray.size).astype(np.float32)


def image_sharpness(picture):
    """Equal but for the rounding of double precision (`mirror` is OpenCV's default border)."""
    return ndimage.laplace(np.asarray(picture.convert("L")).astype(float), mode="mirror").var()


def image_convert(picture, mode):
    """Modes L, LA, RGB and RGBA are equal; HSV and LAB within 1e-4 (LAB: of 100), YCbCr within 1."""
    if mode == "HSV":
        return color.rgb2hsv(np.asarray(picture.convert("RGB")))
    if mode == "LAB":
        return color.rgb2lab(np.asarray(picture.convert("RGB")))
    return np.asarray(picture.convert(mode))


def image_resize(picture, width, height, fit="exact", filter="lanczos"):
    """Within 1 of 255 for 8-bit pictures without alpha."""
    resample = FILTERS[filter]
    if fit == "fit":
        return ImageOps.contain(picture, (width, height), resample)
    if fit == "fill":
        return ImageOps.fit(picture, (width, height), resample)
    return picture.resize((width, height), resample)


def image_crop(picture, x, y, width, height):
    box = (max(x, 0), max(y, 0), min(x + width, picture.width), min(y + height, picture.height))
    return picture.crop(box) if box[0] < box[2] and box[1] < box[3] else None


def image_rotate(picture, degrees):
    """Clockwise, where Pillow turns counterclockwise."""
    return picture.rotate(-degrees, expand=True)


def image_to_tensor(picture, layout, mean, std):
    """torchvision's `to_tensor` and `normalize`, in single precision."""
    values = np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
    values = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    return values if layout == "HWC" else values.transpose(2, 0, 1)


def inertia(picture, colors):
    """Sum of squared distances of the pixels of a reduced picture to their closest color."""
    picture = picture.convert("RGB")
    if max(picture.size) > 64:
        picture = ImageOps.contain(picture, (64, 64), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=float).reshape(-1, 1, 3)
    return ((pixels - np.asarray(colors, dtype=float)) ** 2).sum(axis=2).min(axis=1).sum()


def lossy(picture, form, quality):
    """To compare size and error with at the same quality: a JPEG has 4:2:0 too, as a WebP always has."""
    encoded = BytesIO()
    picture.save(encoded, form, quality=quality, **({"subsampling": "4:2:0"} if form == "jpeg" else {}))
    return encoded.getvalue()
