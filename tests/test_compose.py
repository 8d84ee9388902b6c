"""docker-compose.yml and what it uses, as far as no Docker is needed."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from driver import placement
from driver.command_line import Train, parse

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-compose.yml"
TOKEN = "docker/secrets/ray_auth_token"
UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}


def read_compose(**variables: str) -> dict[str, Any]:
    """The file with its variables filled in, as Compose does it."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), FILE.read_text())
    return yaml.safe_load(text.replace("$$", "$"))


def ray_options(service: dict[str, Any]) -> dict[str, str]:
    """What `ray start` gets in a service, by the option's name."""
    words = " ".join([*service.get("entrypoint", []), *service["command"]])
    assert "ray start" in words
    return dict(re.findall(r"--([a-z-]+)=(\S+)", words))


@pytest.fixture(params=["head", "worker", "job"])
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read_compose()["services"][request.param]


def test_the_file_is_valid_by_the_compose_specification():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    result = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_service_runs_the_one_image_that_the_head_builds():
    services = read_compose()["services"]
    assert len({service["image"] for service in services.values()}) == 1
    assert [name for name, service in services.items() if "build" in service] == ["head"]
    assert {services[name]["pull_policy"] for name in ("worker", "job")} == {"never"}


def test_only_the_dashboard_is_published_and_only_on_loopback():
    published = [port for service in read_compose()["services"].values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8265:8265"]


def test_every_service_demands_the_token_of_the_secret_file(service: dict[str, Any]):
    assert service["environment"]["RAY_AUTH_MODE"] == "token"
    (secret,) = service["secrets"]
    assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == f"/run/secrets/{secret}"
    assert read_compose()["secrets"][secret]["file"] == TOKEN


def test_images_are_built_without_the_token():
    assert str(Path(TOKEN).parent) in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_the_token():
    subprocess.run(["git", "-C", str(ROOT), "check-ignore", "--quiet", TOKEN], check=True, timeout=10)


def test_shared_memory_is_larger_than_the_object_store(service: dict[str, Any]):
    size, unit = re.fullmatch(r"(\d+)([a-z]+)", service["shm_size"]).groups()
    assert int(size) * UNITS[unit] > int(ray_options(service)["object-store-memory"])


def test_every_service_has_an_init_and_more_time_to_stop_than_ray_drains(service: dict[str, Any]):
    assert service["init"] is True
    assert service["stop_grace_period"] == "45s"


@pytest.mark.parametrize(
    ("name", "port_option", "path"),
    [
        ("head", "dashboard-port", "/api/gcs_healthz"),
        ("worker", "dashboard-agent-listen-port", "/api/local_raylet_healthz"),
    ],
)
def test_health_is_asked_where_ray_is_told_to_answer(name: str, port_option: str, path: str):
    service = read_compose()["services"][name]
    assert service["healthcheck"]["test"][-2:] == [ray_options(service)[port_option], path]


def test_worker_and_job_start_once_those_they_need_are_healthy():
    services = read_compose()["services"]
    healthy = {"condition": "service_healthy"}
    assert services["worker"]["depends_on"] == {"head": healthy}
    assert services["job"]["depends_on"] == {"head": healthy, "worker": healthy}
    assert {ray_options(services[name])["address"] for name in ("worker", "job")} == {"head:6379"}


@pytest.mark.parametrize(("workers", "variables"), [(1, {}), (2, {"ACTORS": "16"})])
def test_the_training_command_parses_and_fits_into_the_cluster(workers: int, variables: dict[str, str]):
    services = read_compose(**variables)["services"]
    program, script, *arguments = services["job"]["command"]
    assert (program, script) == ("python", "launch.py")
    command = parse(arguments)
    assert isinstance(command.command, Train)
    assert command.config.run.address == "auto"
    cpus = {name: int(ray_options(service)["num-cpus"]) for name, service in services.items()}
    assert cpus["head"] == 0
    assert placement.cpus(command.config) == cpus["job"] + workers * cpus["worker"]


@pytest.mark.parametrize(("ray_exit_code", "expected"), [(0, 7), (3, 3)])
def test_the_job_becomes_its_command_once_it_has_joined(tmp_path: Path, ray_exit_code: int, expected: int):
    fake_ray = tmp_path / "ray"
    fake_ray.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {ray_exit_code}\n')
    fake_ray.chmod(0o755)
    command = [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(7)", "--actors", "8"]
    process = subprocess.Popen(
        [*read_compose()["services"]["job"]["entrypoint"], *command],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=30)
    assert (tmp_path / "asked").read_text().startswith("start --address=head:6379 --num-cpus=3 ")
    assert process.returncode == expected
    assert output == (f"{process.pid}\n" if ray_exit_code == 0 else "")  # its pid: signals reach it


def test_the_runs_outlive_the_containers_and_can_be_looked_at_from_the_head():
    services = read_compose()["services"]
    assert services["job"]["volumes"] == services["head"]["volumes"] == ["runs:/app/runs"]


def test_the_image_has_a_pinned_base_and_a_user_of_its_own():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.11\.\d+-slim-\w+$", dockerfile, re.MULTILINE)
    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE)[-1] != "root"


def make_token(folder: Path) -> Path:
    script = shutil.copy(ROOT / "docker" / "make_token.sh", folder)
    subprocess.run(["sh", script], check=True, timeout=10)
    return folder / "secrets" / "ray_auth_token"


def test_a_token_is_long_readable_in_the_containers_and_nobody_elses_on_the_host(tmp_path: Path):
    token = make_token(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{64}", token.read_text())
    assert stat.S_IMODE(token.stat().st_mode) == 0o444
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700


def test_an_existing_token_is_kept(tmp_path: Path):
    first = make_token(tmp_path).read_text()
    assert make_token(tmp_path).read_text() == first


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(timeout=10)


def ask_health(port: int, path: str) -> int:
    script = [sys.executable, str(ROOT / "docker" / "healthy.py"), str(port), path]
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}  # as Docker may hand one in
    return subprocess.run(script, capture_output=True, timeout=30, check=False, env=environment).returncode


def test_a_container_is_healthy_when_it_answers_200(port: int):
    assert ask_health(port, "/well") == 0


def test_a_container_is_not_healthy_when_it_answers_anything_else(port: int):
    assert ask_health(port, "/ill") == 1


def test_a_container_is_not_healthy_when_nothing_answers(port: int):
    assert ask_health(1, "/well") == 1  # nothing listens on port 1
