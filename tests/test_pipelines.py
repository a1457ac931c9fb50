"""From images to features to classes: `CALL`, `shoal pipeline run`, and what happens when they are cut off."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from harness import page
from harness.process import wait_until
from make_model import picture_network

TOTALS = ("images", "written", "rejected", "unchanged")
TODAY = "2026-11-21"
ROOT = Path(__file__).parents[1]


def png(number: int, side: int = 16) -> bytes:
    """A picture that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def images(ids, contents) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.string()), "content": pa.array(contents, pa.binary()),
                     "date_partition": pa.array([TODAY] * len(ids), pa.string())})


def ingest(shoal, schema: str, table: pa.Table, name: str = "images"):
    """One more data file."""
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="create_append", catalog_name="lake", db_schema_name=schema)


def call(shoal, sql: str, placement: str = "auto") -> tuple:
    """The totals of a procedure."""
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = '{placement}'")
        cursor.fetchall()
        cursor.execute(sql)
        [row] = cursor.fetchall()
        names = [column[0] for column in cursor.description]
    assert names == [*TOTALS, "seconds"] and row[-1] > 0
    return row[:-1]


def extract(schema: str, **arguments) -> str:
    given = {"source": f"{schema}.images", "target": f"{schema}.features", **arguments}
    return f"CALL extract_features({', '.join(f'{name} => {value!r}' for name, value in given.items())})"


@pytest.mark.parametrize("placement", ["auto", "local"])
def test_each_image_gets_its_vector_once(shoal, schema, placement):
    good = {f"image-{n}": png(n) for n in range(8)}
    ingest(shoal, schema, images([*good, "broken", None], [*good.values(), png(99)[:60], png(98)]))
    # The same picture once more, in the same file and in another.
    ingest(shoal, schema, images(["image-0", "new", "new"], [good["image-0"], png(100), png(100)]))
    assert call(shoal, extract(schema), placement) == (10, 9, 1, 0)
    rows = shoal.rows(f"SELECT image_id, feature_vector, model_version, extracted_at IS NOT NULL, confidence, date_partition "
                      f"FROM {schema}.features ORDER BY image_id")
    assert [row[0] for row in rows] == sorted([*good, "new"])
    assert {row[2:] for row in rows} == {("image_features 1", True, None, TODAY)}
    wanted = dict(shoal.rows(f"SELECT id, image_features(content) FROM {schema}.images WHERE id IS NOT NULL"))
    assert all(vector == wanted[id] for id, vector, *_ in rows)
    [[id, version, reason, detail]] = shoal.rows(f"SELECT image_id, model_version, reason, detail FROM {schema}.features_rejected")
    assert (id, version, reason) == ("broken", "image_features 1", "truncated") and "cut short" in detail

    assert call(shoal, extract(schema), placement) == (10, 0, 0, 10), "nothing is done twice"
    ingest(shoal, schema, images(["late", "image-1"], [png(200), good["image-1"]]))
    assert call(shoal, extract(schema), placement) == (11, 1, 0, 10)
    assert shoal.value(f"SELECT count(*) FROM {schema}.features") == 10


def test_a_new_version_of_a_model_makes_vectors_of_its_own(shoal, schema, tmp_path):
    ingest(shoal, schema, images([f"image-{n}" for n in range(5)] + ["broken"], [*map(png, range(5)), b"GIF89a"]))
    model = picture_network(tmp_path / "m.onnx")
    make = f"CREATE OR REPLACE MODEL {schema}.m FROM '{model}' OPTIONS (input => 'image', mean => %s, output => 'embedding')"
    shoal.run(make % "0.5")
    sql = extract(schema, model=f"{schema}.m")
    assert call(shoal, sql) == (6, 5, 1, 0)
    shoal.run(make % "0.25")
    assert call(shoal, sql) == (6, 5, 1, 0)
    assert call(shoal, sql) == (6, 0, 0, 6)
    assert call(shoal, extract(schema, model=f"{schema}.m@1")) == (6, 0, 0, 6)
    for version in (1, 2):
        [[count, same]] = shoal.rows(
            f"SELECT count(*), bool_and(feature_vector = image_embed(content, '{schema}.m@{version}')) FROM {schema}.features "
            f"JOIN {schema}.images ON id = image_id WHERE model_version = model_version('{schema}.m@{version}')")
        assert (count, same) == (5, True)
    assert shoal.value(f"SELECT count(*) FROM {schema}.features_rejected") == 2


def test_runs_at_the_same_time_share_the_work(shoal, schema):
    for file in range(3):
        numbers = range(file * 40, file * 40 + 40)
        ingest(shoal, schema, images([f"image-{n}" for n in numbers] + [f"broken-{file}"], [*map(png, numbers), b"x"]))
    results, failures = [], []

    def run():
        try:
            results.append(call(shoal, extract(schema)))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [sum(result[n] for result in results) for n in (1, 2)] == [120, 3]
    assert all(sum(result[1:]) == result[0] == 123 for result in results)
    assert shoal.rows(f"SELECT count(*), count(DISTINCT image_id) FROM {schema}.features") == [(120, 120)]
    assert shoal.rows(f"SELECT count(*), count(DISTINCT image_id) FROM {schema}.features_rejected") == [(3, 3)]


@pytest.mark.parametrize("kind", ["serve", "cluster"])
def test_a_killed_run_continues_where_it_was(start, kind):
    shoal = start(kind, {"processing": {"batch_size": 100}})
    files, each = 8, 260  # two files are more than a part holds, which is five batches
    content = [png(n, 8) for n in range(each)]
    for file in range(files):
        ingest(shoal, "raw", images([f"{file}-{n}" for n in range(each)], content))
    running = threading.Thread(target=lambda: pytest.raises(Exception, shoal.run, "CALL extract_features()"))
    running.start()

    def done() -> int:
        try:
            return shoal.value("SELECT count(*) FROM processed.features")
        except Exception as error:
            assert "does not exist" in str(error), error
            return 0

    wait_until("a part is done", lambda: done() > 0, 120)
    shoal.front.kill()
    running.join()
    shoal.restart()
    before = done()
    assert 0 < before < files * each
    assert call(shoal, "CALL extract_features()") == (files * each, files * each - before, 0, before)
    assert shoal.rows("SELECT count(*), count(DISTINCT image_id) FROM processed.features") == [(files * each,) * 2]


@pytest.mark.parametrize("retries", [0, 3])
def test_a_part_that_fails_is_tried_again(start, retries):
    shoal = start("serve", {"processing": {"max_retries": retries}})
    ingest(shoal, "raw", images(["a", "b"], [png(1), png(2)]))
    [file] = shoal.location("raw", "images").rglob("*.parquet")
    hidden = file.with_suffix(".hidden")
    shoal.run("CALL extract_features()")
    ingest(shoal, "raw", images(["c", "d"], [png(3), png(4)]))
    [file] = [path for path in shoal.location("raw", "images").rglob("*.parquet") if path != file]
    file.rename(hidden)

    def mend():
        time.sleep(2)
        hidden.rename(file)

    mending = threading.Thread(target=mend)
    mending.start()
    if retries:
        assert call(shoal, "CALL extract_features()") == (4, 2, 0, 2)
        assert "tries a part again" in shoal.front.log
    else:
        with pytest.raises(Exception, match=file.name):
            shoal.run("CALL extract_features()")
    mending.join()


def test_rows_that_were_committed_before_a_part_failed_are_counted_as_written(start):
    shoal = start("serve", {"processing": {"max_retries": 3}})
    ingest(shoal, "raw", images(["a", "b", "broken"], [png(1), png(2), b"x"]))
    table = shoal.location("processed", "features")
    stopped = threading.Event()
    hidden = []

    def hide():
        """The file of vectors is gone from when it is written until a while after its commit."""
        while not hidden and not stopped.is_set():
            hidden.extend(table.glob("*/*.parquet"))
        for file in hidden:
            file.rename(file.with_suffix(".hidden"))
        time.sleep(1)
        for file in hidden:
            file.with_suffix(".hidden").rename(file)

    hiding = threading.Thread(target=hide)
    hiding.start()
    totals = call(shoal, "CALL extract_features()")
    stopped.set()
    hiding.join()
    assert "tries a part again" in shoal.front.log
    assert totals == (3, 2, 1, 0)
    assert shoal.rows("SELECT image_id FROM processed.features ORDER BY 1") == [("a",), ("b",)]


def vectors(count: int, dimension: int, seed: int) -> np.ndarray:
    """Vectors around four points."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(4, dimension)) * 2
    return (centers[random.integers(0, 4, count)] + random.normal(size=(count, dimension))).astype(np.float32)


def features(shoal, schema: str, points: np.ndarray, version: str = "v1", first: int = 0):
    ids = [f"image-{first + n}" for n in range(len(points))]
    ingest(shoal, schema, pa.table({
        "image_id": ids, "feature_vector": pa.array(points.tolist(), pa.list_(pa.float32())),
        "model_version": [version] * len(ids), "date_partition": [TODAY] * len(ids)}), "features")


def classify(schema: str, **arguments) -> str:
    given = {"source": f"{schema}.features", "target": f"{schema}.analytics", **arguments}
    return f"CALL classify_features({', '.join(f'{name} => {value!r}' for name, value in given.items())})"


@pytest.mark.parametrize("placement", ["auto", "local"])
def test_classes_by_neighbors_are_those_of_scikit_learn(shoal, schema, placement):
    points = vectors(400, 24, seed=1)
    features(shoal, schema, points)
    features(shoal, schema, np.ones((3, 24), np.float32), version="v2")
    features(shoal, schema, np.zeros((1, 24), np.float32), first=400)
    labels = {f"image-{n}": "abcd"[n % 4] if n % 3 else None for n in range(60)}
    ingest(shoal, schema, pa.table({"image_id": [*labels, "gone"], "label": [*labels.values(), "z"]}), "labels")
    sql = classify(schema, labels=f"{schema}.labels", k=7, model_version="v1")
    assert call(shoal, sql, placement) == (401, 400, 1, 0)
    known = [n for n in range(60) if n % 3]
    reference = KNeighborsClassifier(7, weights="distance", metric="cosine")
    reference.fit(points[known].astype(float), [labels[f"image-{n}"] for n in known])
    wanted = reference.predict(points.astype(float))
    shares = reference.predict_proba(points.astype(float)).max(axis=1)
    rows = {row[0]: row[1:] for row in shoal.rows(
        f"SELECT image_id, classification, confidence, processing_time, created_at IS NOT NULL, date_partition FROM {schema}.analytics")}
    assert len(rows) == 400
    for n in range(400):
        label, confidence, seconds, *others = rows[f"image-{n}"]
        assert others == [True, TODAY] and 0 < seconds < 1
        assert abs(confidence - shares[n]) < 1e-9 and label == wanted[n], n
    more = vectors(10, 24, seed=2)
    features(shoal, schema, more, first=1000)
    # The vector of zeros has no direction and is looked at each time.
    assert call(shoal, sql, placement) == (411, 10, 1, 400)
    with pytest.raises(Exception, match="several versions; say which with model_version => 'v1' or 'v2'"):
        shoal.run(classify(schema, labels=f"{schema}.labels"))
    with pytest.raises(Exception, match="no image in .*labels with a label has a vector of version v3"):
        shoal.run(classify(schema, labels=f"{schema}.labels", model_version="v3"))


def test_classes_by_kmeans_replace_those_of_an_earlier_run(shoal, schema):
    points = vectors(300, 8, seed=3)
    features(shoal, schema, points)
    sql = classify(schema, method="kmeans", clusters=4)
    for _ in range(2):
        assert call(shoal, sql) == (300, 300, 0, 0)
        centroids = np.array(shoal.value(f"SELECT vector_kmeans(feature_vector, 4) FROM {schema}.features"))
        distances = np.linalg.norm(points[:, None].astype(float) - centroids, axis=2)
        nearest, next_ = np.sort(distances, axis=1)[:, :2].T
        rows = {row[0]: row[1:] for row in shoal.rows(f"SELECT image_id, classification, confidence FROM {schema}.analytics")}
        assert len(rows) == 300
        for n in range(300):
            label, confidence = rows[f"image-{n}"]
            assert label == f"cluster {distances[n].argmin()}"
            assert abs(confidence - (1 - nearest[n] / next_[n])) < 1e-6


def test_a_pipeline_is_its_steps(shoal, schema, tmp_path):
    ingest(shoal, schema, images([f"image-{n}" for n in range(6)] + ["broken"], [*map(png, range(6)), b"x"]))
    file = tmp_path / "p.yaml"
    file.write_text(f"""
name: photos
steps:
  - extract_features: {{source: {schema}.images, target: {schema}.features}}
  - classify_features:
      source: {schema}.features
      target: {schema}.analytics
      method: kmeans
      clusters: 2
""")
    first, second = shoal.cli("pipeline", "run", file).stdout.splitlines()
    assert first.startswith("extract_features: 7 images, 6 done, 1 rejected, 0 unchanged in ")
    assert second.startswith("classify_features: 6 images, 6 done, 0 rejected, 0 unchanged in ")
    again = shoal.cli("pipeline", "run", file).stdout
    assert "extract_features: 7 images, 0 done, 0 rejected, 7 unchanged in " in again
    sql = shoal.cli("pipeline", "run", "--dry-run", file).stdout
    assert sql == (f"CALL extract_features(source => '{schema}.images', target => '{schema}.features');\n"
                   f"CALL classify_features(source => '{schema}.features', target => '{schema}.analytics', method => 'kmeans', clusters => 2);\n")
    shoal.cli("sql", stdin=sql)

    file.write_text(file.read_text().replace("clusters: 2", "labels: here"))
    failed = shoal.cli("pipeline", "run", file, check=False)
    assert failed.returncode == 1
    assert "step 2 of pipeline photos, classify_features: " in failed.stderr and "needs the argument clusters" in failed.stderr


def test_what_does_not_exist_is_named_before_anything_runs(shoal, schema):
    for sql, wrong in [
        (extract(schema), f"{schema}.images does not exist"),
        (extract(schema, source="raw.nothing", model="m"), "raw.nothing does not exist"),
        ("CALL extract_feature()", "procedure extract_feature does not exist; there are extract_features and classify_features"),
    ]:
        with pytest.raises(Exception, match=wrong):
            shoal.run(sql)
    ingest(shoal, schema, images(["a"], [png(1)]))
    with pytest.raises(Exception, match="model lake.default.m does not exist"):
        shoal.run(extract(schema, model="m"))
    assert shoal.rows(f"SHOW TABLES IN {schema} LIKE 'features*'") == []


def test_every_statement_and_command_of_the_page_prints_what_it_says(start):
    page.check("pipelines.md", start("serve"), {"/photos/": f"{ROOT}/examples/photos/", "/config/": f"{ROOT}/config/"})
