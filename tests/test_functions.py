"""Image and vector functions against Pillow, numpy and imagehash, on the photos of the quickstart."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import reference_features as reference

PHOTOS = Path(__file__).parents[1] / "examples/photos"
#: The JPEG decoders, and the resizers, of both sides round differently: by this much may one number
#: of the vector differ, and this close to 1 must the cosine of both vectors be. Large JPEGs, which
#: Shoal decodes at a quarter of their size, are the farthest.
LARGEST_DIFFERENCE = 0.02
SMALLEST_COSINE = 0.999


@pytest.fixture
def photos(shoal, schema):
    """A table of the whole photos, by name and content; and what is in it."""
    paths = [path for path in PHOTOS.rglob("*.*") if path.parent.name != "broken" and path.suffix != ".md"]
    contents = {path.name: path.read_bytes() for path in paths}
    table = pa.table({"filename": list(contents), "content": pa.array(contents.values(), pa.binary())})
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("photos", table, mode="create", catalog_name="lake", db_schema_name=schema)
    return f"{schema}.photos", contents


def test_image_features_are_those_of_pillow_and_numpy(shoal, photos):
    table, contents = photos
    rows = shoal.rows(f"SELECT filename, image_features(content) FROM {table}")
    assert len(rows) == len(contents) >= 12
    for name, vector in rows:
        expected = reference.features(contents[name])
        assert np.abs(np.array(vector) - expected).max() < LARGEST_DIFFERENCE, name
        cosine = np.dot(vector, expected) / np.linalg.norm(vector) / np.linalg.norm(expected)
        assert cosine > SMALLEST_COSINE, name


def test_image_hash_is_that_of_imagehash(shoal, photos):
    table, contents = photos
    for name, value in shoal.rows(f"SELECT filename, image_hash(content) FROM {table}"):
        differing = (value ^ reference.phash(contents[name])) & (2**64 - 1)
        # The same pixels give the same bits; JPEG and WebP decoders differ in a pixel here and there.
        allowed = 2 if name.endswith((".jpg", ".webp")) else 0
        assert differing.bit_count() <= allowed, name


def test_image_info_is_what_pillow_reads(shoal, photos):
    table, contents = photos
    for name, info in shoal.rows(f"SELECT filename, image_info(content) FROM {table}"):
        width, height, form = reference.info(contents[name])
        assert (info["width"], info["height"], info["format"]) == (width, height, form), name
        assert info["mime_type"] == f"image/{form}"


def test_a_thumbnail_is_a_small_upright_jpeg(shoal, photos):
    table, contents = photos
    for name, thumbnail in shoal.rows(f"SELECT filename, image_thumbnail(content, 96) FROM {table}"):
        small, whole = reference.upright_on_white(thumbnail), reference.upright_on_white(contents[name])
        assert reference.info(thumbnail)[2] == "jpeg"
        assert max(small.size) == 96
        assert (small.width < small.height) == (whole.width < whole.height), name


def test_vectors_are_compared_as_numpy_does(shoal, photos):
    table, contents = photos
    query = f"""
        SELECT a.filename, b.filename,
               vector_cosine_similarity(image_features(a.content), image_features(b.content)),
               vector_l2_distance(image_features(a.content), image_features(b.content))
        FROM {table} a JOIN {table} b ON a.filename < b.filename
        WHERE a.filename LIKE 'coffee%' AND b.filename LIKE 'co%'"""
    vectors = dict(shoal.rows(f"SELECT filename, image_features(content) FROM {table}"))
    rows = shoal.rows(query)
    assert rows
    for first, second, cosine, distance in rows:
        a, b = np.array(vectors[first]), np.array(vectors[second])
        assert cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
        assert distance == pytest.approx(np.linalg.norm(a - b), abs=1e-6)


def test_broken_pictures_are_null(shoal, schema):
    broken = [path.read_bytes() for path in sorted((PHOTOS / "broken").iterdir()) if path.name != "disguised.jpg"]
    table = pa.table({"content": pa.array([*broken, None], pa.binary())})
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("broken", table, mode="create", catalog_name="lake", db_schema_name=schema)
    rows = shoal.rows(
        "SELECT image_info(content), image_features(content), image_hash(content), image_thumbnail(content, 9) "
        f"FROM {schema}.broken")
    assert rows == [(None, None, None, None)] * (len(broken) + 1)
