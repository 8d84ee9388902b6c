"""Environment variables that Ray reads when it is imported or started. Never imports ray."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from common.messages import INLINE_LIMIT_VARIABLE
from driver import ray_token

# Of glibc's allocator, which else makes up to eight for each core. Each keeps the most that its threads ever had, and
# Ray has dozens of threads: memory creeps up for many minutes, though nothing is lost.
_ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h
TIMELINE_CALLS = 20_000  # of all roles, the newest: some minutes of a run
FOR_WORKERS = {"MALLOC_ARENA_MAX": str(_ARENAS)}
"""Where Ray's nodes start the workers and not this process."""
_ALWAYS = {
    **FOR_WORKERS,  # for the processes started from here on
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its new default, which silences a warning
    # Nothing of what Ray would print by itself, in colours and once more at its end: a role's error tells the same.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` every worker would resolve its dependencies again
}
_EMBEDDED = {
    # All of Ray's listeners on 127.0.0.1; on a cluster node this would break the cluster.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Workers start at nice 15 and lose against any load; the roles nice themselves where they should.
    "RAY_worker_niceness": "0",
    # A worker starts when a role asks for one, in the order in which the driver creates the roles, and no more of them
    # at once than there are cores: else they keep the learner, whose import of torch takes longest, from getting ready.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_maximum_startup_concurrency": str(os.cpu_count() or 1),
    # The raylet warns of too many workers, not counting this number of IO workers. They start only where objects are
    # spilled, which nothing here is large enough for.
    "RAY_max_io_workers": "32",
    # Larger messages than Ray's default of 100 KiB travel with their call: on one machine the object store, which is
    # the raylet's work, costs more than another copy. So a reply can carry more minibatches, and a chunk more rows.
    INLINE_LIMIT_VARIABLE: "4000000",
    # With --timeline Ray's GCS keeps so many calls in memory, 4 kB each.
    "RAY_task_events_max_num_task_in_gcs": str(TIMELINE_CALLS),
    # The raylet sleeps a second when its own store's socket is not there at once.
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
}


class RayDidNotStart(Exception):  # noqa: N818  what happened, for a person
    """An embedded Ray that did not come up. Its text is one clear line."""


def prepare(embedded: bool) -> None:
    """Sets what the user has not set. Call before the first `import ray`."""
    if embedded and (folders := os.environ.get("PYTHONPATH")):
        # Ray's own programs would take the user's files for the standard library's; roles find them all the same.
        here = os.path.realpath(os.getcwd())
        others = [folder for folder in folders.split(os.pathsep) if os.path.realpath(folder) != here]
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    for name, value in {**_ALWAYS, **(_EMBEDDED if embedded else {})}.items():
        os.environ.setdefault(name, value)
    with suppress(AttributeError, OSError, TypeError, ValueError):  # not glibc, or not a number
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, int(os.environ["MALLOC_ARENA_MAX"]))
    # An explicit address never switches it on, and a protected head refuses us.
    if not embedded and ray_token.is_at_hand():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def cluster_address(option: str | None) -> str | None:
    """What to attach to, from --address and RAY_ADDRESS; None for an embedded Ray. As in Ray, the latter beats auto."""
    if not option or option == "auto":
        return os.environ.get("RAY_ADDRESS") or option or None
    return option
