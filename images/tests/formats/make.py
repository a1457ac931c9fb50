"""Writes the pictures that tests/formats.rs decodes, and beside each what it has to become.

Pictures are written by Pillow (libpng, libtiff, libwebp) and tifffile, and by a few lines here for
variants that neither writes. What they become is read by Pillow, or by tifffile where Pillow
cannot, or is what was put in where neither can. Run it again only to add a variant:

    pip install pillow numpy tifffile imagecodecs && python images/tests/formats/make.py
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

HERE = Path(__file__).parent
WIDTH, HEIGHT = 21, 18
MODES = {("uint8", 1): "l8", ("uint8", 2): "la8", ("uint8", 3): "rgb8", ("uint8", 4): "rgba8",
         ("uint16", 1): "l16", ("uint16", 2): "la16", ("uint16", 3): "rgb16", ("uint16", 4): "rgba16",
         ("float32", 3): "rgb32f", ("float32", 4): "rgba32f"}

random = np.random.default_rng(7)
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
smooth = np.stack([x * 12, y * 14, 255 - x * 6 - y * 7], axis=-1)
RGB = np.clip(smooth + random.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)
ALPHA = ((x + y) * 7 % 256).astype(np.uint8)
GRAY = RGB[..., 0]
RGBA = np.dstack([RGB, ALPHA])
DEEP = random.integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
FLOAT = random.random((HEIGHT, WIDTH, 3), np.float32)
INDEX = ((x + 2 * y) % 16).astype(np.uint8)
PALETTE = random.integers(0, 256, (256, 3)).astype(np.uint8)

manifest = []


def add(name, content, expected, tolerance=0, frames=1, bits=8, orientation=1):
    """`expected` has the samples of the decoded picture; gray is (height, width)."""
    expected = np.ascontiguousarray(expected)
    channels = 1 if expected.ndim == 2 else expected.shape[2]
    mode = MODES[str(expected.dtype), channels]
    (HERE / name).write_bytes(content)
    (HERE / f"{name}.raw").write_bytes(expected.astype(expected.dtype.newbyteorder("<")).tobytes())
    height, width = expected.shape[:2]
    manifest.append(f"{name} {mode} {width} {height} {tolerance} {frames} {bits} {orientation}")


def pillow(content, mode=None):
    """What Pillow reads, in its own mode or converted."""
    image = Image.open(io.BytesIO(content))
    return np.array(image.convert(mode) if mode else image)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# ---- PNG

def png(color_type, bits, rows, chunks=(), interlaced=False):
    """A PNG of packed rows; interlaced ones get a list of passes of rows."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color_type, 0, 0, int(interlaced))
    data = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(k, b) for k, b in chunks)
            + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def packed(values, bits):
    """Rows of small integers, highest bits first, padded to bytes."""
    spread = ((values[..., None] >> np.arange(bits)[::-1]) & 1).reshape(values.shape[0], -1)
    return [row.tobytes() for row in np.packbits(spread.astype(np.uint8), axis=1)]


def adam7(picture):
    for top, left, down, right in [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]:
        for row in picture[top::down, left::right]:
            if row.size:
                yield row.tobytes()


def pngs():
    for bits in (1, 2, 4):
        gray = (INDEX % (1 << bits)).astype(np.uint8)
        add(f"gray{bits}.png", png(0, bits, packed(gray, bits)), gray * (255 // ((1 << bits) - 1)), bits=bits)
    plte = (b"PLTE", PALETTE[:16].tobytes())
    for bits in (1, 2, 4, 8):
        index = (INDEX % min(16, 1 << bits)).astype(np.uint8)
        content = png(3, bits, packed(index, bits), [(b"PLTE", PALETTE[:min(16, 1 << bits)].tobytes())])
        add(f"palette{bits}.png", content, pillow(content, "RGB"))
    content = png(3, 4, packed(INDEX, 4), [plte, (b"tRNS", bytes(range(0, 160, 16)))])
    add("palette-transparent.png", content, pillow(content, "RGBA"))
    content = png(0, 8, packed(GRAY, 8), [(b"tRNS", struct.pack(">H", int(GRAY[3, 3])))])
    add("gray-transparent.png", content, pillow(content, "LA"))
    content = png(2, 8, packed(RGB.reshape(HEIGHT, -1), 8), [(b"tRNS", struct.pack(">3H", *map(int, RGB[3, 3])))])
    add("rgb-transparent.png", content, pillow(content, "RGBA"))
    for mode, array in [("L", GRAY), ("LA", np.dstack([GRAY, ALPHA])), ("RGB", RGB), ("RGBA", RGBA)]:
        content = saved(Image.fromarray(array, mode), "PNG")
        add(f"{mode.lower()}.png", content, pillow(content))
    for color_type, channels in [(0, [0]), (4, [0, 3]), (2, [0, 1, 2]), (6, [0, 1, 2, 3])]:
        deep = DEEP[..., channels].squeeze()
        rows = [row.tobytes() for row in deep.astype(">u2")]
        add(f"deep{len(channels)}.png", png(color_type, 16, rows), deep, bits=16)
    for name, color_type, array in [("rgb", 2, RGB), ("gray", 0, GRAY)]:
        content = png(color_type, 8, adam7(array), interlaced=True)
        add(f"interlaced-{name}.png", content, pillow(content))
    content = png(6, 16, adam7(DEEP.astype(">u2")), interlaced=True)
    add("interlaced-deep.png", content, DEEP, bits=16)
    frames = [Image.fromarray(np.roll(RGB, n, axis=1)) for n in range(3)]
    content = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    add("animated.png", content, RGB, frames=3)
    content = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    add("animated-default.png", content, RGB, frames=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    add("turned.png", saved(frames[0], "PNG", exif=exif), RGB, orientation=6)


# ---- TIFF

def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    content = buffer.getvalue()
    assert np.array_equal(tifffile.imread(io.BytesIO(content)), array)
    return content


def tiffs():
    images = {"1": Image.fromarray(GRAY).convert("1"), "l": Image.fromarray(GRAY), "rgb": Image.fromarray(RGB),
              "rgba": Image.fromarray(RGBA), "p": Image.fromarray(RGB).quantize(16), "cmyk": Image.fromarray(RGB).convert("CMYK"),
              "la": Image.fromarray(np.dstack([GRAY, ALPHA]))}
    shown = {"1": "L", "p": "RGB", "cmyk": "RGB"}
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for name, image in images.items():
            content = saved(image, "TIFF", compression=compression)
            label = (compression or "raw").removeprefix("tiff_").removeprefix("adobe_")
            add(f"{label}-{name}.tif", content, pillow(content, shown.get(name)), bits=1 if name == "1" else 8)
    content = saved(images["1"], "TIFF", compression="group4")
    add("group4.tif", content, pillow(content, "L"), bits=1)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        content = saved(images["rgb"], "TIFF", compression=compression, tiffinfo={317: 2})
        add(f"predicted-{compression[5:8]}.tif", content, pillow(content))
    # Blocks of 8 x 8 differ by rounding; subsampled chroma is repeated by libtiff, and smoothed here.
    content = saved(images["rgb"], "TIFF", compression="jpeg", quality=95)
    add("jpeg-rgb.tif", content, pillow(content, "RGB"), tolerance=3)
    content = saved(images["l"], "TIFF", compression="jpeg", quality=95)
    add("jpeg-gray.tif", content, pillow(content), tolerance=2)
    content = saved(images["rgb"], "TIFF", big_tiff=True)
    add("big.tif", content, RGB)
    content = saved(images["rgb"], "TIFF", save_all=True, append_images=[images["l"], images["1"]])
    add("pages.tif", content, RGB, frames=3)
    content = saved(images["rgb"], "TIFF", tiffinfo={274: 8})
    add("turned.tif", content, RGB, orientation=8)
    add("big-endian.tif", tiff(DEEP[..., :3].copy(), photometric="rgb", byteorder=">"), DEEP[..., :3], bits=16)
    add("tiled.tif", tiff(RGB, photometric="rgb", tile=(16, 16)), RGB)
    add("tiled-deflate.tif", tiff(RGB, photometric="rgb", tile=(16, 16), compression="zlib", predictor=True), RGB)
    add("tiled-lzw16.tif", tiff(DEEP, photometric="rgb", tile=(16, 16), compression="lzw", extrasamples=["unassalpha"]), DEEP, bits=16)
    jpeg = io.BytesIO()
    tifffile.imwrite(jpeg, np.tile(RGB, (2, 2, 1)), photometric="rgb", tile=(16, 16), compression="jpeg", compressionargs={"level": 95}, metadata=None)
    add("tiled-jpeg.tif", jpeg.getvalue(), pillow(jpeg.getvalue(), "RGB"), tolerance=3)
    planes = np.moveaxis(RGB, 2, 0).copy()
    add("planar.tif", tiff(planes, photometric="rgb", planarconfig="separate"), RGB)
    add("planar-tiled.tif", tiff(planes, photometric="rgb", planarconfig="separate", tile=(16, 16), compression="zlib"), RGB)
    add("strips.tif", tiff(RGB, photometric="rgb", rowsperstrip=5, compression="zlib"), RGB)
    add("gray16.tif", tiff(DEEP[..., 0].copy(), photometric="minisblack"), DEEP[..., 0], bits=16)
    add("gray16-inverted.tif", tiff(DEEP[..., 0].copy(), photometric="miniswhite"), 65535 - DEEP[..., 0], bits=16)
    add("gray8-inverted.tif", tiff(GRAY, photometric="miniswhite"), 255 - GRAY)
    for bits in (2, 4):
        content = small_gray(bits)
        add(f"gray{bits}.tif", content, pillow(content, "L"), bits=bits)
    wide = DEEP[..., 0].astype(np.uint32) * 65537
    add("gray32.tif", tiff(wide, photometric="minisblack"), DEEP[..., 0], bits=32)
    gray = FLOAT[..., 0].copy()
    spread = np.repeat(gray[..., None], 3, axis=2)
    add("float-gray.tif", tiff(gray, photometric="minisblack"), spread, bits=32)
    add("float-rgb.tif", tiff(FLOAT, photometric="rgb", tile=(16, 16)), FLOAT, bits=32)
    add("float-predicted.tif", tiff(FLOAT, photometric="rgb", compression="zlib", predictor=3), FLOAT, bits=32)
    add("float16.tif", tiff(gray.astype(np.float16), photometric="minisblack"), np.repeat(gray.astype(np.float16).astype(np.float32)[..., None], 3, axis=2), bits=16)
    add("float64.tif", tiff(gray.astype(np.float64), photometric="minisblack"), spread, bits=64)
    extra = np.dstack([RGB, ALPHA])
    add("rgb-unused.tif", tiff(extra, photometric="rgb", extrasamples=["unspecified"], compression="zlib", predictor=True), RGB)
    content = tiff(extra, photometric="rgb", extrasamples=["assocalpha"])
    add("premultiplied.tif", content, pillow(content, "RGBA"))


def small_gray(bits):
    """Gray of 2 or 4 bits, one uncompressed strip."""
    data = b"".join(packed(GRAY >> (8 - bits), bits))
    entries = [(256, 3, WIDTH), (257, 3, HEIGHT), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, HEIGHT), (279, 4, len(data))]
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHII", tag, kind, 1, value)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + bytes(4)


# ---- WebP, GIF, BMP

def webps():
    rgb, rgba = Image.fromarray(RGB), Image.fromarray(RGBA)
    for name, image, options, tolerance in [
        ("lossless", rgb, {"lossless": True}, 0), ("lossless-alpha", rgba, {"lossless": True, "exact": True}, 0),
        ("lossy", rgb, {"quality": 80}, 0), ("lossy-alpha", rgba, {"quality": 80}, 0)]:
        content = saved(image, "WEBP", **options)
        add(f"{name}.webp", content, pillow(content), tolerance=tolerance)
    frames = [Image.fromarray(np.roll(RGB, n, axis=1)) for n in range(4)]
    content = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    add("animated.webp", content, RGB, frames=4)
    exif = Image.Exif()
    exif[0x0112] = 3
    add("turned.webp", saved(rgb, "WEBP", lossless=True, exif=exif), RGB, orientation=3)


def gif(frame, left, top, transparent=None):
    """One uncompressed frame (a clear code keeps codes at 9 bits) on a canvas of the usual size."""
    codes, bits, count = [], 0, 0
    for n, value in enumerate(frame.ravel()):
        if n % 200 == 0:
            codes.append(256)
        codes.append(int(value))
    codes.append(257)
    for code in codes:
        bits |= code << count
        count += 9
    data = bits.to_bytes(count // 8 + 1, "little")
    blocks = b"".join(bytes([len(data[n:n + 255])]) + data[n:n + 255] for n in range(0, len(data), 255))
    control = b"" if transparent is None else b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    return (b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0xF7, 0, 0) + PALETTE.tobytes() + control
            + b"\x2c" + struct.pack("<HHHHB", left, top, frame.shape[1], frame.shape[0], 0) + b"\x08" + blocks + b"\0\x3b")


def gifs():
    quantized = Image.fromarray(RGB).quantize(32)
    for interlace in (0, 1):
        content = saved(quantized, "GIF", interlace=interlace)
        add(f"interlace{interlace}.gif", content, pillow(content, "RGB"))
    content = saved(quantized, "GIF", transparency=5)
    transparent = pillow(content, "RGBA")
    transparent[transparent[..., 3] == 0] = 0
    add("transparent.gif", content, transparent)
    frames = [Image.fromarray(np.roll(RGB, n, axis=1)).quantize(32) for n in range(5)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    add("animated.gif", content, pillow(content, "RGB"), frames=5)
    expected = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    expected[4:14, 3:15] = np.dstack([PALETTE[INDEX[:10, :12]], np.full((10, 12), 255, np.uint8)])
    add("small-frame.gif", gif(INDEX[:10, :12], 3, 4), expected)
    expected[expected[..., 3] == 255] = np.where((INDEX[:10, :12] == 2).reshape(-1, 1), 0, expected[expected[..., 3] == 255])
    add("small-frame-transparent.gif", gif(INDEX[:10, :12], 3, 4, transparent=2), expected)


def bmp(bits, rows, compression=0, palette=b"", masks=b"", top_down=False, header=40):
    """`rows` from top to bottom (bytes for compressed data), padded here."""
    if isinstance(rows, bytes):
        data = rows
    else:
        lines = [row + bytes(-len(row) % 4) for row in rows]
        data = b"".join(lines if top_down else reversed(lines))
    fields = struct.pack("<IiiHHIIiiII", header, WIDTH, -HEIGHT if top_down else HEIGHT, 1, bits, compression, len(data), 2835, 2835, len(palette) // 4, 0)
    info = fields + (masks if header == 40 else masks.ljust(header - 40, b"\0"))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def rle8(index):
    """Runs for the even rows, absolute stretches for the odd ones."""
    data = b""
    for number, row in enumerate(index[::-1]):
        if number % 2:
            data += bytes([0, len(row)]) + row.tobytes() + bytes(len(row) % 2)
        else:
            data += b"".join(bytes([1, value]) for value in row)
        data += b"\0\0"
    return data + b"\0\1"


def rle4(index):
    data = b""
    for row in index[::-1]:
        for n in range(0, len(row), 2):
            pair = row[n:n + 2]
            data += bytes([len(pair), int(pair[0]) << 4 | (int(pair[1]) if len(pair) > 1 else 0)])
        data += b"\0\0"
    return data + b"\0\1"


def bmps():
    palette = np.dstack([PALETTE[:16, 2], PALETTE[:16, 1], PALETTE[:16, 0], np.zeros(16, np.uint8)]).tobytes()
    bgr = RGB[..., ::-1]
    files = {
        "palette1": bmp(1, packed(INDEX % 2, 1), palette=palette[:8]),
        "palette4": bmp(4, packed(INDEX, 4), palette=palette),
        "palette8": bmp(8, packed(INDEX, 8), palette=palette),
        "rle8": bmp(8, rle8(INDEX), compression=1, palette=palette),
        "rle4": bmp(4, rle4(INDEX), compression=2, palette=palette),
        "rgb24": bmp(24, [row.tobytes() for row in bgr]),
        "top-down": bmp(24, [row.tobytes() for row in bgr], top_down=True),
        "rgb32": bmp(32, [np.hstack([row, row[:, :1]]).tobytes() for row in bgr]),
    }
    for name, content in files.items():
        add(f"{name}.bmp", content, pillow(content, "RGB"))
    # Five bits are stretched to eight by repeating them here, and by rounding in Pillow.
    five = (RGB.astype(np.uint16) >> 3)
    rgb555 = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    content = bmp(16, [row.tobytes() for row in rgb555])
    add("rgb555.bmp", content, pillow(content, "RGB"), tolerance=1)
    rgb565 = (five[..., 0] << 11 | (RGB[..., 1].astype(np.uint16) >> 2) << 5 | five[..., 2]).astype("<u2")
    content = bmp(16, [row.tobytes() for row in rgb565], compression=3, masks=struct.pack("<3I", 0xF800, 0x07E0, 0x001F))
    add("rgb565.bmp", content, pillow(content, "RGB"), tolerance=1)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    content = bmp(32, [np.dstack([bgr, ALPHA])[n].tobytes() for n in range(HEIGHT)], compression=3, masks=masks, header=108)
    add("rgba32.bmp", content, pillow(content, "RGBA"))


def exif_photo():
    """A JPEG with what cameras write; formats.rs knows the values."""
    exif = Image.Exif()
    exif[0x010F] = "Soren's \"Cameras\""
    exif[0x0112] = 6
    details = exif.get_ifd(0x8769)
    details[0x829A] = IFDRational(1, 250)
    details[0x829D] = IFDRational(28, 10)
    details[0x8827] = 400
    details[0x9003] = "2024:03:07 12:34:56"
    details[0x927C] = bytes(range(256)) * 20
    gps = exif.get_ifd(0x8825)
    gps[1] = "N"
    gps[2] = (52.0, 30.0, 15.5)
    (HERE / "exif.jpg").write_bytes(saved(Image.fromarray(RGB), "JPEG", exif=exif))


if __name__ == "__main__":
    exif_photo()
    for old in [*HERE.glob("*.raw"), *(p for p in HERE.iterdir() if p.suffix in {".png", ".tif", ".webp", ".gif", ".bmp"})]:
        old.unlink()
    pngs()
    tiffs()
    webps()
    gifs()
    bmps()
    (HERE / "manifest.txt").write_text("\n".join(manifest) + "\n")
