"""Images in: the photos of the quickstart, the command and the statement, again and again."""

import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

PHOTOS = Path(__file__).parents[1] / "examples/photos"
BROKEN = {"disguised.jpg", "empty.jpg", "notes.jpg", "truncated.jpg"}


@pytest.fixture
def lake(shoal):
    """`shoal` with no image tables before and after."""
    yield shoal
    shoal.run("DROP TABLE IF EXISTS raw.images PURGE", "DROP TABLE IF EXISTS raw.images_rejected PURGE")


@pytest.fixture
def photos(tmp_path):
    """A copy of the quickstart's photos, to change."""
    folder = tmp_path / "photos"
    shutil.copytree(PHOTOS, folder)
    return folder


def good_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name not in BROKEN and path.suffix != ".md"]


def test_every_whole_photo_is_taken_in_and_every_broken_one_is_named(lake, photos):
    lake.cli("ingest", "images", photos)
    rows = lake.table("SELECT id, filename, mime_type, size, metadata, content FROM raw.images").to_pylist()
    expected = {hashlib.md5(path.read_bytes()).hexdigest() for path in good_files(photos)}
    assert {hashlib.md5(row["content"]).hexdigest() for row in rows} == expected
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        [path] = [path for path in good_files(photos) if path.read_bytes() == row["content"]][:1]
        with Image.open(path) as image:
            assert (row["metadata"]["width"], row["metadata"]["height"]) == image.size, path
            assert row["metadata"]["format"].upper() == image.format, path
    rejected = {Path(row[0]).name: row[1] for row in lake.rows("SELECT path, reason FROM raw.images_rejected")}
    assert BROKEN <= rejected.keys()
    assert all(rejected.values())


def test_a_second_run_takes_in_only_what_is_new_or_changed(lake, photos):
    copy = f"COPY INTO raw.images FROM '{photos}' FILEFORMAT = IMAGE"
    lake.run(copy)
    before = lake.value("SELECT count(*) FROM raw.images")
    lake.run(copy)
    assert lake.value("SELECT count(*) FROM raw.images") == before
    Image.new("RGB", (31, 17), (200, 10, 10)).save(photos / "new.png")
    lake.run(copy)
    assert lake.value("SELECT count(*) FROM raw.images") == before + 1
    assert lake.rows("SELECT metadata['width'], metadata['height'] FROM raw.images WHERE filename LIKE '%new.png'") == [(31, 17)]


def test_features_are_vectors_and_broken_images_are_null(lake, photos):
    lake.run(f"COPY INTO raw.images FROM '{photos}' FILEFORMAT = IMAGE")
    [(images, vectors, lengths)] = lake.rows(
        "SELECT count(*), count(f), count(DISTINCT cardinality(f)) FROM (SELECT image_features(content) AS f FROM raw.images)")
    assert images == vectors > 0 and lengths == 1
    assert lake.rows("SELECT image_features(X'FFD8FF00'), image_width(NULL), image_info(X'')") == [(None, None, None)]
    nearest = lake.rows("""SELECT a.filename, max(vector_cosine_similarity(image_features(a.content), image_features(a.content)))
                           FROM raw.images a GROUP BY a.filename""")
    assert all(similarity == pytest.approx(1, abs=1e-5) for _, similarity in nearest)
