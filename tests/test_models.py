"""ONNX models in SQL against onnxruntime, and docs/models.md against what it prints."""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx.external_data_helper
import onnxruntime
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from harness import page
from make_model import picture_network, vector_network

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "examples/photos"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Between tract and onnxruntime on the same input.
TOLERANCE = 1e-4
#: Decoders and resizers of both sides round differently, and a large JPEG is decoded at reduced size.
#: Noise of two levels in every pixel leaves more than 0.9999 of these networks, the wrong `fit` less than 0.999.
SMALLEST_COSINE = 0.9995


def normalized(picture: Image.Image, mean=MEAN, std=STD) -> np.ndarray:
    """A picture as channels x height x width, the way the option says."""
    pixels = np.asarray(picture.convert("RGB"), np.float32) / 255
    return ((pixels - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)


def expected(model: Path, rows, output: str) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model))
    name = session.get_inputs()[0].name
    return np.concatenate([session.run([output], {name: row[None].astype(np.float32)})[0] for row in rows])


def png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def ingest(shoal, schema: str, name: str, table: pa.Table):
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="create", catalog_name="lake", db_schema_name=schema)


def rows_at(shoal, placement: str, sql: str) -> list[tuple]:
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = '{placement}'")
        cursor.fetchall()
        cursor.execute(sql)
        return cursor.fetchall()


def error_of(shoal, sql: str, placement: str = "auto") -> str:
    with pytest.raises(Exception) as error:
        rows_at(shoal, placement, sql)
    return str(error.value)


def create(name: str, location, **options) -> str:
    pairs = ", ".join(f"{key} => {value}" for key, value in options.items())
    return f"CREATE MODEL {name} FROM '{location}' OPTIONS ({pairs})"


#: Everything that runs models; a test without it runs on the first two alone.
runtimes = pytest.mark.parametrize("shoal", ["serve", "cluster", "onnxruntime"], indirect=True, scope="session")

PICTURES = {"input": "'image'", "mean": list(MEAN), "std": list(STD)}


@runtimes
@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_pictures_of_the_models_size_give_the_numbers_of_onnxruntime(shoal, schema, tmp_path, placement):
    random = np.random.default_rng(3)
    pictures = [Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(40)]
    contents = [*map(png, pictures), b"not a picture", png(pictures[0])[:99], None]
    ingest(shoal, schema, "pictures", pa.table({"n": range(len(contents)), "content": pa.array(contents, pa.binary())}))
    for batch in ("N", 1, 4):
        model = picture_network(tmp_path / f"batch-{batch}.onnx", batch=batch)
        shoal.run(create(f"{schema}.m{batch}", model, **PICTURES, output="'embedding'"))
        rows = rows_at(shoal, placement, f"SELECT image_embed(content, '{schema}.m{batch}') FROM {schema}.pictures ORDER BY n")
        found = [vector for vector, in rows]
        assert found[-3:] == [None, None, None]
        # onnxruntime insists on whole batches, and gives the same for each row of one.
        reference = picture_network(tmp_path / "reference.onnx")
        wanted = expected(reference, map(normalized, pictures), "embedding")
        assert np.abs(np.array(found[:-3]) - wanted).max() < TOLERANCE, batch


@runtimes
@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_images_give_the_numbers_of_onnxruntime(shoal, schema, tmp_path, placement):
    random = np.random.default_rng(4)
    pictures = [Image.fromarray(random.integers(0, 256, (100, 80, 3), np.uint8)) for _ in range(20)]
    contents = [*map(png, pictures), b"not a picture", None]
    ingest(shoal, schema, "pictures", pa.table({"n": range(len(contents)), "content": pa.array(contents, pa.binary())}))
    model = picture_network(tmp_path / "m.onnx")
    shoal.run(create(f"{schema}.m", model, **PICTURES, output="'embedding'"))
    part = "image_crop(image_rotate(content, 90), 30, 10, 64, 64)"
    rows = rows_at(shoal, placement, f"SELECT image_embed({part}, '{schema}.m') FROM {schema}.pictures ORDER BY n")
    found = [vector for vector, in rows]
    assert found[-2:] == [None, None]
    parts = [picture.transpose(Image.Transpose.ROTATE_270).crop((30, 10, 94, 74)) for picture in pictures]
    wanted = expected(model, map(normalized, parts), "embedding")
    assert np.abs(np.array(found[:-2]) - wanted).max() < TOLERANCE


@runtimes
def test_photos_are_laid_upright_and_scaled_before(shoal, schema, tmp_path):
    model = picture_network(tmp_path / "m.onnx", size="S")
    paths = [path for path in PHOTOS.rglob("*.*") if path.parent.name != "broken" and path.suffix != ".md"]
    contents = [path.read_bytes() for path in paths]
    ingest(shoal, schema, "photos", pa.table({"name": [path.name for path in paths], "content": pa.array(contents, pa.binary())}))
    for fit in ("stretch", "crop"):
        shoal.run(create(f"{schema}.{fit}", model, **PICTURES, width=96, height=64, fit=f"'{fit}'"))
        rows = dict(shoal.rows(f"SELECT name, image_embed(content, '{schema}.{fit}') FROM {schema}.photos"))
        for path in paths:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened)
                if picture.has_transparency_data:
                    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
                if picture.mode.startswith("I;16"):
                    picture = Image.fromarray((np.asarray(picture, np.float32) / 257).round().astype(np.uint8))
                picture = picture.convert("RGB")
            if fit == "crop":
                picture = ImageOps.fit(picture, (96, 64), Image.Resampling.BILINEAR)
            else:
                picture = picture.resize((96, 64), Image.Resampling.BILINEAR)
            [wanted] = expected(model, [normalized(picture)], "embedding")
            found = np.array(rows[path.name])
            cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
            assert cosine > SMALLEST_COSINE, (path.name, fit)


@runtimes
@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_vectors_give_the_numbers_of_onnxruntime(shoal, schema, tmp_path, placement):
    model = vector_network(tmp_path / "v.onnx")
    shoal.run(create(f"{schema}.v", model, input="'vector'"))
    vectors = np.random.default_rng(5).normal(size=(300, 16)).astype(np.float32)
    column = [*vectors.tolist(), None, [1.0] * 15, [1.0] * 15 + [None]]
    ingest(shoal, schema, "vectors", pa.table({"n": range(len(column)), "x": pa.array(column, pa.list_(pa.float32()))}))
    rows = rows_at(shoal, placement, f"SELECT model_predict(x, '{schema}.v') FROM {schema}.vectors ORDER BY n")
    assert [vector for vector, in rows[300:]] == [None, None, None]
    found = np.array([vector for vector, in rows[:300]])
    assert np.abs(found - expected(model, vectors, "y")).max() < TOLERANCE


@runtimes
def test_features_are_kept_with_the_version_of_the_model_that_made_them(shoal, schema, tmp_path):
    model = vector_network(tmp_path / "v.onnx")
    shoal.run(create(f"{schema}.v", model, input="'vector'"),
              f"CREATE TABLE {schema}.features (id INT, feature_vector ARRAY<FLOAT>, model_version STRING, extracted_at TIMESTAMP)",
              f"INSERT INTO {schema}.features SELECT 1, model_predict(make_array(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16), '{schema}.v'), "
              f"model_version('{schema}.v'), now()",
              f"CREATE TABLE {schema}.copied AS SELECT model_predict(array_resize([1.0], 16, 0.5), '{schema}.v') AS y")
    [[vector, version]] = shoal.rows(f"SELECT feature_vector, model_version FROM {schema}.features")
    [wanted] = expected(model, [np.arange(1, 17)], "y")
    assert np.abs(np.array(vector) - wanted).max() < TOLERANCE * np.abs(wanted).max()
    description = dict(shoal.rows(f"DESCRIBE MODEL {schema}.v"))
    assert version == description["Version Text"]
    shoal.run(f"DROP MODEL {schema}.v", create(f"{schema}.v", model, input="'vector'"))
    assert shoal.value(f"SELECT model_version('{schema}.v')") == version, "the same file and options"
    picture = picture_network(tmp_path / "p.onnx")
    versions = set()
    for mean in (0.25, 0.5):
        shoal.run(create(f"{schema}.p", picture, input="'image'", mean=mean))
        versions.add(shoal.value(f"SELECT model_version('{schema}.p')"))
        shoal.run(f"DROP MODEL {schema}.p")
    assert len(versions) == 2, "other options"
    assert len(shoal.value(f"SELECT y FROM {schema}.copied")) == 4


def test_a_plain_name_means_the_newest_version_and_older_ones_stay(shoal, schema, tmp_path):
    first, second = (vector_network(tmp_path / f"{seed}.onnx", seed=seed, length=seed) for seed in (2, 3))
    call = f"SELECT model_predict(array_resize([1.0], 16, 1.0), '{schema}.V{{}}')"
    shoal.run(create(f"{schema}.v", first, input="'vector'"))
    shoal.run(create(f"{schema}.v", second, input="'vector'").replace("CREATE", "CREATE OR REPLACE"),
              create(f"{schema}.v", "/nowhere", input="'vector'").replace("MODEL", "MODEL IF NOT EXISTS"))
    assert [len(shoal.value(call.format(version))) for version in ("", "@2", "@1")] == [3, 3, 2]
    assert "model lake." in (error := error_of(shoal, call.format("@3"))) and "newest version is 2" in error
    assert dict(shoal.rows(f"DESCRIBE MODEL {schema}.v@1"))["Versions"] == "1, 2"
    assert shoal.rows(f"SHOW MODELS IN {schema}") == [(schema, "v", "2", "vector of 16", "y, vector of 3", None)]
    assert "already exists; write CREATE OR REPLACE MODEL" in error_of(shoal, create(f"{schema}.v", first, input="'vector'"))
    # A view means what the name means when it is read.
    shoal.run(f"CREATE VIEW {schema}.w AS SELECT model_predict(array_resize([1.0], 16, 1.0), '{schema}.v') AS y")
    assert len(shoal.value(f"SELECT y FROM {schema}.w")) == 3
    shoal.run(f"DROP MODEL {schema}.v", f"DROP MODEL IF EXISTS {schema}.v")
    for sql in (call.format(""), f"SELECT y FROM {schema}.w", f"DROP MODEL {schema}.v", f"DESCRIBE MODEL {schema}.v"):
        assert f"model lake.{schema}.v does not exist" in error_of(shoal, sql), sql


@runtimes
@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_a_file_that_changed_is_refused_with_both_hashes(shoal, schema, tmp_path, placement):
    path = vector_network(tmp_path / "v.onnx", seed=1)
    shoal.run(create(f"{schema}.v", path, input="'vector'"))
    recorded = dict(shoal.rows(f"DESCRIBE MODEL {schema}.v"))["Hash"]
    vector_network(path, seed=2)
    ingest(shoal, schema, "vectors", pa.table({"x": pa.array([[1.0] * 16], pa.list_(pa.float32()))}))
    query = f"SELECT model_predict(x, '{schema}.v') FROM {schema}.vectors"
    error = error_of(shoal, query, placement)
    shoal.run(create(f"{schema}.v", path, input="'vector'").replace("CREATE", "CREATE OR REPLACE"))
    found = dict(shoal.rows(f"DESCRIBE MODEL {schema}.v"))["Hash"]
    assert f"lake.{schema}.v@1 was made from: expected BLAKE3 hash {recorded}, found {found}; put the file back" in error
    assert len(rows_at(shoal, placement, query)) == 1


@runtimes
def test_what_cannot_be_run_is_refused_when_it_is_created(shoal, schema, tmp_path):
    pictures, vectors = picture_network(tmp_path / "p.onnx"), vector_network(tmp_path / "v.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    for location, options, wrong in [
        (tmp_path / "text.onnx", {"input": "'vector'"}, "not an ONNX model"),
        (tmp_path / "none.onnx", {"input": "'vector'"}, "cannot read file:///"),
        (pictures, {"input": "'vector'"}, "its input is N x 3 x 64 x 64"),
        (vectors, {"input": "'image'"}, "its input is N x 16"),
        (pictures, {"input": "'image'", "width": 32}, "width => 32 is another width"),
        (pictures, {"input": "'image'", "output": "'nothing'"}, "its outputs are embedding, scores"),
        (pictures, {"input": "'image'", "size": 32}, "size is not known"),
        ("ftp://x/y.onnx", {"input": "'image'"}, "not a store Shoal knows"),
    ]:
        assert wrong in error_of(shoal, create(f"{schema}.m", location, **options)), location
    # Weights in other files would let a model read whatever the process can.
    (Path(shoal.folder) / "secret").write_bytes(b"a secret" * 1000)
    network = onnx.load(vectors)
    for weight in network.graph.initializer:
        onnx.external_data_helper.set_external_data(weight, "secret")
        weight.ClearField("raw_data")
    (tmp_path / "elsewhere.onnx").write_bytes(network.SerializeToString())
    assert "weights in other files" in error_of(shoal, create(f"{schema}.m", tmp_path / "elsewhere.onnx", input="'vector'"))
    assert shoal.rows(f"SHOW MODELS IN {schema}") == []
    shoal.run(create(f"{schema}.p", pictures, input="'image'"))
    for sql, wrong in [
        (f"SELECT image_embed('x', '{schema}.q')", "did you mean p?"),
        (f"SELECT image_embed('x', lower('{schema}.p'))", "constant text"),
        (f"SELECT model_predict([1], '{schema}.p')", "takes pictures; use image_embed"),
    ]:
        assert wrong in error_of(shoal, sql), sql


@pytest.mark.parametrize("kind", ["serve", "cluster"])
def test_executors_fetch_models_from_the_object_store(kind, start, minio, tmp_path):
    bucket = minio.bucket()
    storage = {f"{zone}_path": f"s3://{bucket}/{zone}/" for zone in ("raw", "processed", "curated", "default")}
    shoal = start(kind, {"storage": {**storage, "s3": minio.settings()}})
    model = vector_network(tmp_path / "v.onnx")
    with minio.files.open_output_stream(f"{bucket}/models/v.onnx") as stream:
        stream.write(model.read_bytes())
    shoal.run(create("v", f"s3://{bucket}/models/v.onnx", input="'vector'"),
              "CREATE TABLE t AS SELECT value, array_resize([value], 16, 0.5) AS x FROM generate_series(1, 2000)")
    rows = rows_at(shoal, "distributed", "SELECT value, model_predict(x, 'v') FROM t ORDER BY value")
    vectors = np.full((2000, 16), 0.5)
    vectors[:, 0] = np.arange(1, 2001)
    wanted = expected(model, vectors, "y")
    assert np.abs(np.array([y for _, y in rows]) - wanted).max() < TOLERANCE * np.abs(wanted).max()




@pytest.fixture
def folder():
    """A folder whose name always has the same length, and with it the columns of tables that print it."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="m") as name:
        yield Path(name)


def test_every_statement_of_the_page_prints_what_it_says(start, folder):
    picture_network(folder / "pictures.onnx")
    vector_network(folder / "classes.onnx")
    shutil.copytree(PHOTOS, folder / "photos")
    shoal = start("serve")
    page.check("models.md", shoal, {"/photos/": f"{folder}/photos/", "/models/": f"{folder}/"})
