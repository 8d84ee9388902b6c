"""Hosts of a network, all on this machine: each with its own address, processes, /tmp, shared memory and home folder.

Linux namespaces make them, as they make containers, so a cluster can be tried that loses a host or a cable. Only root
can. A host's files are otherwise this machine's own; folders given in `hidden` are empty there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_SUBNET = "10.77.0"
_NAME_SERVICE = f"{_SUBNET}.254"
_START_SECONDS = 10.0
_ROOT = Path(__file__).resolve().parent.parent
# The first process of a host: mounts what is the host's own, and collects what its processes leave behind.
_INIT = """
set -e
hostname "$NAME"
number=0
for kept in $KEPT; do
    number=$((number + 1)); mkdir -p "$FOLDER/kept/$number"; mount --rbind "$kept" "$FOLDER/kept/$number"
done
mount --bind "$FOLDER/tmp" /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /home
number=0
for kept in $KEPT; do
    number=$((number + 1)); mkdir -p "$kept"; mount --rbind "$FOLDER/kept/$number" "$kept"
done
mount --bind "$FOLDER/hosts" /etc/hosts
mount --bind "$RESOLVER" /etc/resolv.conf
mount -t tmpfs -o "size=$SHARED_MEMORY" tmpfs /dev/shm
for hidden in $HIDDEN; do mount -t tmpfs -o size=64k,ro tmpfs "$hidden"; done
for mounted in $MOUNTED; do
    place="${mounted#*=}"
    [ -e "$place" ] || { mkdir -p "$(dirname "$place")"; touch "$place"; }
    mount --bind -o ro "${mounted%%=*}" "$place"
done
ip link set lo up
touch "$FOLDER/up"
while :; do sleep 3600 & wait $!; done
"""


def why_not() -> str | None:
    """What this machine lacks for hosts; None if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can make network namespaces"
    missing = [name for name in ("ip", "unshare", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        return f"programs are missing: {', '.join(missing)} (Debian: iproute2, util-linux)"
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else f"namespaces are not allowed here: {probe.stderr.decode().strip()}"


class Host:
    """One of them; made by `Network.add`."""

    def __init__(self, name: str, address: str, folder: Path, init: subprocess.Popen[bytes], cable: Cable) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.cable = cable
        self._unshare = init
        self._init = _only_child(init)
        self._environment = {"HOME": str(folder / "home"), "HOSTNAME": name, "TMPDIR": "/tmp"}

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """A process on the host; `options` are Popen's. Signals go through `signal_to`."""
        folder = options.pop("cwd", _ROOT)  # entering a mount namespace leaves the one that Popen would set
        enter = [
            "nsenter",
            "--target",
            str(self._init.pid),
            "--net",
            "--mount",
            "--pid",
            "--uts",
            f"--wd={folder}",
            "--",
        ]
        return subprocess.Popen(
            [*enter, *command], env={**_inherited(), **self._environment, **(environment or {})}, text=True, **options
        )

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """A command on the host, to its end."""
        process = self.start(
            command, environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            signal_to(process, 9)
            process.communicate()
            raise
        return subprocess.CompletedProcess(list(command), process.returncode, output, errors)

    def processes(self) -> list[psutil.Process]:
        """All that run on it, but for its first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            namespace = os.readlink(f"/proc/{self._init.pid}/ns/pid")
            return [
                process
                for process in psutil.process_iter()
                if process.pid != self._init.pid and _namespace(process.pid) == namespace and process.name() != "sleep"
            ]
        return []

    def power_off(self) -> None:
        """Every process on it dies at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._init.kill()
        self._unshare.wait(timeout=30)


class Cable:
    """Between a host and the switch."""

    def __init__(self, switch: str, port: str) -> None:
        self._switch = switch
        self._port = port

    def cut(self) -> None:
        """Nothing passes from now on."""
        _ip("-netns", self._switch, "link", "set", self._port, "down")

    def mend(self) -> None:
        """Everything passes again."""
        _ip("-netns", self._switch, "link", "set", self._port, "up")


class Network:
    """A switch with hosts on it; `with Network() as network` leaves nothing behind."""

    def __init__(self, kept: Sequence[Path] = ()) -> None:
        """`kept`: folders that all hosts see, though they lie in a folder of which each has its own."""
        self._kept = kept
        self._names = f"dqn{os.getpid()}"
        self._switch = f"{self._names}-switch"
        # Not in /tmp, of which each host has its own.
        self.folder = Path(tempfile.mkdtemp(prefix="dqn-hosts-", dir="/var/tmp"))
        self._names_file = self.folder / "names.json"
        self._resolver = self.folder / "resolv.conf"
        self._hosts: list[Host] = []
        self._addresses: dict[str, list[str]] = {}
        self._count = 0

    def __enter__(self) -> Network:
        _ip("netns", "add", self._switch)
        _ip("-netns", self._switch, "link", "add", "bridge", "type", "bridge")
        # An address of its own: else it has that of one of its ports, another with every host that comes or goes, and
        # hosts do not find the name service for a while.
        _ip("-netns", self._switch, "link", "set", "bridge", "address", "02:00:00:00:00:01", "up")
        _ip("-netns", self._switch, "address", "add", f"{_NAME_SERVICE}/24", "dev", "bridge")
        self._resolver.write_text(f"nameserver {_NAME_SERVICE}\noptions timeout:5 attempts:3\n")
        self._names_file.write_text("{}")
        program = [sys.executable, "-m", "benchmarks.name_service", _NAME_SERVICE, str(self._names_file)]
        self._name_service = subprocess.Popen(["ip", "netns", "exec", self._switch, *program], cwd=_ROOT)
        return self

    def __exit__(self, *exception: object) -> None:
        for host in self._hosts:
            host.power_off()
        self._name_service.kill()
        self._name_service.wait()
        for namespace in [self._switch, *(f"{self._names}-{number}" for number in range(self._count))]:
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def addresses(self, count: int) -> list[str]:
        """Of the first hosts, in the order in which they are added."""
        return [f"{_SUBNET}.{number + 1}" for number in range(count)]

    def add(
        self,
        name: str,
        shared_memory: str = "512m",
        hidden: Sequence[Path] = (),
        mounted: Mapping[Path, Path] | None = None,
        aliases: Sequence[str] = (),
    ) -> Host:
        """A new host of this name, which several may share as the containers of a service do, and of its aliases.

        `hidden`: folders that are empty there. `mounted`: file -> where the host sees it.
        """
        number = self._count
        self._count += 1
        namespace, port = f"{self._names}-{number}", f"port{number}"
        address = self.addresses(self._count)[number]
        _ip("netns", "add", namespace)
        _ip("-netns", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-netns", self._switch, "link", "set", port, "master", "bridge", "up")
        _ip("-netns", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-netns", namespace, "link", "set", "eth0", "up")
        folder = self.folder / f"{number}-{name}"
        for part in ("home", "tmp"):
            (folder / part).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        for known_as in (name, *aliases):
            self._addresses.setdefault(known_as, []).append(address)
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        init = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "unshare", "--pid", "--fork", "--mount", "--uts", "--mount-proc",
             "sh", "-c", _INIT],
            env={**_inherited(), "NAME": name if number == 0 or len(self._addresses[name]) == 1 else f"{name}-{number}",
                 "FOLDER": str(folder), "SHARED_MEMORY": shared_memory, "HIDDEN": " ".join(map(str, hidden)),
                 "MOUNTED": " ".join(f"{file}={place}" for file, place in (mounted or {}).items()),
                 "RESOLVER": str(self._resolver), "KEPT": " ".join(_kept(self._kept))},
            stdin=subprocess.DEVNULL,
            stderr=(folder / "stderr").open("w"),
        )  # fmt: skip
        _wait_for(folder / "up", init)
        host = Host(name, address, folder, init, Cable(self._switch, port))
        self._hosts.append(host)
        told = self._names_file.with_suffix(".new")
        told.write_text(json.dumps(self._addresses))
        told.rename(self._names_file)
        return host


def signal_to(process: subprocess.Popen[str], number: int) -> None:
    """To the command that `Host.start` began."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            child.send_signal(number)


def _kept(others: Sequence[Path]) -> list[str]:
    """Where this code and its Python lie, and others, as far as that is in folders of which a host has its own."""
    own = [Path(folder) for folder in ("/tmp", "/run", "/home")]
    needed = {_ROOT, Path(sys.prefix), Path(sys.base_prefix), *(path.resolve() for path in others)}
    return sorted(str(path) for path in needed if any(path.is_relative_to(folder) for folder in own))


def _inherited() -> dict[str, str]:
    """This process's environment without what steers Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DQN_"))}


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _only_child(process: subprocess.Popen[bytes]) -> psutil.Process:
    (child,) = psutil.Process(process.pid).children()
    return child


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a host did not start: {path.parent.name}")
        time.sleep(0.01)
