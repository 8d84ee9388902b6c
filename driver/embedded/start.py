"""Starts a Ray of the run's own."""

from __future__ import annotations

import math
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import ray

from common.config import BadInput
from driver.embedded.lean_ray import killed_at_once, lean
from driver.ray_environment import RayDidNotStart
from driver.ray_token import embedded_token
from driver.resources import OBJECT_STORE_BYTES
from driver.session import RaySession, dashboard_url, init_ray
from driver.short_folder import place_for_sockets

_LOOPBACK_SECONDS = 5.0
LONGEST_SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/dash_MetricsHead"  # with the largest pid


def start_embedded(cpus: float, dashboard: bool, dashboard_port: int | None = None) -> RaySession:
    """A Ray of our own, on loopback only, never one that happens to run here.

    Raises BadInput on a port in use, and where there is no token for it; RayDidNotStart where it does not come up.
    """
    if dashboard and dashboard_port is not None:
        _check_free(dashboard_port)
    _check_loopback()
    place = place_for_sockets(LONGEST_SOCKET)
    files = Path(place.folder) / "ray"
    with ExitStack() as lasting:
        token_note = lasting.enter_context(embedded_token())
        with lean(dashboard):
            try:
                context = init_ray(
                    address="local",
                    num_cpus=max(math.ceil(cpus), os.cpu_count() or 1),
                    include_dashboard=dashboard,
                    dashboard_port=dashboard_port,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _temp_dir=str(files),
                )
            except Exception as error:  # Ray raises just that
                ray.shutdown()
                raise RayDidNotStart(
                    f"Ray did not start ({' '.join(str(error).split())[:200]}); on a busy machine it gives up: try "
                    f"again. Its logs are in {files / 'session_latest' / 'logs'}"
                ) from error
        _keep_others_out(Path(context.address_info["session_dir"]))
        description, url = f"embedded Ray {ray.__version__}", dashboard_url(context)
        lasting.enter_context(killed_at_once())
        return RaySession(
            description,
            url,
            head=None,
            token_note=token_note,
            folder_note=f"{place.fault}: Ray's files are below {files}" if place.fault else None,
            lasting=lasting.pop_all(),
        )


def _check_loopback() -> None:
    """Raises RayDidNotStart where Ray's processes could not reach each other; it would try for minutes."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), timeout=_LOOPBACK_SECONDS).close()
    except OSError as error:
        raise RayDidNotStart(
            f"Ray cannot start: nothing can listen at 127.0.0.1 and be reached there ({error.strerror or error}); the "
            "loopback network is down, has no address or is closed: as root, `ip link set lo up` and `ip addr add "
            "127.0.0.1/8 dev lo` bring it up"
        ) from None


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As the dashboard does: the connections of one that has ended linger for a minute, in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                f"--dashboard-port {port}: cannot be listened on ({error.strerror}); name another, or leave it out for "
                "the next free one from 8265 on"
            ) from None


def _keep_others_out(session: Path) -> None:
    """Who may write to Ray's sockets there can run jobs without the token; the umask alone would decide who may."""
    for path in (session / "sockets").iterdir():
        path.chmod(0o600)
