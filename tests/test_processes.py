"""How the programs start, refuse to start, and stop."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.process import wait_until
from harness.shoal import program

PROGRAMS = {"shoal": ["serve"], "shoal-scheduler": [], "shoal-executor": []}
SEED_SETTINGS = Path(__file__).parent / "seeds/settings.yaml"


def refused(binary: str, settings: str, folder: Path, env: dict | None = None, flags=()) -> str:
    """Starts a program that must not start; returns what it printed."""
    config = folder / "settings.yaml"
    config.write_text(settings)
    done = subprocess.run([program(binary), *PROGRAMS[binary], "--config", config, *flags], cwd=folder,
                          env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, 101), done
    assert list(folder.iterdir()) == [config], "nothing is half-configured: no file was made"
    return done.stderr


@pytest.mark.parametrize("binary", PROGRAMS)
@pytest.mark.parametrize("settings, named", [
    ("storage: {raw_pth: x}", ["storage.raw_pth", "settings.yaml", "storage.raw_path"]),
    ("flight: {port: many}", ["flight.port", "settings.yaml"]),
    ("catalog: {url: 'mysql://u:hunter2@h/d'}", ["catalog.url"]),
    ("a: [", ["settings.yaml"]),
    ("flight: {anonymous: true, bind_host: 0.0.0.0}", ["flight.anonymous", "loopback"]),
    (SEED_SETTINGS.read_text(), ["spark", "cluster"]),
])
def test_a_bad_settings_file_is_refused_by_key_and_file(binary, settings, named, tmp_path):
    message = refused(binary, settings, tmp_path)
    assert all(name in message for name in named), message
    assert "hunter2" not in message


@pytest.mark.parametrize("binary", PROGRAMS)
def test_a_bad_variable_and_a_bad_flag_are_refused_by_name(binary, tmp_path):
    message = refused(binary, "{}", tmp_path, env={"SHOAL__QUERY__PLACEMENT": "moon"})
    assert "query.placement" in message and "SHOAL__QUERY__PLACEMENT" in message
    message = refused(binary, "{}", tmp_path, flags=["--set", "query.placements=local"])
    assert "query.placements" in message and "query.placement" in message


@pytest.mark.parametrize("binary", PROGRAMS)
def test_a_missing_settings_file_is_named(binary, tmp_path):
    done = subprocess.run([program(binary), *PROGRAMS[binary], "--config", "nowhere.yaml"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "nowhere.yaml" in done.stderr


@pytest.mark.parametrize("binary", PROGRAMS)
def test_a_library_for_models_that_is_missing_is_refused_by_key_and_path(binary, tmp_path):
    settings = "models: {runtime: onnxruntime, onnxruntime_library: lib/none.so}"
    ports = ["--set", "flight.port=0", "--set", "cluster.scheduler.port=0"]
    message = refused(binary, settings, tmp_path, flags=ports)
    assert "models.onnxruntime_library" in message and f"{tmp_path}/lib/none.so" in message


def test_the_seed_settings_start_shoal_with_cluster_in_place_of_spark(start):
    deployment = start("serve", {"cluster": {"app_name": "ImageDataLake"}, "processing": {"batch_size": 1000, "max_retries": 3}})
    assert deployment.value("SELECT 1") == 1


@pytest.mark.parametrize("kind", ["serve", "cluster"])
def test_sigterm_ends_every_process_with_0_and_leaves_no_shuffle_files(start, kind):
    deployment = start(kind, {"query": {"placement": "distributed"}})
    deployment.run("CREATE TABLE t AS SELECT value AS id, value % 100 AS g FROM generate_series(1, 200000)")
    assert len(deployment.rows("SELECT g, count(*) FROM t GROUP BY g")) == 100
    for process in reversed(deployment.processes):
        assert process.terminate() == 0, process.log
        assert "panicked" not in process.log
    left = [path for folder in deployment.folder.rglob("work") for path in folder.rglob("*") if path.is_file()]
    assert left == []


def test_tables_are_there_after_a_restart(start, tmp_path_factory):
    first = start("serve")
    first.run("CREATE TABLE t AS SELECT 42 AS answer")
    assert first.front.terminate() == 0
    second = start("serve", {key: first.settings[key] for key in ("storage", "catalog")})
    assert second.value("SELECT answer FROM t") == 42


def test_internal_ports_listen_on_loopback_only(start):
    deployment = start("cluster", executors=1)
    listening = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/{deployment.front.pid}/net/{table}").read_text().splitlines()[1:]]
    ports = {deployment.port, deployment.settings["cluster"]["scheduler"]["port"]}
    own = [address for _, address, _, state, *_ in listening if state == "0A" and int(address.split(":")[1], 16) in ports]
    assert len(own) == 2 and all(address.startswith("0100007F:") for address in own), own


def test_secrets_appear_in_no_log(start, postgres):
    url = postgres.database()
    deployment = start("serve", {"catalog": {"url": url}, "storage": {"s3": {"secret_access_key": "hunter2"}}})
    deployment.run("CREATE TABLE t AS SELECT 1 AS a")
    with pytest.raises(Exception) as error:
        deployment.run("CREATE TABLE s (a INT) LOCATION 's3://no-such-bucket-of-tests/t'")
    explained = str(deployment.rows("EXPLAIN VERBOSE SELECT * FROM t"))
    printed = deployment.front.log + str(error.value) + explained
    assert "secret-of-tests" not in printed and "hunter2" not in printed


def test_a_json_log_is_one_object_per_line(start, tmp_path):
    deployment = start("serve", env={"SHOAL__LOGGING__FORMAT": "json", "SHOAL__LOGGING__FILE": str(tmp_path / "{process}.log")})
    deployment.value("SELECT 1")
    deployment.front.terminate()
    log = tmp_path / "shoal.log"
    wait_until("the log is written", log.exists)
    assert all(json.loads(line)["level"] for line in log.read_text().splitlines())
