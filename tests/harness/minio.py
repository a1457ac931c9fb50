"""An S3 server (MinIO) of its own for the tests."""

import os
from pathlib import Path

import pyarrow.fs

from .process import Process, free_port

CACHE = Path(os.environ.get("SHOAL_CACHE", Path.home() / ".cache/shoal"))
KEY_ID = "shoal-tests"
KEY = "secret-of-tests"


class Minio:
    """A server; `bucket()` makes an empty bucket and gives its name."""

    def __init__(self, folder: Path):
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        address = self.endpoint.removeprefix("http://")
        program = CACHE / "bin/minio"
        if not program.exists():
            raise RuntimeError(f"{program} not found; run scripts/setup-tests.sh")
        self._process = Process(
            [program, "server", "--quiet", "--address", address, folder / "objects"],
            folder,
            "minio",
            env={"MINIO_ROOT_USER": KEY_ID, "MINIO_ROOT_PASSWORD": KEY, "MINIO_BROWSER": "off"},
        )
        self._process.wait_for_port(int(address.rsplit(":", 1)[1]))
        self.files = pyarrow.fs.S3FileSystem(
            access_key=KEY_ID, secret_key=KEY, endpoint_override=address, scheme="http", allow_bucket_creation=True,
        )
        self._made = 0

    def bucket(self) -> str:
        self._made += 1
        name = f"lake{self._made}"
        self.files.create_dir(name)
        return name

    def settings(self) -> dict:
        """The `storage.s3` section that reaches this server."""
        return {"endpoint": self.endpoint, "region": "us-east-1", "access_key_id": KEY_ID,
                "secret_access_key": KEY, "allow_http": True}

    def delta_options(self) -> dict:
        """The same for the deltalake package."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": KEY, "AWS_ALLOW_HTTP": "true"}

    def iceberg_options(self) -> dict:
        """The same for PyIceberg."""
        return {"s3.endpoint": self.endpoint, "s3.region": "us-east-1", "s3.access-key-id": KEY_ID,
                "s3.secret-access-key": KEY}

    def discard(self):
        self._process.discard()
