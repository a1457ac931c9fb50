"""Images in: the photos of the quickstart, the command and the statement, again and again."""

import hashlib
import io
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from harness.shoal import program

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


def many_images(folder: Path, count: int, padding: int = 0):
    """That many different pictures, each `padding` bytes larger than it has to be."""
    folder.mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(picture, "JPEG")
    for n in range(count):
        (folder / f"{n:05}.jpg").write_bytes(picture.getvalue() + n.to_bytes(4) + bytes(padding))


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


def test_runs_at_the_same_time_take_in_each_object_once(lake, tmp_path):
    many_images(tmp_path / "shared", 300)
    many_images(tmp_path / "other", 200)
    (tmp_path / "shared/broken.jpg").write_bytes(b"no picture")
    copies = [f"COPY INTO raw.images FROM '{tmp_path / folder}' FILEFORMAT = IMAGE" for folder in ["shared"] * 3 + ["other"]]
    with ThreadPoolExecutor() as pool:
        totals = list(pool.map(lake.rows, copies))
    assert lake.rows("SELECT count(*), count(DISTINCT filename) FROM raw.images") == [(500, 500)]
    assert lake.rows("SELECT reason FROM raw.images_rejected") == [("not_an_image",)]
    assert sum(ingested for [(_, ingested, *_)] in totals) == 500
    assert sum(rejected for [(_, _, rejected, *_)] in totals) == 1
    assert all(files == ingested + rejected + unchanged for [(files, ingested, rejected, unchanged, _)] in totals)


@pytest.mark.parametrize("victim", ["client", "executor"])
def test_a_killed_run_is_started_again_without_loss_or_doubles(start, tmp_path, victim):
    deployment = start("cluster", {"query": {"placement": "distributed"}})
    # Three chunks, each its own commit.
    many_images(tmp_path / "photos", 12_000)
    command = [program("shoal"), "ingest", "images", tmp_path / "photos", "--url", deployment.url]
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not taken_in(deployment):
        time.sleep(0.05)
    if victim == "client":
        client.send_signal(signal.SIGKILL)
    else:
        deployment.executors[0].kill()
    client.wait(60)
    deployment.cli("ingest", "images", tmp_path / "photos")
    assert deployment.rows("SELECT count(*), count(DISTINCT filename) FROM raw.images") == [(12_000, 12_000)]


def taken_in(deployment) -> int:
    """Images in the table, or none where there is no table yet."""
    if not deployment.rows("SHOW TABLES IN raw LIKE 'images'"):
        return 0
    return deployment.value("SELECT count(*) FROM raw.images")
