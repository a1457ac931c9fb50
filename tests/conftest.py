"""Fixtures: `shoal` runs a test against `shoal serve` and against a cluster; `schema` is an empty
schema in it; `cluster` and `serve` start one of their own for tests that break things."""

import itertools
from pathlib import Path

import onnxruntime
import pytest

from harness.minio import Minio
from harness.postgres import Postgres
from harness.shoal import Shoal

_names = itertools.count(1)


#: What settings make ONNX Runtime, from the wheel that the tests compare with, run models.
ONNXRUNTIME = {"models": {"runtime": "onnxruntime",
                          "onnxruntime_library": str(next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")))}}


@pytest.fixture(scope="session", params=["serve", "cluster"])
def shoal(request, tmp_path_factory):
    """A deployment shared by all tests that leave it as they found it. Tests that run models ask for "onnxruntime"
    too: `shoal serve` with it."""
    kind, settings = ("serve", ONNXRUNTIME) if request.param == "onnxruntime" else (request.param, None)
    deployment = Shoal(kind, tmp_path_factory.mktemp(request.param), settings)
    yield deployment
    deployment.discard()


@pytest.fixture
def schema(shoal):
    """An empty schema of the test's own in `lake`, by name."""
    name = f"test_{next(_names)}"
    shoal.run(f"CREATE SCHEMA {name}")
    yield name
    shoal.run(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def start(tmp_path_factory):
    """Starts deployments of the test's own: `start("cluster", {settings}, executors=2)`."""
    started = []

    def start(kind: str, settings: dict | None = None, **options) -> Shoal:
        deployment = Shoal(kind, tmp_path_factory.mktemp(kind), settings, **options)
        started.append(deployment)
        return deployment

    yield start
    for deployment in started:
        deployment.discard()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.discard()


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    server = Minio(tmp_path_factory.mktemp("minio"))
    yield server
    server.discard()
