"""What a module's name means: ours first, then the library's and what is installed, files of the user's folder last.

Python, Ray and PYTHONPATH each put the folder of a program in front, where a file such as queue.py or learner.py takes
the place of what all other code means by that name. Imports only what Python has loaded at its start: another import
would be such a name already.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder

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
        folders = [ROOT] if user_folder is None else [ROOT, user_folder]
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


def hidden_file(module: str) -> str | None:
    """The file of the working folder that would be this module if its name did not mean another one."""
    name = module.partition(".")[0]
    for file in (os.path.join(name, "__init__.py"), f"{name}.py"):
        path = os.path.realpath(file)
        if os.path.isfile(path):
            known = _origin(name)
            return None if known is None or os.path.realpath(known) == path else path
    return None


def _origin(name: str) -> str | None:
    """Where a top-level module is or would be from; None where there is none of that name."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec.origin
    return None
