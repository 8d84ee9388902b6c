"""What a module's name means: ours first, then the library's and what is installed, files of the user's folder last.

Python, Ray and PYTHONPATH each put the folder of a program in front, where a file such as queue.py or learner.py takes
the place of what all other code means by that name. Imports only what Python has loaded at its start: another import
would be such a name already.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = frozenset(
    {"actors", "analysis", "benchmarks", "common", "driver", "launch", "learner", "monitoring", "replay_server"}
)


class _UserFolderLast:
    """A finder in front of Python's own for files: finds what is ours, and else sees to the order of the folders.

    At each import anew, because Ray puts the driver's folder in front when a worker gets its first call.
    """

    def __init__(self, user_folder: str | None) -> None:
        # The project's own folder is often the one that the user works in, and then holds the user's files as well.
        folders = [ROOT] if user_folder is None else [user_folder, ROOT]
        self._last = [name for folder in folders for name in dict.fromkeys((folder, os.path.realpath(folder)))]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """None leaves it to the finders after this one."""
        if path is not None:  # of a module inside a package
            return None
        if name in OURS:
            return PathFinder.find_spec(name, [ROOT])
        wanted = [*(folder for folder in sys.path if folder and folder not in self._last), *self._last]
        if sys.path != wanted:
            sys.path[:] = wanted
        return None


def settle() -> None:
    """From now on, in this process, the folder that it works in is searched last, wherever it stands in sys.path."""
    try:
        user_folder: str | None = os.getcwd()
    except OSError:  # it has been deleted
        user_folder = None
    finders = [finder for finder in sys.meta_path if not isinstance(finder, _UserFolderLast)]
    finders.insert(finders.index(PathFinder), _UserFolderLast(user_folder))
    sys.meta_path[:] = finders


def hidden_file(module: str, folder: str) -> str | None:
    """The file in `folder` that would be this module if its name did not mean another one."""
    name = module.partition(".")[0]
    for file in (os.path.join(name, "__init__.py"), f"{name}.py"):
        path = os.path.realpath(os.path.join(folder, file))
        if os.path.isfile(path):
            known = _origin(name, folder)
            return None if known is None or os.path.realpath(known) == path else path
    return None


def _origin(name: str, folder: str) -> str | None:
    """Where a module of that name is from, if not from `folder`; None where there is none."""
    last = {os.path.realpath(folder), os.path.realpath(ROOT)}
    installed = [place for place in sys.path if place and os.path.realpath(place) not in last]
    for spec in (
        PathFinder.find_spec(name, [ROOT]) if name in OURS else None,
        BuiltinImporter.find_spec(name),
        FrozenImporter.find_spec(name),
        PathFinder.find_spec(name, installed),
    ):
        if spec is not None and spec.origin is not None:
            return spec.origin
    return None
