"""The head of a cluster, asked directly: whether it answers, lets us in, and which nodes it knows.

Ray's own client tries again for minutes and says little of why it failed. This asks once, with Ray's own messages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
from ray._common.utils import get_ray_address_file
from ray._private import grpc_utils, services
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from common.config import BadInput

_ANSWER_SECONDS = 5.0
_HEALTH = "/grpc.health.v1.Health/Check"  # gRPC's standard service, with its messages left as bytes
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_SOURCES = "in RAY_AUTH_TOKEN, in a file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"


class Node(NamedTuple):
    """A node that is alive."""

    id: str
    address: str
    port: int  # of its raylet
    name: str  # of its host
    resources: dict[str, float]  # in all, free or not
    is_head: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class Head:
    """Answers for the cluster at `host:port`."""

    def __init__(self, address: str, given: str, noted_in: str | None = None) -> None:
        """`given`: what the user said, and `noted_in`: the file that the address is from; for messages."""
        self.address = address
        self._given = given
        self._noted_in = noted_in
        self._stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(_channel(address))

    def knock(self) -> str:
        """Ray's version there. Raises BadInput where nobody answers, or not to us."""
        host, _, port = self.address.rpartition(":")
        try:  # a name that is unknown, or a port that is closed, is said more clearly by the system
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:  # also of a port that is none, from an old file
            where, other = (f", which {self._noted_in} names", "") if self._noted_in else ("", "auto or ")
            raise BadInput(
                f"--address {self._given}: nobody listens at {self.address}{where} ({error}); use {other}host:port of "
                "a running head, or leave it out"
            ) from None
        try:
            reply = self._stub.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=_ANSWER_SECONDS)
        except AuthenticationError as error:
            first_sentence = " ".join(str(error).split()).partition(". ")[0]
            raise self._refused(first_sentence) from None
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise self._refused("this cluster asks for a token, and ours is missing or wrong") from None
            raise BadInput(
                f"--address {self._given}: what listens at {self.address} is no Ray head ({error.code().name}); its "
                "port is the one that ray start --head printed, usually 6379, and if the cluster uses TLS "
                "(RAY_USE_TLS), so must we"
            ) from None
        return str(reply.ray_version)

    def nodes(self) -> list[Node]:
        """Those that are alive. Raises grpc.RpcError when the head does not answer."""
        reply = self._stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=_ANSWER_SECONDS)
        return [
            Node(
                id=node.node_id.hex(),
                address=node.node_manager_address,
                port=node.node_manager_port,
                name=node.node_manager_hostname,
                resources=dict(node.resources_total),
                is_head=node.is_head_node,
            )
            for node in reply.node_info_list
            if node.state == gcs_pb2.GcsNodeInfo.GcsNodeState.ALIVE
        ]

    def nodes_or_none(self) -> list[Node] | None:
        """As `nodes`; None where it does not answer."""
        try:
            return self.nodes()
        except grpc.RpcError:
            return None

    def alive(self) -> set[str] | None:
        """The ids of `nodes_or_none`."""
        nodes = self.nodes_or_none()
        return None if nodes is None else {node.id for node in nodes}

    def ask(self) -> Any:
        """A grpc future that is done when the head has answered, or will not."""
        return self._stub.CheckAlive.future(gcs_service_pb2.CheckAliveRequest(), timeout=_ANSWER_SECONDS)

    def asking(self, node: Node) -> Callable[[], Any]:
        """As `ask`, of a node: what the head itself asks to see whether it is alive."""
        health = _channel(f"{node.address}:{node.port}").unary_unary(_HEALTH)
        return lambda: health.future(b"", timeout=_ANSWER_SECONDS)  # an empty message asks for the server as a whole

    def check_node_of_this_host(self) -> None:
        """Raises BadInput unless this host belongs to the cluster: a driver works through a node of its own host."""
        ours = services.find_node_ids()
        if not any(node.id in ours for node in self.nodes()):
            raise BadInput(
                f"--address {self._given}: this host is no node of the cluster, and a driver needs one; join with "
                f"ray start --address={self.address}, or use ray job submit"
            )

    def _refused(self, why: str) -> BadInput:
        return BadInput(f"--address {self._given}: {why}; give the cluster's token {TOKEN_SOURCES}")


def _channel(address: str) -> grpc.Channel:
    return grpc_utils.init_grpc_channel(address, [("grpc.enable_http_proxy", 0)])


def find_head(given: str) -> Head:
    """From `auto` or `host:port`. Raises BadInput where that names no head that answers."""
    if given.startswith("ray://"):
        raise BadInput(
            f"--address {given}: Ray Client is a proxy, too slow for this; use ray job submit -- python launch.py "
            "--address auto, or host:port on a node of the cluster"
        )
    if given == "auto":
        return _find_head_here()
    host, _, port = given.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(f"--address {given}: must be auto, or host:port of a running head such as 10.0.0.1:6379")
    return Head(services.canonicalize_bootstrap_address(given) if host in _LOOPBACK else given, given)


def _find_head_here() -> Head:
    """By its process, or from the file in which Ray notes the newest, which may be of a cluster long gone."""
    try:
        address = services.canonicalize_bootstrap_address("auto")
    except (OSError, ValueError):  # neither, or a file that cannot be read, or that holds no address
        address = None
    if address is None:
        raise BadInput(
            "--address auto: no Ray cluster runs on this machine; start one with ray start --head, give host:port of "
            "its head, or leave it out"
        )
    with suppress(OSError, ValueError):
        noted = services.find_bootstrap_address(None)
        if noted is not None and services.canonicalize_bootstrap_address(noted) == address:
            return Head(address, "auto", noted_in=get_ray_address_file(None))
    return Head(address, "auto")
