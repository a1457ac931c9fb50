"""Hostile files through SQL: the processes live on, bad files are named, their rows are NULL."""

import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from adbc_driver_flightsql import DatabaseOptions
from PIL import Image

from harness import hostile

CODES = {"empty", "not_an_image", "unsupported", "truncated", "damaged", "too_many_pixels", "too_much_memory", "too_slow"}


@pytest.fixture
def lake(shoal):
    """`shoal` with no image tables before and after."""
    yield shoal
    shoal.run("DROP TABLE IF EXISTS raw.images PURGE", "DROP TABLE IF EXISTS raw.images_rejected PURGE")


def test_bad_files_are_rejected_by_name_and_the_others_taken_in(lake, tmp_path):
    bad = hostile.bad_files() | hostile.cut_files()
    good = hostile.whole_files() | hostile.odd_files()
    hostile.write(tmp_path / "files", bad | good)
    lake.run(f"COPY INTO raw.images FROM '{tmp_path / 'files'}' FILEFORMAT = IMAGE")
    taken = {row[0].rsplit("/", 1)[-1] for row in lake.rows("SELECT filename FROM raw.images")}
    reasons = {row[0].rsplit("/", 1)[-1]: row[1] for row in lake.rows("SELECT path, reason FROM raw.images_rejected")}
    assert set(good) <= taken
    # What only the pixels tell is found when they are decoded.
    told_by_pixels = {"png-data-too-short.png", "tiff-too-short.tif", "tiff-wide-tile.tif"}
    assert taken - set(good) <= told_by_pixels
    assert set(bad) - told_by_pixels <= set(reasons)
    assert set(reasons.values()) <= CODES
    hashes = dict(lake.rows("SELECT filename, image_hash(content) FROM raw.images"))
    for name, value in hashes.items():
        assert (value is None) == (name.rsplit("/", 1)[-1] in told_by_pixels), name


def test_functions_of_hostile_bytes_give_null_and_the_process_lives(shoal, schema, tmp_path):
    bad, odd = hostile.bad_files() | hostile.cut_files(), hostile.odd_files()
    files = bad | odd | hostile.flipped_files(60)
    rows = pa.table({"name": list(files), "content": pa.array(list(files.values()), pa.binary())})
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("files", rows, mode="create", catalog_name="lake", db_schema_name=schema)
    answers = shoal.rows(f"""SELECT name, image_info(content), image_features(content), image_hash(content), image_thumbnail(content, 32)
                             FROM {schema}.files""")
    assert len(answers) == len(files)
    for name, _, features, fingerprint, small in answers:
        if name in bad:
            assert features is None and fingerprint is None and small is None, name
        if name in odd:
            assert features is not None and fingerprint is not None and small is not None, name
    assert shoal.value("SELECT 1 + 1") == 2


#: Pixels of a bomb, and so bytes of its gray samples. A file has 80 KB.
BOMB = (10_000, 8_000)
BOMB_BYTES = BOMB[0] * BOMB[1]


def flat_png(*size: int) -> bytes:
    """A gray PNG of one color."""
    file = io.BytesIO()
    Image.new("L", size, 128).save(file, "PNG", optimize=True)
    return file.getvalue()


def peak_bytes(process) -> int:
    """Most memory that a process has had so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def test_bombs_among_thumbnails_are_decoded_in_the_memory_of_a_few_pictures(start):
    # All of them lie in one batch, whose pixels would be 3.2 GB: more than an array of Arrow can hold.
    cluster = start("cluster", executors=1)
    bombs, thumbnails = [flat_png(*BOMB)] * 40, [flat_png(16, 16)] * 400
    files = pa.table({"id": range(440), "content": pa.array(bombs + thumbnails, pa.binary())})
    limit = {DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(BOMB_BYTES + (1 << 20))}
    with cluster.connect(**limit) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("files", files, mode="create", catalog_name="lake", db_schema_name="default")
        cursor.execute("SET query.placement = 'distributed'")
        cursor.fetchall()
        pixels = "CAST(image_decode(content)['width'] AS BIGINT) * image_decode(content)['height']"
        cursor.execute(f"SELECT count(*), sum({pixels}) FROM files")
        assert cursor.fetchall() == [(440, 40 * BOMB_BYTES + 400 * 16 * 16)]
        cursor.execute("SELECT id, image_decode(content) AS image FROM files WHERE id % 10 = 0")
        sizes = {}
        for batch in cursor.fetch_record_batch():
            lengths = pc.binary_length(batch.column("image").field("data"))
            sizes |= zip(batch.column("id").to_pylist(), lengths.to_pylist(), strict=True)
    assert sizes == {i: BOMB_BYTES if i < 40 else 256 for i in range(0, 440, 10)}
    for process in [*cluster.executors, cluster.front]:
        assert peak_bytes(process) < 1 << 30, process.name
