"""The code of a run on nodes that have no copy of it: Ray's runtime environment of the working tree."""

from __future__ import annotations

import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common.search_path import OURS, hidden_file
from driver.ray_environment import FOR_WORKERS

ROOT = Path(__file__).resolve().parents[2]
_NOT_CODE = [
    # Not ".*": that leaves nothing at all.
    ".git", ".ci", ".env", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "docker/secrets",
    "runs", "results", "docs", "node_modules", "__pycache__", "*.egg-info",
    "*.parquet", "*.pth", "*.png", "*.mp4",
]  # fmt: skip


def runtime_env(env: str, root: Path = ROOT, wrapper: str | None = None) -> dict[str, Any]:
    """For a driver that attaches. `env`: the environment's id, whose module travels along wherever it lies.

    So does the module of `wrapper`.

    A submitted job brought its own, which has the working tree already.
    """
    settings = {"env_vars": dict(FOR_WORKERS)}
    if is_submitted_job():
        return settings
    paths = [path for name in (env, wrapper or "") for path in _module_elsewhere(name, root)]
    modules = list(dict.fromkeys(map(str, paths)))
    virtual_environments = [path.parent.name for path in root.glob("*/pyvenv.cfg")]
    return {
        **settings,
        **({"py_modules": modules} if modules else {}),  # Ray fails on an empty list
        "working_dir": str(root),
        "excludes": [*_NOT_CODE, *virtual_environments, *_hidden(root)],
    }


def _hidden(root: Path) -> list[str]:
    """The user's files among ours that are named as a module of Python's: on a node the tree is searched first."""
    modules = [*(file.stem for file in root.glob("*.py")), *(file.parent.name for file in root.glob("*/__init__.py"))]
    files = [hidden_file(name, str(root)) for name in modules if name not in OURS]
    paths = [Path(file).relative_to(root.resolve()) for file in files if file is not None]
    return [f"/{path.parent if path.name == '__init__.py' else path}" for path in paths]


def is_submitted_job() -> bool:
    """Whether `ray job submit` started this process, in a copy of its working directory that Ray deletes some day."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def _module_elsewhere(name: str, root: Path) -> list[Path]:
    """The module's file or package, unless it is in the working tree or installed."""
    module, separator, _ = name.partition(":")
    spec = find_spec(module.partition(".")[0]) if separator else None
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin)
    path = path.parent if path.name == "__init__.py" else path
    installed = [sysconfig.get_path(scheme) for scheme in ("stdlib", "purelib", "platlib")]
    return [] if any(path.is_relative_to(folder) for folder in [str(root), *installed]) else [path]
