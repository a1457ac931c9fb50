"""Files without a table: `read_images` and `url_download`."""

import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from harness.shoal import Shoal
from test_pruning import bytes_scanned


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (width % 256, 2, 3)).save(file, "PNG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """`/ok/7.png` is a picture 7 pixels wide."""

    def do_GET(self):
        server = self.server
        with server.lock:
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            server.paths.append(self.path)
        try:
            self.answer()
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self):
        name = self.path.rsplit("/", 1)[1]
        if name == "slow":
            time.sleep(8)
        if name in ("in", "out", "round"):
            self.send_response(302)
            self.send_header("Location", {"in": "/ok/3.png", "out": "/secret/1.png", "round": "/ok/round"}[name])
            self.end_headers()
            return
        if name == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                return
        if not name.endswith(".png"):
            self.send_error(404)
            return
        time.sleep(0.02)
        content = png(int(name.removesuffix(".png")), 5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.fixture(scope="module")
def web():
    server = Server(("127.0.0.1", 0), Handler)
    server.lock, server.under_way, server.most, server.paths = threading.Lock(), 0, 0, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module", params=["serve", "cluster"])
def lake(request, tmp_path_factory, web, minio):
    """A deployment that may read `/ok/` of the web server and the S3 server."""
    settings = {"images": {"url_allow": [f"{web.url}/ok/"], "url_timeout_seconds": 4, "max_file_bytes": "1MiB"},
                "storage": {"s3": minio.settings()},
                "query": {"placement": "distributed"}}
    deployment = Shoal(request.param, tmp_path_factory.mktemp(request.param), settings)
    yield deployment
    deployment.discard()


def urls(*values: str) -> str:
    """A relation of these URLs, which the planner knows nothing of."""
    rows = ", ".join(f"({n}, '{value}')" for n, value in enumerate(values))
    return f"(SELECT * FROM (VALUES {rows}) AS t(n, url) WHERE random() >= 0)"


def test_files_are_downloaded_and_what_fails_is_null(lake, web):
    given = [f"{web.url}/ok/{name}" for name in ("7.png", "missing", "slow", "endless", "in", "out", "round")]
    given += ["no url", "mailto:a@b.org", "s3://no-such-bucket/x"]
    rows = lake.rows(f"SELECT n, image_width(f) FROM (SELECT n, url_download(url) AS f FROM {urls(*given)}) ORDER BY n")
    assert [width for _, width in rows] == [7, None, None, None, 3] + [None] * (len(given) - 5)
    assert lake.value("SELECT url_download(CAST(NULL AS STRING)) IS NULL")
    assert "/secret/1.png" not in web.paths
    literal = f"{web.url}/ok/9.png"
    assert lake.value(f"SELECT url_download('{literal}')") == png(9, 5)


@pytest.mark.parametrize("name, reason", [
    ("missing", "404"), ("slow", "images.url_timeout_seconds"), ("endless", "images.max_file_bytes"),
    ("out", "redirects elsewhere"), ("round", "redirects too often"),
])
def test_a_failure_is_raised_with_path_and_reason(lake, web, name, reason):
    url = f"{web.url}/ok/{name}"
    with pytest.raises(Exception) as raised:
        lake.rows(f"SELECT url_download(url, on_error => 'raise') FROM {urls(url)}")
    assert reason in str(raised.value) and f"/ok/{name}" in str(raised.value)


def test_what_the_settings_do_not_list_is_refused_by_the_name_of_the_setting(lake, web):
    before = len(web.paths)
    for url in [f"{web.url}/secret/1.png", f"{web.url}/ok/../secret/1.png", f"{web.url}/ok/..%2fsecret/1.png",
                "http://me:hush@example.com/a.png?X-Amz-Signature=hush",
                "http://169.254.169.254/latest/meta-data/", "http://localhost:1/", "file:///etc/passwd"]:
        with pytest.raises(Exception, match="images.url_allow") as raised:
            lake.rows(f"SELECT url_download(url) IS NULL FROM {urls(url)}")
        assert "hush" not in str(raised.value)
    assert len(web.paths) == before, "nothing was asked for"


def test_only_rows_that_are_wanted_are_downloaded_and_not_too_many_at_once(lake, web):
    lake.run("CREATE TABLE IF NOT EXISTS links AS SELECT value AS n, "
             f"concat('{web.url}/ok/', CAST(value AS STRING), '.png') AS url FROM generate_series(1, 300)")
    web.most = 0
    assert lake.value("SELECT sum(image_width(url_download(url))) FROM links") == sum(range(1, 301))
    given_up = 3  # requests of other tests that the server still works on
    assert 4 < web.most <= 32 * (2 if lake.kind == "cluster" else 1) + given_up
    before = len(web.paths)
    guarded = "SELECT count(image_width(CASE WHEN n <= 5 THEN url_download(url) END)) FROM links"
    assert lake.value(guarded) == 5
    assert len(web.paths) - before == 5
    before = len(web.paths)
    both = "SELECT sum(image_width(f)), sum(image_height(f)) FROM (SELECT url_download(url) AS f FROM links WHERE n <= 10)"
    assert lake.rows(both) == [(55, 50)]
    assert len(web.paths) - before == 10, "each once"


@pytest.fixture(scope="module")
def bucket(minio):
    """A bucket with pictures in folders, a file that is none, and a hidden one."""
    name = minio.bucket()
    for path, content in {"p/1.png": png(1, 1), "p/2024/2.png": png(2, 1), "p/2024/05/3.png": png(3, 1),
                          "p/2024/notes.txt": b"hello", "p/_old/4.png": png(4, 1), "q/5.png": png(5, 1)}.items():
        with minio.files.open_output_stream(f"{name}/{path}") as file:
            file.write(content)
    return f"s3://{name}"


def test_objects_below_a_prefix_or_under_a_pattern_are_rows(lake, bucket):
    assert lake.rows(f"SELECT path, size, width, format, content FROM read_images('{bucket}/p/**/*.png') ORDER BY path") == [
        (f"{bucket}/p/1.png", len(png(1, 1)), 1, "png", png(1, 1)),
        (f"{bucket}/p/2024/05/3.png", len(png(3, 1)), 3, "png", png(3, 1)),
        (f"{bucket}/p/2024/2.png", len(png(2, 1)), 2, "png", png(2, 1)),
    ]
    assert lake.rows(f"SELECT image_width(content), width FROM read_images('{bucket}/p/2024/') ORDER BY path") == [
        (3, 3), (2, 2), (None, None)]
    assert lake.value(f"SELECT sum(width) FROM read_images('{bucket}/p/*.png', '{bucket}/q/')") == 6
    with pytest.raises(Exception, match=r"no file matches .*/p/\*\.gif"):
        lake.rows(f"SELECT * FROM read_images('{bucket}/p/*.gif')")


@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_content_is_read_only_where_it_is_used(lake, bucket, placement):
    def read(sql: str) -> float:
        with lake.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SET query.placement = {placement}")
            cursor.execute(f"EXPLAIN ANALYZE {sql}")
            text = "\n".join(plan for _, plan in cursor.fetchall())
            return bytes_scanned(text) if "bytes_scanned" in text else 0

    glob = f"{bucket}/p/**/*.png"
    assert read(f"SELECT path, size FROM read_images('{glob}')") == 0
    assert read(f"SELECT content FROM read_images('{glob}') WHERE path LIKE '%/2.png'") == len(png(2, 1))
    assert read(f"SELECT image_width(content) FROM read_images('{glob}')") == sum(len(png(n, 1)) for n in (1, 2, 3))


def test_objects_are_downloaded_by_url(lake, bucket):
    assert lake.rows(f"SELECT image_width(url_download(path)) FROM read_images('{bucket}/p/2024/*') ORDER BY path") == [(2,), (None,)]
    assert lake.rows(f"SELECT url_download(url) IS NULL FROM {urls(bucket + '/p/none.png')}") == [(True,)]
