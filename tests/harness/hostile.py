"""Files made to hurt whoever decodes them, for tests through SQL. The Rust tests of `images/` have many
more (`images/tests/hostile`); these are one of each kind, and cut-off copies of whole pictures."""

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image


def _picture() -> Image.Image:
    return Image.merge("RGB", [Image.linear_gradient("L").resize((64, 48)), Image.radial_gradient("L").resize((64, 48)),
                               Image.linear_gradient("L").rotate(90).resize((64, 48))])


def whole_files() -> dict[str, bytes]:
    """A good picture of each format."""
    files = {}
    for name, kind in [("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("gif", "GIF"), ("webp", "WEBP"), ("bmp", "BMP")]:
        buffer = io.BytesIO()
        _picture().save(buffer, kind)
        files[f"whole.{name}"] = buffer.getvalue()
    return files


def cut_files() -> dict[str, bytes]:
    """Each of them cut at every sixteenth."""
    return {f"cut-{part:02}-{name}": content[:len(content) * part // 16]
            for name, content in whole_files().items() for part in range(16)}


def flipped_files(count: int) -> dict[str, bytes]:
    """That many of each format with a few bytes changed; the same ones every time. Some are still pictures."""
    generator = random.Random(7)
    files = {}
    for name, content in whole_files().items():
        for number in range(count):
            changed = bytearray(content)
            for _ in range(generator.randint(1, 8)):
                changed[generator.randrange(min(len(changed), generator.choice([200, len(changed)])))] = generator.randrange(256)
            files[f"flipped-{number:04}-{name}"] = bytes(changed)
    return files


def _png(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]:
        file += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return file


def _tiff(width: int, height: int, compression: int, data: bytes, next_page: int = 0, **more: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1, 278: height, 279: len(data)}
    tags |= {int(tag[1:]): value for tag, value in more.items()}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page) + data


def bad_files() -> dict[str, bytes]:
    """Files that are no pictures anyone can use, each for a reason of its own."""
    zeros = zlib.compress(bytes(1_000_000), 9)
    jpeg = whole_files()["whole.jpg"]
    size = jpeg.index(struct.pack(">HH", 48, 64))
    brands = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"
    return {
        "empty.png": b"",
        "zeros.jpg": bytes(100_000),
        "text.gif": b"This is no picture.",
        "png-65535-squared.png": _png(65_535, 65_535, zeros),
        "png-largest.png": _png(2**32 - 1, 2**32 - 1, zeros),
        "png-no-height.png": _png(10, 0, zeros),
        "png-bomb.png": _png(20_000, 20_000, zlib.compress(bytes(400_000_000), 9)),
        "png-data-too-short.png": _png(5000, 5000, zeros),
        "jpeg-65535-squared.jpg": jpeg[:size] + b"\xff\xff\xff\xff" + jpeg[size + 4:],
        "jpeg-no-width.jpg": jpeg[:size + 2] + b"\0\0" + jpeg[size + 4:],
        "tiff-loop.tif": _tiff(8, 8, 1, bytes(64), next_page=8),
        "tiff-bomb.tif": _tiff(60_000, 60_000, 8, zeros),
        "tiff-too-short.tif": _tiff(5000, 5000, 8, zeros),
        "tiff-wide-tile.tif": _tiff(100, 100, 8, zeros, t322=2**31, t323=100, t324=200, t325=100),
        "gif-65535-squared.gif": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
                                 + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\0\x3b",
        "bmp-65535-squared.bmp": b"BM" + struct.pack("<IHHI", 56, 0, 0, 54)
                                 + struct.pack("<IiiHHIIiiII", 40, 65_535, 65_535, 1, 8, 1, 2, 0, 0, 0, 0) + b"\0\1",
        "wrong-magic.jpg": b"\xff\xd8\xff" + whole_files()["whole.png"][3:],
        "avif.avif": brands + bytes(500),
        "page.svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        "document.pdf": b"%PDF-1.7\n" + bytes(500),
    }


def odd_files() -> dict[str, bytes]:
    """Files that look dangerous and are pictures all the same."""
    directory = struct.pack("<H", 1) + struct.pack("<HHII", 270, 2, 1_000_000, 26) + struct.pack("<I", 8)
    exif = b"II*\0\x08\0\0\0" + directory + b"x" * 1_000_000
    pixels = zlib.compress(bytes(5 * 17), 9)
    frames = [_picture().rotate(angle) for angle in range(0, 360, 30)]
    animated, pages = io.BytesIO(), io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    frames[0].save(pages, "TIFF", save_all=True, append_images=frames[1:])
    return {
        "giant-exif.png": _png(4, 5, pixels, (b"eXIf", exif)),
        "sub-directory-is-itself.tif": _tiff(8, 8, 1, bytes(64), t330=8, t34665=8),
        "animated.gif": animated.getvalue(),
        "pages.tif": pages.getvalue(),
    }


def write(folder: Path, files: dict[str, bytes]):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
