"""Hostile files through SQL: the processes live on, bad files are named, their rows are NULL."""

import pyarrow as pa
import pytest

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
