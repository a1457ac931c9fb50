"""Makes examples/photos/ from the free pictures inside the scikit-image package.

Needs `scikit-image` and `pillow`; run `python examples/make_photos.py`. It writes every file and
ATTRIBUTION.md, so the table there says what was done because this script did it. The pictures come
in groups of the same subject, named `<subject>-<nn>`, so that nearest neighbors can be judged.
"""

import shutil
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageEnhance

SOURCE = Path(skimage.__file__).parent / "data"
TARGET = Path(__file__).parent / "photos"
EXIF_ORIENTATION = 0x0112
ROTATE_90_CW_TO_SHOW = 6

# subject: (file in scikit-image, author, license, where scikit-image took it from)
SOURCES = {
    "astronaut": ("astronaut.png", "NASA (portrait of Eileen Collins)", "public domain",
                  "https://flic.kr/p/r9qvLn"),
    "cat": ("chelsea.png", "Stefan van der Walt", "CC0 1.0", "the photographer"),
    "cell": ("cell.png", "Paul Müller et al.", "CC0 1.0", "https://doi.org/10.1364/OE.26.010729"),
    "coffee": ("coffee.png", "Rachel Michetti", "CC0 1.0", "the photographer"),
    "coins": ("coins.png", "Brooklyn Museum", "no known copyright restrictions",
              "https://www.brooklynmuseum.org/opencollection/archives/image/51611"),
    "galaxies": ("hubble_deep_field.jpg", "NASA, ESA (Hubble eXtreme Deep Field)", "public domain",
                 "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/"),
    "photographer": ("camera.png", "Lav Varshney", "CC0 1.0", "the photographer"),
    "retina": ("retina.jpg", "Mikael Häggström", "CC0 1.0",
               "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg"),
    "rocket": ("rocket.jpg", "SpaceX (launch of DSCOVR)", "public domain",
               "https://www.flickr.com/photos/spacexphotos/16511594820/"),
}

rows = []


def source(subject):
    return Image.open(SOURCE / SOURCES[subject][0])


def record(path, subject, change):
    file, author, license, origin = SOURCES[subject]
    rows.append((path, f"scikit-image `{file}`", author, license, origin, change))


def write(path, subject, change, picture, **options):
    """Saves one picture and notes in the attribution what was changed."""
    target = TARGET / path
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, **options)
    record(path, subject, change)


def write_png16(path, subject, change, picture):
    """Pillow cannot save 16 bits per color channel, so the chunks are put together here."""
    eight = np.asarray(picture.convert("RGB"), dtype=np.uint16)
    height, width, _ = eight.shape
    lines = (eight * 257).astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    target = TARGET / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                       + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))
    record(path, subject, change)


def broken(path, subject, change, content):
    target = TARGET / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    if subject:
        record(path, subject, change)
    else:
        rows.append((path, "made for Shoal", "Shoal contributors", "CC0 1.0", "", change))


def encoded(picture, **options):
    buffer = BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def rounded(picture, radius):
    """Transparent outside a rounded rectangle."""
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, picture.width - 1, picture.height - 1), radius, 255)
    picture = picture.convert("RGBA")
    picture.putalpha(mask)
    return picture


def turned(picture):
    """Pixels lying on their side, and the EXIF tag that puts them upright."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = ROTATE_90_CW_TO_SHOW
    return picture.transpose(Image.Transpose.ROTATE_90), exif


def main():
    shutil.rmtree(TARGET, ignore_errors=True)

    cat = source("cat").convert("RGB")
    write("2024/03/05/cat-01.jpg", "cat", "baseline JPEG, quality 90", cat, quality=90)
    write("2024/03/05/cat-02.jpg", "cat", "cropped, brightened, progressive JPEG, quality 85",
          ImageEnhance.Brightness(cat.crop((20, 10, 431, 290))).enhance(1.15),
          quality=85, progressive=True)
    side, exif = turned(ImageEnhance.Brightness(cat).enhance(0.85))
    write("2024/03/06/cat-03.jpg", "cat", "darkened, stored on its side with EXIF orientation 6",
          side, quality=88, exif=exif)

    coffee = source("coffee").convert("RGB")
    write("2024/03/06/coffee-01.jpg", "coffee", "baseline JPEG, quality 90", coffee, quality=90)
    write("2024/03/06/coffee-02.png", "coffee", "cropped, rounded transparent corners, RGBA PNG",
          rounded(coffee.crop((30, 10, 590, 390)).resize((420, 285)), 24), optimize=True)
    write("2024/03/07/coffee-03.jpg", "coffee", "converted to CMYK JPEG, quality 88",
          coffee.resize((540, 360)).convert("CMYK"), quality=88)

    astronaut = source("astronaut").convert("RGB")
    write("2024/03/07/astronaut-01.jpg", "astronaut", "progressive JPEG, quality 88",
          astronaut, quality=88, progressive=True)
    write_png16("2024/03/07/astronaut-02.png", "astronaut", "scaled, PNG with 16 bits per channel",
                astronaut.crop((16, 0, 496, 480)).resize((300, 300)))
    write("2024/04/01/astronaut-03.jpg", "astronaut", "cropped, darkened, 4:4:4 JPEG, quality 80",
          ImageEnhance.Brightness(astronaut.crop((0, 10, 500, 510))).enhance(0.8),
          quality=80, subsampling=0)

    rocket = source("rocket").convert("RGB")
    write("2024/04/01/rocket-01.jpg", "rocket", "re-encoded as JPEG, quality 85", rocket, quality=85)
    write("2024/04/02/rocket-02.webp", "rocket", "cropped, lossy WebP, quality 80",
          rocket.crop((15, 5, 625, 420)), quality=80)
    write("2024/04/02/rocket-03.bmp", "rocket", "scaled, 24-bit BMP", rocket.resize((256, 171)))

    retina = source("retina").convert("RGB")
    write("scans/eye/retina-01.tif", "retina", "scaled, TIFF with LZW",
          retina.resize((400, 400)), compression="tiff_lzw")
    write("scans/eye/retina-02.tif", "retina", "cropped, scaled, brightened, TIFF with deflate",
          ImageEnhance.Brightness(retina.crop((40, 40, 1371, 1371)).resize((360, 360))).enhance(1.1),
          compression="tiff_adobe_deflate")
    write("scans/eye/retina-03.jpg", "retina", "scaled, JPEG with restart markers, quality 85",
          retina.resize((1024, 1024)), quality=85, restart_marker_rows=1)

    coins = source("coins").convert("L")
    write("scans/museum/coins-01.tif", "coins", "8-bit gray TIFF with LZW", coins,
          compression="tiff_lzw")
    write("scans/museum/coins-02.jpg", "coins", "cropped, gray JPEG, quality 85",
          coins.crop((8, 8, 380, 300)), quality=85)
    write("scans/museum/coins-03.gif", "coins", "scaled, GIF", coins.resize((288, 227)))

    write("scans/lab/cell-01.tif", "cell", "uncompressed gray TIFF", source("cell").convert("L").resize((275, 330)))
    write("2024/04/02/galaxies-01.jpg", "galaxies", "re-encoded as JPEG, quality 80",
          source("galaxies").convert("RGB"), quality=80)
    write("2024/04/02/photographer-01.jpg", "photographer", "gray JPEG, quality 85",
          source("photographer").convert("L"), quality=85)

    whole = encoded(coffee, format="JPEG", quality=85)
    broken("broken/truncated.jpg", "coffee", "JPEG cut after 60 % of its bytes",
           whole[: len(whole) * 6 // 10])
    broken("broken/empty.jpg", None, "zero bytes", b"")
    broken("broken/notes.jpg", None, "a text with a picture's name",
           b"Remember to ask for the pictures from the second camera.\n")
    broken("broken/disguised.jpg", "cat", "scaled, a PNG with a JPEG's name",
           encoded(cat.resize((226, 150)), format="PNG"))

    header = """# The example pictures

Real photographs and scans under free licenses, from the scikit-image package (its
`skimage/data/_fetchers.py` names authors and licenses), changed as the last column says. Made by
`examples/make_photos.py`; do not edit by hand. The pictures in `broken/` are broken on purpose.

| File | Source | Author | License | Origin | Change |
|-|-|-|-|-|-|
"""
    lines = ("| " + " | ".join(row) + " |\n" for row in rows)
    (TARGET / "ATTRIBUTION.md").write_text(header + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
