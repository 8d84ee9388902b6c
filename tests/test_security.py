"""Who can reach an embedded run, and with what: its listeners, its token, and what an old Ray leaves behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
import pytest
from launching import (
    END_SECONDS,
    LONG,
    ROOT,
    assert_all_gone,
    folder_for_ray,
    holders,
    launched,
    read_until_all_play,
    run_main,
    user_environment,
)

from driver.embedded.start import LONGEST_SOCKET

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
GRPC_CALLS = (  # one of each of Ray's services that could start or change something
    "/ray.rpc.JobInfoGcsService/AddJob",
    "/ray.rpc.NodeManagerService/RequestWorkerLease",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.ReporterService/CpuProfiling",
)
GCS_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
BROWSER = {"Origin": "http://stranger.example", "User-Agent": "Mozilla/5.0"}
STRANGERS: dict[str, dict[str, str]] = {
    "without a token": {},
    "with a wrong token": {"Authorization": f"Bearer {'0' * 64}"},
    "with a wrong cookie": {"Cookie": f"ray-authentication-token={'0' * 64}"},
    "a page of another name for this address": {"Host": "stranger.example", **BROWSER},
}
DASHBOARD_METRICS = 44227  # of the dashboard's own process, where no other Ray has that port
DEAD_CLUSTER = "127.0.0.1:1"


class Run(NamedTuple):
    """One that is going on."""

    process: subprocess.Popen[str]
    ray_folder: Path  # of this run alone
    output: str  # up to the first figures

    def family(self) -> list[psutil.Process]:
        """The driver, all below it, and all that have left it: those know Ray's folder."""
        driver = psutil.Process(self.process.pid)
        members = {driver, *driver.children(recursive=True)}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.ray_folder) in (*process.environ().values(), *process.cmdline()):
                    members.add(process)
        return list(members)

    def listeners(self) -> set[int]:
        """Their TCP ports. Asserts that those and all UDP ports are on loopback."""
        sockets = [
            (member.name(), connection.type, connection.laddr)
            for member in self.family()
            for connection in member.net_connections("inet")
            if connection.type == socket.SOCK_DGRAM or connection.status == psutil.CONN_LISTEN
        ]
        assert [found for found in sockets if found[2].ip not in LOOPBACK] == []
        return {address.port for _, kind, address in sockets if kind == socket.SOCK_STREAM}

    def stop(self) -> str:
        """As a user does. Returns all output."""
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=END_SECONDS)[0]
        assert self.process.returncode == 143, rest
        assert_all_gone(family)
        return self.output + rest


class Answer(NamedTuple):
    status: int
    body: bytes


def ask(
    port: int, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
) -> Answer:
    """Raises http.client.BadStatusLine where the port speaks gRPC."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=END_SECONDS)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def speaks_grpc(port: int) -> bool:
    try:
        ask(port, "/")
    except http.client.BadStatusLine:
        return True
    return False


def call(port: int, method: str, token: str | None) -> grpc.StatusCode:
    """Of a call with an empty request."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        metadata = [("authorization", f"Bearer {token}")] if token else []
        try:
            channel.unary_unary(method)(b"", timeout=END_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def assert_no_process_tells(secret: str, family: list[psutil.Process]) -> None:
    for member in family:
        told = [*member.cmdline(), *member.environ().values()]
        assert not any(secret in word for word in told), member


def assert_refuses_calls(ports: set[int], token: str) -> None:
    """All that speak gRPC, and one of them takes the token."""
    refused, allowed = {grpc.StatusCode.UNAUTHENTICATED}, {grpc.StatusCode.OK}
    speakers = {port for port in ports if speaks_grpc(port)}
    assert speakers != set()
    for stranger in (None, "0" * 64):
        codes = {port: {call(port, method, stranger) for method in GRPC_CALLS} for port in speakers}
        assert {port: found - {grpc.StatusCode.UNIMPLEMENTED} for port, found in codes.items()} == dict.fromkeys(
            speakers, refused
        )
    assert {call(port, GCS_ALIVE, token) for port in speakers} >= allowed


@contextmanager
def nothing_masked() -> Iterator[None]:
    """The umask of a user who lets everybody write."""
    umask = os.umask(0)
    try:
        yield
    finally:
        os.umask(umask)


def test_where_home_cannot_be_written_a_run_without_dashboard_works_as_privately(tmp_path: Path) -> None:
    """Also: what a run writes at its end tells no token, and nothing is left of the token."""
    with folder_for_ray() as ray_folder:
        environment = {"HOME": "/proc/nowhere", "RAY_TMPDIR": str(ray_folder)}
        with launched(tmp_path / "run", *LONG, environment=environment) as process:
            run = Run(process, ray_folder, read_until_all_play(process))
            [name] = re.findall(r"^~/\.ray cannot be written \(.+\): .* token is in (.+)$", run.output, re.MULTILINE)
            file = Path(name)
            token = file.read_text()
            assert len(token) == 64
            assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
            assert_refuses_calls(run.listeners(), token)
            assert_no_process_tells(token, run.family())
            output = run.stop()
        assert holders(token, tmp_path, ray_folder) == []
    assert not file.parent.exists()
    assert token not in output
    assert len(output.splitlines()) <= 16  # one more than elsewhere


def test_a_port_in_use_is_named_before_ray_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_main("--dashboard-port", str(port), "--run-dir", str(tmp_path / "run")) == 2
    assert capsys.readouterr().err == (
        f"error: --dashboard-port {port}: cannot be listened on (Address already in use); name another, or leave it "
        "out for the next free one from 8265 on\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_named_token_file_without_a_token_is_refused_before_ray_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nothing"))
    assert run_main("--no-dashboard", "--run-dir", str(tmp_path / "run")) == 2
    assert capsys.readouterr().err.startswith(f"error: RAY_AUTH_TOKEN_PATH {tmp_path / 'nothing'}: holds no token (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [(), ("--address", "auto")])
def test_ray_address_is_said_out_loud(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", DEAD_CLUSTER)
    assert run_main("--run-dir", str(tmp_path / "run"), *options) == 2
    said = capsys.readouterr()
    assert said.out == f"RAY_ADDRESS is set, so this run attaches to {DEAD_CLUSTER}\n"
    assert re.fullmatch(f"error: --address {DEAD_CLUSTER}: nobody listens at .*\n", said.err)
    assert list(tmp_path.iterdir()) == []


def without_other_processes() -> list[str]:
    """A command in front of another: it then sees no process but its own, so no Ray that runs here."""
    command = ["unshare", *(["--map-root-user"] if os.getuid() else []), "--mount", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs a process namespace of its own, which this system does not allow")
    return command


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        (DEAD_CLUSTER, "nobody listens at .*:1, which {} names (.*); use host:port of a running head, or leave it out"),
        ("127.0.0.1:one", "nobody listens at .*:one, which {} names (.*); use host:port of a running head, .*"),
        ("nonsense", "no Ray cluster runs on this machine; start one with ray start --head, .*"),
        ("", "no Ray cluster runs on this machine; start one with ray start --head, .*"),
    ],
)
def test_auto_tells_an_address_that_an_older_ray_left(noted: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text(noted)
    result = subprocess.run(
        [
            *without_other_processes(),
            *(sys.executable, str(ROOT / "launch.py"), "--address", "auto", "--run-dir", str(tmp_path / "run")),
        ],
        env={**user_environment(), "HOME": str(tmp_path), "RAY_TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=END_SECONDS,
    )
    assert re.fullmatch(f"error: --address auto: {expected.format(file)}\n", result.stdout + result.stderr)
    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == [file.parent]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[Run]:
    """With a dashboard whose usual port is taken, where an older Ray has left its address. The tests below share it."""
    with folder_for_ray() as ray_folder, socket.socket() as taken, nothing_masked():
        (ray_folder / "ray").mkdir()
        (ray_folder / "ray" / "ray_current_cluster").write_text(DEAD_CLUSTER)
        with suppress(OSError):  # by somebody else
            taken.bind(("127.0.0.1", 8265))
            taken.listen()
        environment = {"RAY_TMPDIR": str(ray_folder)}
        with launched(home / "run", *LONG, "--dashboard", environment=environment) as process:
            yield Run(process, ray_folder, read_until_all_play(process))


@pytest.fixture(scope="module")
def dashboard(run: Run) -> int:
    """Its port, as a user reads it."""
    [url] = re.findall(r"^dashboard: http://127\.0\.0\.1:([0-9]+) ", run.output, re.MULTILINE)
    return int(url)


@pytest.fixture(scope="module")
def token(home: Path, run: Run) -> str:
    return (home / ".ray" / "auth_token").read_text()


def test_the_url_of_the_dashboard_is_the_real_one_where_its_usual_port_is_taken(run: Run, dashboard: int) -> None:
    assert dashboard != 8265
    assert dashboard in run.listeners()
    assert ask(dashboard, "/api/authentication_mode") == Answer(200, b'{"authentication_mode": "token"}')


def test_an_address_that_an_older_ray_left_is_ignored(run: Run) -> None:
    assert run.output.startswith("embedded Ray ")
    assert (run.ray_folder / "ray" / "ray_current_cluster").read_text() == DEAD_CLUSTER


@pytest.mark.parametrize("stranger", STRANGERS)
def test_the_dashboard_refuses(stranger: str, dashboard: int) -> None:
    headers = STRANGERS[stranger]
    pages = ("/api/jobs/", "/api/v0/actors", "/logical/actors", "/nodes?view=summary", "/api/cluster_status")
    statuses = {path: ask(dashboard, path, headers=headers).status for path in pages}
    assert statuses == dict.fromkeys(pages, 403 if {"Authorization", "Cookie"} & set(headers) else 401)
    assert ask(dashboard, "/api/jobs/", "POST", headers, {"entrypoint": "true"}).status in {401, 403}


def test_the_token_opens_the_dashboard_and_nobody_has_run_a_job(dashboard: int, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    # Even with a token, because a browser that has its cookie sends it along wherever a page tells it to.
    for with_token in (headers, {"Cookie": f"ray-authentication-token={token}"}):
        assert ask(dashboard, "/api/jobs/", "POST", {**BROWSER, **with_token}, {"entrypoint": "true"}).status == 405
    for path in ("/api/v0/actors", "/logical/actors", "/nodes?view=summary", "/api/cluster_status"):
        assert ask(dashboard, path, headers=headers).status == 200
    jobs = ask(dashboard, "/api/jobs/", headers=headers)
    assert jobs.status == 200
    assert [job["type"] for job in json.loads(jobs.body)] == ["DRIVER"]  # this run


def test_no_process_of_a_run_with_dashboard_listens_beyond_loopback_or_takes_a_call_without_the_token(
    run: Run, dashboard: int, token: str
) -> None:
    ask(dashboard, "/api/serve/applications/", headers={"Authorization": f"Bearer {token}"})  # makes it listen as well
    assert_refuses_calls(run.listeners(), token)


def test_only_metrics_are_open_and_they_tell_no_token(run: Run, token: str) -> None:
    [noted] = run.ray_folder.glob("ray/session_latest/metrics_export_port_*")
    metrics = {int(noted.read_text())}
    web = {port for port in run.listeners() if not speaks_grpc(port)}
    answers = {port: ask(port, "/metrics") for port in web}
    open_ports = {port for port, answer in answers.items() if answer.status != 401}
    assert metrics <= open_ports <= metrics | {DASHBOARD_METRICS}
    assert all(answers[port].body.startswith(b"# HELP") for port in open_ports)
    assert not any(token.encode() in answer.body for answer in answers.values())


def test_no_other_user_can_use_the_sockets_that_ask_for_no_token(run: Run) -> None:
    """The run's umask would allow it."""
    sockets = [path for path in run.ray_folder.rglob("*") if path.is_socket()]
    assert {"dash_JobHead", "raylet", "plasma_store"} <= {path.name for path in sockets}
    assert max(len(str(path.relative_to(run.ray_folder))) for path in sockets) <= len(LONGEST_SOCKET)
    assert {path: path.stat().st_mode & 0o777 for path in sockets} == dict.fromkeys(sockets, 0o600)


def test_the_token_is_in_its_file_alone(run: Run, home: Path, token: str) -> None:
    assert len(token) == 64
    file = home / ".ray" / "auth_token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert holders(token, home, run.ray_folder) == [file]
    assert token not in run.output
    assert_no_process_tells(token, run.family())
