"""Every image function through SQL against Pillow, imagehash, numpy, scipy and scikit-image.

Pictures come as PNG, so that both sides see the same pixels, unless a test is about JPEG."""

import io
from pathlib import Path

import adbc_driver_manager
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

import reference_images as reference

PHOTOS = Path(__file__).parents[1] / "examples/photos"
#: Longest side of the pictures, in pixels.
SIDE = 360


def png(picture) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def ingest(shoal, schema, name, contents: dict) -> str:
    table = pa.table({"filename": list(contents), "content": pa.array(contents.values(), pa.binary())})
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="create", catalog_name="lake", db_schema_name=schema)
    return f"{schema}.{name}"


def whole_photos() -> list[Path]:
    return [path for path in sorted(PHOTOS.rglob("*.*")) if path.parent.name != "broken" and path.suffix != ".md"]


@pytest.fixture
def pictures(shoal, schema):
    """A table of PNG pictures, and the same as Pillow's, by name."""
    known = {}
    for path in whole_photos():
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        known[path.stem] = picture
    first = next(iter(known.values()))
    known["gray"] = first.convert("L")
    known["odd"] = first.crop((3, 5, 64, 42))
    return ingest(shoal, schema, "pictures", {name: png(picture) for name, picture in known.items()}), known


def error_of(shoal, sql) -> str:
    with pytest.raises(adbc_driver_manager.Error) as raised:
        shoal.rows(sql)
    return str(raised.value)


def by_name(shoal, table, expression) -> dict:
    return dict(shoal.rows(f"SELECT filename, {expression} FROM {table}"))


def pixels(image) -> np.ndarray:
    """An IMAGE as numpy sees it: height x width x channels."""
    kind = {"": np.uint8, "16": "<u2", "32F": "<f4"}[image["mode"].lstrip("LRGBA")]
    values = np.frombuffer(image["data"], kind)
    return values.reshape(image["height"], image["width"], image["channels"])


def array(picture) -> np.ndarray:
    values = np.asarray(picture)
    return values if values.ndim == 3 else values[..., None]


@pytest.mark.parametrize("method", reference.HASHES)
@pytest.mark.parametrize("size", [8, 16])
def test_hashes_are_those_of_imagehash(shoal, pictures, method, size):
    table, known = pictures
    for name, value in by_name(shoal, table, f"image_hash(content, '{method}', {size})").items():
        if size == 8:
            value = value.to_bytes(8, "big", signed=True)
        assert value == reference.image_hash(known[name], method, size), name


def test_stats_are_those_of_numpy(shoal, pictures):
    table, known = pictures
    for name, found in by_name(shoal, table, "image_stats(content)").items():
        expected = reference.image_stats(known[name])
        for channel in ("red", "green", "blue"):
            expected[channel]["stddev"] = expected[channel].pop("standard_deviation")
            assert found.pop(channel) == pytest.approx(expected.pop(channel)), name
        assert found == pytest.approx(expected), name


@pytest.mark.parametrize("bins", [1, 7, 32, 256])
def test_histograms_are_those_of_numpy(shoal, pictures, bins):
    table, known = pictures
    for name, found in by_name(shoal, table, f"image_histogram(content, {bins})").items():
        np.testing.assert_allclose(found, reference.image_histogram(known[name], bins), atol=1e-6, err_msg=name)


def test_gradients_and_patterns_are_those_of_scikit_image(shoal, pictures):
    table, known = pictures
    rows = shoal.rows(f"SELECT filename, image_hog(content), image_lbp(content), image_sharpness(content) FROM {table}")
    for name, hog, lbp, sharpness in rows:
        np.testing.assert_allclose(lbp, reference.image_lbp(known[name]), atol=1e-6, err_msg=name)
        assert sharpness == pytest.approx(reference.image_sharpness(known[name])), name
        # The resizers of both sides may differ by 1 of 255 in a pixel, which turns gradients of flat areas.
        expected = reference.image_hog(known[name])
        assert np.dot(hog, expected) / np.linalg.norm(hog) / np.linalg.norm(expected) > 0.98, name


def test_dominant_colors_are_as_good_as_those_of_k_means(shoal, pictures):
    table, known = pictures
    for name, found in by_name(shoal, table, "image_dominant_colors(content, 4)").items():
        colors = [(color["red"], color["green"], color["blue"]) for color in found]
        shares = [color["share"] for color in found]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-5)
        picture = known[name].convert("RGB")
        picture.thumbnail((64, 64))
        palette = picture.quantize(4, kmeans=8).getpalette()[:12]
        other = [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]
        assert reference.inertia(known[name], colors) < 1.05 * reference.inertia(known[name], other), name


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "YCbCr", "HSV", "LAB"])
def test_modes_are_those_of_pillow_and_color_spaces_those_of_scikit_image(shoal, pictures, mode):
    table, known = pictures
    for name, image in by_name(shoal, table, f"image_convert(content, '{mode}')").items():
        expected = reference.image_convert(known[name], mode)
        tolerance = {"YCbCr": 1, "HSV": 1e-4, "LAB": 1e-2}.get(mode, 0)
        found = pixels(image).astype(float)
        assert np.abs(found - array(expected)).max() <= tolerance, name


@pytest.mark.parametrize("filter", reference.FILTERS)
@pytest.mark.parametrize("fit", ["exact", "fit", "fill"])
def test_resizing_is_that_of_pillow(shoal, pictures, filter, fit):
    table, known = pictures
    call = f"image_resize(content, 90, 70, filter => '{filter}', fit => '{fit}')"
    for name, image in by_name(shoal, table, call).items():
        expected = reference.image_resize(known[name], 90, 70, fit, filter)
        if fit == "fill" and filter == "nearest":
            continue  # A pixel more or less on the left moves all that follow.
        found = pixels(image).astype(float)
        assert found.shape == array(expected).shape, name
        difference = np.abs(found - array(expected))
        # Where two pixels are equally near, or a sharp filter overshoots, both sides round differently.
        if filter == "nearest":
            assert (difference > 0).mean() < 0.1, name
            continue
        assert difference.mean() < 0.5 and (difference > 2).mean() < 0.01, (name, difference.max())
        assert filter != "bilinear" or fit == "fill" or difference.max() <= 1, (name, difference.max())


def test_cutting_and_turning_are_those_of_pillow(shoal, pictures):
    table, known = pictures
    rows = shoal.rows(f"""
        SELECT filename, image_crop(content, -5, 10, 40, length(filename)), image_rotate(content, 90),
               image_rotate(content, -180), image_flip(content, 'vertical'), image_crop(content, 999, 0, 1, 1)
        FROM {table}""")
    for name, crop, turned, reverse, flipped, outside in rows:
        picture = known[name]
        assert np.array_equal(pixels(crop), array(reference.image_crop(picture, -5, 10, 40, len(name)))), name
        assert np.array_equal(pixels(turned), array(reference.image_rotate(picture, 90))), name
        assert np.array_equal(pixels(reverse), array(reference.image_rotate(picture, 180))), name
        assert np.array_equal(pixels(flipped), array(ImageOps.flip(picture))), name
        assert outside is None


def test_tensors_are_those_of_torchvision(shoal, pictures):
    table, known = pictures
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for layout in ("CHW", "HWC"):
        call = f"image_to_tensor(content, 48, 32, {mean}, {std}, layout => '{layout}')"
        for name, found in by_name(shoal, table, call).items():
            small = known[name].convert("RGB").resize((48, 32), Image.Resampling.BILINEAR)
            expected = reference.image_to_tensor(small, layout, mean, std)
            # A pixel may differ by 1 or 2 of 255.
            np.testing.assert_allclose(np.array(found), expected.ravel(), atol=2 / 255 / 0.224 + 1e-5, err_msg=name)


@pytest.mark.parametrize("form", ["png", "webp", "tiff"])
def test_lossless_formats_keep_every_pixel(shoal, pictures, form):
    table, known = pictures
    for name, encoded in by_name(shoal, table, f"image_encode(content, '{form}')").items():
        with Image.open(io.BytesIO(encoded)) as found:
            assert found.format.lower() == form
            assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(known[name].convert("RGB"))), name


@pytest.mark.parametrize("quality", [50, 85, 95])
@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_a_lossy_picture_is_as_good_and_as_small_as_pillows(shoal, pictures, form, quality):
    table, known = pictures
    for name, encoded in by_name(shoal, table, f"image_encode(content, '{form}', {quality})").items():
        picture = known[name].convert("RGB")
        theirs = reference.lossy(picture, form, quality)
        errors = []
        for content in (encoded, theirs):
            with Image.open(io.BytesIO(content)) as found:
                assert found.format.lower() == form and found.size == picture.size
                errors.append(np.square(np.asarray(found.convert("RGB"), float) - np.asarray(picture)).mean())
        assert errors[0] < 1.15 * errors[1] and len(encoded) < 1.3 * len(theirs) + 700, name


def test_a_lossy_webp_keeps_alpha_as_it_is(shoal, schema):
    picture = next(Image.open(path) for path in whole_photos() if path.name == "coffee-02.png").convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    table = ingest(shoal, schema, "alpha", {"clear": png(picture), "opaque": png(picture.convert("RGB"))})
    encoded = by_name(shoal, table, "image_encode(content, 'webp', 80)")
    with Image.open(io.BytesIO(encoded["clear"])) as found, Image.open(io.BytesIO(encoded["opaque"])) as opaque:
        assert (found.mode, opaque.mode) == ("RGBA", "RGB")
        assert np.array_equal(np.asarray(found.getchannel("A")), np.asarray(picture.getchannel("A")))
        seen = np.asarray(picture)[..., 3] > 0
        difference = np.abs(np.asarray(found, float)[..., :3] - np.asarray(picture)[..., :3])[seen]
        assert difference.mean() < 6


def test_a_large_webp_of_many_prefix_codes_is_decoded(shoal, schema):
    """Their memory is counted before they are read, and must not be taken for that of a file made to hurt."""
    photos = [ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize((500, 500)) for path in whole_photos()]
    mosaic = Image.new("RGB", (2000, 1500))
    for number, photo in enumerate(photos[:12]):
        mosaic.paste(photo, (number % 4 * 500, number // 4 * 500))
    encoded = io.BytesIO()
    mosaic.save(encoded, "WEBP", lossless=True)
    table = ingest(shoal, schema, "large", {"mosaic": encoded.getvalue()})
    [(error, image)] = shoal.rows(f"SELECT image_error(content), image_decode(content) FROM {table}")
    assert error is None and np.array_equal(pixels(image), np.asarray(mosaic))


def test_transparent_pixels_show_the_background(shoal, schema):
    picture = Image.new("RGBA", (40, 30), (200, 100, 0, 128))
    table = ingest(shoal, schema, "transparent", {"a": png(picture)})
    [(white, blue, encoded)] = shoal.rows(f"""
        SELECT image_convert(content, 'RGB'), image_convert(content, 'RGB', '#0000ff'),
               image_encode(content, 'jpeg', background => '#0000ff') FROM {table}""")
    for image, below in ((white, (255, 255, 255)), (blue, (0, 0, 255))):
        expected = Image.alpha_composite(Image.new("RGBA", picture.size, (*below, 255)), picture)
        assert np.abs(pixels(image).astype(int) - array(expected.convert("RGB"))).max() <= 1
    with Image.open(io.BytesIO(encoded)) as found:
        assert np.abs(np.array(found.getpixel((20, 15))) - pixels(blue)[15, 20]).max() <= 4


def test_decoding_gives_pillows_pixels_upright(shoal, schema):
    table = ingest(shoal, schema, "photos", {path.name: path.read_bytes() for path in whole_photos()})
    rows = shoal.rows(f"SELECT filename, image_decode(content), image_decode(content, orient => false) FROM {table}")
    assert len(rows) >= 12
    for name, upright, stored in rows:
        [path] = [path for path in whole_photos() if path.name == name]
        with Image.open(path) as picture:
            assert (stored["width"], stored["height"]) == picture.size
            expected = ImageOps.exif_transpose(picture)
            expected = expected.convert("RGB" if upright["mode"] == "RGB" else expected.mode)
            found = pixels(upright).astype(int)
            if upright["mode"] == "RGB16":
                found >>= 8  # Pillow keeps the upper half of 16 bits.
            difference = np.abs(found - array(expected))
        # JPEG and lossy WebP decoders round differently, and sharpen colors differently.
        lossy = name.endswith((".jpg", ".webp"))
        assert difference.mean() <= (1 if lossy else 0), (name, difference.max())


def test_reduced_decoding_is_close_to_full_decoding(shoal, schema):
    table = ingest(shoal, schema, "photos", {path.name: path.read_bytes() for path in whole_photos()})
    rows = shoal.rows(f"""
        SELECT filename, hamming_distance(image_hash(content), image_hash(image_decode(content))),
               vector_cosine_similarity(image_features(content), image_features(image_decode(content)))
        FROM {table}""")
    for name, bits, cosine in rows:
        assert bits <= 6, name
        assert cosine > 0.99, name


@pytest.mark.parametrize("filter", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_resizing_is_close_to_that_of_the_full_picture(shoal, schema, filter):
    table = ingest(shoal, schema, "resized", {path.name: path.read_bytes() for path in whole_photos()})
    # The photos are small: only sizes like these are below a half, a quarter and an eighth of them.
    for side in (30, 60, 100):
        reduced, full = (f"image_resize({picture}, {side}, {side * 4 // 5}, filter => '{filter}')"
                         for picture in ("content", "image_decode(content)"))
        for name, reduced, full in shoal.rows(f"SELECT filename, {reduced}, {full} FROM {table}"):
            difference = np.abs(pixels(reduced).astype(int) - pixels(full)).mean()
            # A photo on its side is turned before or after scaling, and a box takes the other of two equally near.
            most = {"nearest": 0, "box": 0.2}.get(filter, 1.5)
            assert difference <= most, (name, side, difference)


def test_several_functions_answer_as_each_alone(shoal, pictures):
    table, _ = pictures
    calls = ["image_hash(content)", "image_features(content)", "image_width(image_thumbnail(content, 50))",
             "image_stats(image_resize(content, 64, 64))", "image_sharpness(content)", "image_format(content)"]
    together = shoal.rows(f"SELECT filename, {', '.join(calls)} FROM {table} ORDER BY filename")
    for index, call in enumerate(calls, 1):
        alone = shoal.rows(f"SELECT filename, {call} FROM {table} ORDER BY filename")
        assert [(row[0], row[index]) for row in together] == alone, call


def test_a_bad_picture_is_null_with_a_reason_or_an_error(shoal, schema):
    broken = {path.name: path.read_bytes() for path in (PHOTOS / "broken").iterdir()}
    table = ingest(shoal, schema, "broken", broken)
    rows = shoal.rows(f"SELECT filename, image_decode(content), image_error(content) FROM {table} ORDER BY filename")
    reasons = {name: reason and reason.split(":")[0] for name, image, reason in rows}
    assert {name for name, image, _ in rows if image} == {"disguised.jpg"}
    assert reasons == {"disguised.jpg": None, "empty.jpg": "empty", "notes.jpg": "not_an_image", "truncated.jpg": "truncated"}
    error = error_of(shoal, f"SELECT image_decode(content, on_error => 'raise') FROM {table}")
    assert "image_decode: " in error and "on_error => 'null'" in error


@pytest.mark.parametrize("call, message", [
    ("image_resize(content, 0, 10)", "width is from 1 to 16384, not 0"),
    ("image_resize(content, 10)", "needs its argument height"),
    ("image_resize(content, 10, 10, filter => 'sinc')", "there is no resize filter 'sinc'"),
    ("image_resize(content, 10, 10, colour => 'x')", "image_resize has no argument colour"),
    ("image_rotate(content, 45)", "a multiple of 90, not 45"),
    ("image_convert(content, 'CMYK')", "there is no image mode 'CMYK'"),
    ("image_encode(content, 'gif')", "cannot be encoded as 'gif'"),
    ("image_encode(content, 'png', 80)", "takes no quality"),
    ("image_encode(content, 'jpeg', 101)", "quality must be from 1 to 100, not 101"),
    ("image_encode(content, 'webp', 0)", "quality must be from 1 to 100, not 0"),
    ("image_hash(content, 'md5')", "there is no hash method 'md5'"),
    ("image_hash(content, 'wavelet', 9)", "wavelet"),
    ("image_hash(content, on_error => 'ignore')", "on_error is one of null, raise, not 'ignore'"),
    ("image_to_tensor(content, 8, 8, std => [1, 0, 1])", "std is above zero"),
    ("image_to_tensor(content, 8, 8, [1])", "mean has three numbers, not 1"),
    ("image_histogram(content, 1000)", "bins is from 1 to 256, not 1000"),
    ("image_decode(image_decode(content))", "takes an encoded picture as BINARY, not an IMAGE"),
    ("image_hash(filename)", "takes an encoded picture as BINARY"),
])
def test_a_wrong_constant_fails_before_the_query_runs(shoal, pictures, call, message):
    table, _ = pictures
    # An array is a constant only after the optimizer has been over it.
    condition = "true" if "tensor" in call else "false"
    assert message in error_of(shoal, f"SELECT {call} FROM {table} WHERE {condition}")
