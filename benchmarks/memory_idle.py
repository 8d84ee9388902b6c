"""Part of `memory`: what Ray's own processes do in the same time while nobody asks anything of them."""

from __future__ import annotations

import time
from typing import Any

import psutil

from benchmarks.memory_roles import describe_roles, report_roles
from benchmarks.memory_samples import Sample, sample
from benchmarks.watching import processes_by_role
from driver import ray_environment
from driver.embedded.workers.handle import worker_template

_ROLES_BESIDE_ACTORS = 3


class Idler:
    """A Ray actor that does nothing."""


def measure_idle(actors: int, seconds: float, settle_seconds: float) -> list[dict[str, Any]]:
    """One row a role: an embedded Ray as a run starts it, with as many workers, none of which is called."""
    samples: list[Sample] = []
    workers = actors + _ROLES_BESIDE_ACTORS
    ray_environment.prepare(embedded=True)
    with worker_template():
        import ray  # after its environment variables are set

        from driver.embedded.start import start_embedded

        session = start_embedded(workers, dashboard=False)
        try:
            idlers = [ray.remote(Idler).options(num_cpus=1).remote() for _ in range(workers)]
            ray.get([idler.__ray_ready__.remote() for idler in idlers])
            began, driver = time.monotonic(), psutil.Process()
            while (now := time.monotonic() - began) < seconds:
                samples.extend(sample(now, processes_by_role(driver)))
                time.sleep(1)
        finally:
            session.close()
    rays = [one for one in samples if one.role != "driver"]  # this process, which keeps the samples
    rows = [{"part": "idle", **described} for described in describe_roles(rays, settle_seconds)]
    report_roles(rows, "an idle Ray")
    return rows
