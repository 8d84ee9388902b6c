"""Attaches to a running cluster."""

from __future__ import annotations

import ray
from ray.exceptions import RayError

from common.config import BadInput
from driver.cluster.code_for_nodes import runtime_env
from driver.cluster.head import find_head
from driver.session import RaySession, dashboard_url, init_ray


def attach(address: str, env: str, wrapper: str | None = None) -> RaySession:
    """A running cluster, to which the modules named in `env` and `wrapper` travel along.

    Raises BadInput where it cannot be joined.
    """
    head = find_head(address)
    ray_version = head.knock()
    if ray_version != ray.__version__:
        raise BadInput(f"--address {address}: the cluster runs Ray {ray_version}, the driver {ray.__version__}")
    head.check_node_of_this_host()
    try:
        context = init_ray(address=head.address, runtime_env=runtime_env(env, wrapper=wrapper))
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"--address {address}: the Ray cluster there does not take this run in ({reason})") from None
    nodes = head.nodes()
    cpus = sum(node.resources.get("CPU", 0.0) for node in nodes)
    where = f"{address} ({head.address})" if address == "auto" else address
    return RaySession(
        f"Ray {ray.__version__} cluster at {where}: {len(nodes)} nodes, {cpus:g} CPUs", dashboard_url(context), head
    )
