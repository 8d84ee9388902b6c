"""What an environment's id means, and what to type instead where it means nothing.

The module before the colon is imported, which registers the id. Where it does not, but its package has a function that
does, by its own metadata or as is known of it, that is called: in every process, like the import.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.metadata
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, namespace

from common.user_code import guarded

_PLUGINS = "gymnasium.envs"  # entry points of packages: <namespace> = <module>:<function that registers>
_MOST_FILES = 1000  # of a package that are searched
_MOST_BYTES = 1_000_000  # of a file that is


class _Known(NamedTuple):
    """Where ids of this form come from."""

    ids: str  # a regular expression
    module: str
    package: str  # as pip calls it


_KNOWN = (
    _Known(r"ALE/|\w+(NoFrameskip|Deterministic)-v[04]", "ale_py", "ale-py"),
    _Known(r"MinAtar/", "minatar", "MinAtar"),
    _Known(r"(MiniGrid|BabyAI)-", "minigrid", "minigrid"),
    _Known(r"bsuite/", "shimmy", "shimmy[bsuite]"),
    _Known(r"dm_control/", "shimmy", "shimmy[dm-control]"),
    _Known(r"FlappyBird-", "flappy_bird_gymnasium", "flappy-bird-gymnasium"),
    _Known(r"tetris_gymnasium/", "tetris_gymnasium.envs", "tetris-gymnasium"),
    _Known(r"(highway|merge|roundabout|parking|racetrack|two-way|u-turn)(-fast)?-v", "highway_env", "highway-env"),
    _Known(r"(stocks|forex)-v", "gym_anytrading", "gym-anytrading"),
    _Known(r"(mo-|deep-sea-treasure)", "mo_gymnasium", "mo-gymnasium"),
)
_CALLS = {  # of packages whose metadata does not say so
    "gym_classics2": "gym_classics2:register",
    "minatar": "minatar.gym:register_envs",
}


def import_environment(env_id: str) -> EnvSpec:
    """Imports the environment's code without running its constructor. Returns what it is registered as."""
    module, _, name = env_id.rpartition(":")
    if module:
        _ids_of(module)
        if not _is_registered(name):
            _call_registering_functions(module.partition(".")[0])
    spec = _newest_spec(name)
    if isinstance(spec.entry_point, str):
        guarded(importlib.import_module, spec.entry_point.partition(":")[0])
    return spec


def advice(env_id: str) -> str | None:
    """A sentence about an id that is not registered, after its module was imported; None where there is none to give.

    Imports nothing more: what is said of other modules is read in their files.
    """
    module, _, name = env_id.rpartition(":")
    if not module:
        return _where_it_may_be(name)
    ids = _ids_of(module)
    said = f"{module} registers no {name}" if ids else f"{module} was imported and registers nothing with Gymnasium"
    found = [place for file in _files_of(module) for place in _registrars(file, name)]
    places = [place for place in found if place.names_it or not ids]
    # What an import did not do, naming that module will not do either.
    places = [place for place in places if place.function is not None or place.module not in sys.modules]
    if not places:
        return f"{said}; {_what_there_is(module, name, ids)}"
    place = min(places, key=lambda place: (not place.names_it, place.function is not None))
    does = "does" if place.names_it else "registers some"  # which may be others
    if place.function is None:
        return f"{said}; its submodule {place.module} {does}: --env {place.module}:{name}"
    return (
        f"{said}, but its function {place.module}.{place.function} {does}; write a module that imports and calls it, "
        f"and name that one, such as --env my_envs:{name}"
    )


def _what_there_is(module: str, name: str, ids: list[str]) -> str:
    if not ids:
        return f"name the module that registers {name}, or write one that does"
    if near := difflib.get_close_matches(name, ids, n=1):
        return f"the nearest of its {len(ids)} ids is {module}:{near[0]}"
    return f"it has {', '.join(ids[:3])}{f' and {len(ids) - 3} more' if len(ids) > 3 else ''}"


def package_of(module: str) -> str | None:
    """What to install for a module that is not there, where that is known."""
    top = module.partition(".")[0]
    return next((known.package for known in _KNOWN if known.module.partition(".")[0] == top), None)


@functools.cache
def _new_ids(module: str) -> frozenset[str]:
    """What its first import registers."""
    before = set(gymnasium.registry)
    guarded(importlib.import_module, module)
    return frozenset(set(gymnasium.registry) - before)


def _ids_of(module: str) -> list[str]:
    """Imports it. What is registered by it, or has its code there: somebody else may have imported it before."""
    top, new = module.partition(".")[0], _new_ids(module)
    return [name for name, spec in gymnasium.registry.items() if name in new or _module_of(spec) == top]


def _module_of(spec: EnvSpec) -> str:
    """The outermost package of its code."""
    entry: Any = spec.entry_point
    if isinstance(entry, functools.partial):
        entry = entry.func
    return (
        str(entry if isinstance(entry, str) else getattr(entry, "__module__", "")).partition(":")[0].partition(".")[0]
    )


def _is_registered(name: str) -> bool:
    return name in gymnasium.registry or bool(_versions(name))


def _versions(name: str) -> list[EnvSpec]:
    return [
        spec
        for spec in gymnasium.registry.values()
        if spec.version is not None and spec.id == f"{name}-v{spec.version}"
    ]


def _newest_spec(name: str) -> EnvSpec:
    """The registered spec; for an id without its version that of the newest one, as in `gymnasium.make`."""
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    if versions := _versions(name):
        return max(versions, key=lambda spec: spec.version or 0)
    return gymnasium.spec(name)  # raises, and says what is near


@functools.cache
def _call_registering_functions(package: str) -> None:
    """Those that its metadata declares, as Gymnasium called them before 1.0; else the one that is known."""
    declared = [
        (point.value, point.name)
        for point in importlib.metadata.entry_points(group=_PLUGINS)
        if point.module.partition(".")[0] == package
    ]
    known = [(_CALLS[package], "__root__")] if package in _CALLS else []
    for value, prefix in declared or known:
        module, _, function = value.partition(":")
        with nullcontext() if prefix.startswith("__") else namespace(prefix), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it registers an id again
            loaded = guarded(importlib.import_module, module)
            if function:
                registering: Any = functools.reduce(getattr, function.split("."), loaded)
                guarded(registering)


class _Registrar(NamedTuple):
    """A place in a file that calls Gymnasium's `register`."""

    module: str
    function: str | None  # None: importing the module is enough
    names_it: bool  # the id stands in the file


def _where_it_may_be(name: str) -> str | None:
    """Of an id without a module."""
    unversioned = re.sub(r"-v\d+$", "", name)
    if not re.fullmatch(r"[\w/.-]+", name) or _is_registered(unversioned):  # Gymnasium tells which versions there are
        return None
    known = next((known for known in _KNOWN if re.match(known.ids, name)), None)
    if known is not None:
        if _is_there(known.module):
            return f"nobody has registered it; is it {known.module}:{name}?"
        return (
            f"it comes with the package {known.package}: pip install '{known.package}' and --env {known.module}:{name}"
        )
    for files in (_files_here(), _files_of_packages()):
        places = [place for file in files for place in _registrars(file, name, only_named=True) if place.names_it]
        if places:
            nearest = min(places, key=lambda place: (place.function is not None, place.module.count(".")))
            # A function is mostly called at the import of its package.
            module = nearest.module if nearest.function is None else nearest.module.partition(".")[0]
            return f"nobody has registered it; is it {module}:{name}?"
    return None


def _is_there(module: str) -> bool:
    return find_spec(module.partition(".")[0]) is not None  # of a submodule it would import the package


class _File(NamedTuple):
    """A Python file with the name that it is imported by."""

    path: Path
    module: str


def _files_here() -> Iterator[_File]:
    """Of the folder that the user works in."""
    try:
        names = sorted([*Path.cwd().glob("*.py"), *Path.cwd().glob("*/__init__.py")])
    except OSError:  # it is gone
        return
    for path in names[:_MOST_FILES]:
        yield _file(path, Path.cwd())


def _files_of(module: str) -> Iterator[_File]:
    """Of a module that has been imported, and of all below it."""
    found = find_spec(module)
    if found is None or found.origin is None:
        return
    origin = Path(found.origin)
    if found.submodule_search_locations is None:
        yield _File(origin, module)
        return
    for path in sorted(origin.parent.rglob("*.py"))[:_MOST_FILES]:
        inside = _file(path, origin.parent).module
        yield _File(path, f"{module}.{inside}" if inside else module)


def _files_of_packages() -> Iterator[_File]:
    """Of those installed that need Gymnasium."""
    for package in importlib.metadata.distributions():
        needs = [need for need in package.requires or () if "extra ==" not in need]
        if any(re.match(r"gymnasium\b", need) for need in needs):
            root = Path(str(package.locate_file("")))
            files = [file for file in package.files or () if file.suffix == ".py"]
            for file in files[:_MOST_FILES]:
                yield _file(root / file, root)


def _file(path: Path, root: Path) -> _File:
    parts = path.relative_to(root).with_suffix("").parts
    return _File(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts))


def _registrars(file: _File, name: str, only_named: bool = False) -> list[_Registrar]:
    """`only_named`: of an id that stands in the file."""
    try:
        text = file.path.read_bytes()[:_MOST_BYTES].decode(errors="replace")
        if "register" not in text or "gym" not in text or (only_named and name not in text):
            return []
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    id_there = re.compile(rf"{re.escape(name)}(-v\d+)?")
    names_it = any(id_there.fullmatch(written) for node in ast.walk(tree) for written in _ids_in(node))
    found = []
    for node in tree.body:
        function = node.name if isinstance(node, ast.FunctionDef) else None
        if not isinstance(node, ast.ClassDef) and any(_registers(inner) for inner in ast.walk(node)):
            found.append(_Registrar(file.module, function, names_it))
    return found


def _registers(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    # atexit.register(f) and the like have neither a text nor these names.
    has_id = any(isinstance(argument, ast.Constant | ast.JoinedStr | ast.Call) for argument in node.args[:1])
    named = {word.arg for word in node.keywords}  # None: of **table
    return called == "register" and (has_id or not named.isdisjoint({"id", "entry_point", None}))


def _ids_in(node: ast.AST) -> list[str]:
    """Ids written in a call of `register`, or in a table of what it gets."""
    written: list[ast.expr | None] = []
    if isinstance(node, ast.Call) and _registers(node):
        written = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "id")]
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        written = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "id"]
    return [one.value for one in written if isinstance(one, ast.Constant) and isinstance(one.value, str)]
