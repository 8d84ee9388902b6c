"""What an id means, and what is said of one that means nothing, on packages as people publish them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from common.config import BadInput
from common.env_ids import import_environment
from common.environment import probe

ENTRY = "environments:OneState"
_names = iter(range(1000))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages can be installed; what they register and import is forgotten afterwards."""
    before = dict(gymnasium.registry)
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def install(site: Path, files: dict[str, str], entry_points: str = "") -> str:
    """A package with these files, of a name of its own; `NAME` in them is the name. Returns it."""
    name = f"package_{next(_names)}"
    for file, text in {"__init__.py": "", **files}.items():
        path = site / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("NAME", name))
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: gymnasium\n")
    (metadata / "entry_points.txt").write_text(entry_points.replace("NAME", name))
    (metadata / "RECORD").write_text("".join(f"{name}/{file},,\n" for file in {"__init__.py", *files}))
    return name


def refusal(env_id: str) -> str:
    with pytest.raises(BadInput) as refused:
        probe(env_id)
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"--env {env_id}: ")


AT_IMPORT = f"import gymnasium\ngymnasium.register(id='NAME/Game-v0', entry_point='{ENTRY}')\n"
IN_A_FUNCTION = f"""
from gymnasium.envs.registration import register


def register_envs():
    for game in ["Game"]:
        register("NAME/{{}}-v0".format(game), entry_point='{ENTRY}')
"""


@pytest.mark.parametrize("points", ["NAME = NAME.gym:register_envs", "__root__ = NAME.gym:register_envs"])
def test_a_function_that_the_packages_metadata_names_is_called(site: Path, points: str) -> None:
    """As MinAtar's does."""
    name = install(site, {"gym.py": IN_A_FUNCTION}, f"[gymnasium.envs]\n{points}\n")
    assert import_environment(f"{name}:{name}/Game-v0").id == f"{name}/Game-v0"
    assert probe(f"{name}:{name}/Game").observation_size == 1  # in any way in which an id can be given


def test_the_metadata_gives_the_namespace_as_it_did_in_gym(site: Path) -> None:
    code = f"import gymnasium\n\ndef go():\n    gymnasium.register(id='Game-v3', entry_point='{ENTRY}')\n"
    name = install(site, {"all.py": code}, "[gymnasium.envs]\nSpace = NAME.all:go\n")
    assert probe(f"{name}:Space/Game-v3").observation_size == 1


@pytest.mark.parametrize(
    ("package", "module", "function"),
    [("gym_classics2", "gym_classics2", "register"), ("minatar", "minatar.gym", "register_envs")],
)
def test_a_function_that_is_known_to_be_needed_is_called(site: Path, package: str, module: str, function: str) -> None:
    file = site / package / ("__init__.py" if module == package else "gym.py")
    file.parent.mkdir()
    (site / package / "__init__.py").write_text("")
    file.write_text(
        f"import gymnasium\n\ndef {function}():\n    gymnasium.register(id='MinAtar/A-v0', entry_point='{ENTRY}')\n"
    )
    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == package}
    try:
        assert probe(f"{package}:MinAtar/A-v0").observation_size == 1
    finally:
        sys.modules.update(saved)


def test_a_registering_function_that_raises_is_told(site: Path) -> None:
    code = "def go():\n    raise OSError('no ROMs')\n"
    name = install(site, {"all.py": code}, "[gymnasium.envs]\n__root__ = NAME.all:go\n")
    assert refusal(f"{name}:Game-v0").startswith("OSError: no ROMs (")


def test_a_submodule_that_registers_is_named_and_works(site: Path) -> None:
    """As tetris-gymnasium."""
    name = install(site, {"envs/__init__.py": AT_IMPORT})
    assert refusal(f"{name}:{name}/Game-v0") == (
        f"{name} was imported and registers nothing with Gymnasium; its submodule {name}.envs does: --env "
        f"{name}.envs:{name}/Game-v0"
    )
    assert f"{name}.envs" not in sys.modules  # nothing is imported that was not asked for
    assert probe(f"{name}.envs:{name}/Game-v0").observation_size == 1


def test_a_submodule_is_named_too_where_the_package_registers_others(site: Path) -> None:
    others = f"import gymnasium\ngymnasium.register(id='NAME/Other-v0', entry_point='{ENTRY}')\n"
    name = install(site, {"__init__.py": others, "more.py": AT_IMPORT})
    assert refusal(f"{name}:{name}/Game-v0") == (
        f"{name} registers no {name}/Game-v0; its submodule {name}.more does: --env {name}.more:{name}/Game-v0"
    )


def test_a_function_that_registers_is_named_where_nobody_calls_it(site: Path) -> None:
    """Which ids it registers is not written there as they are."""
    name = install(site, {"gym.py": IN_A_FUNCTION})
    message = refusal(f"{name}:{name}/Game-v0")
    assert f"{name} was imported and registers nothing with Gymnasium" in message
    assert f"its function {name}.gym.register_envs registers some; write a module that imports and calls it" in message


NOT_FOR_ENVIRONMENTS = "import atexit  # of a gym\natexit.register(print)\n"
ONLY_AS_A_PROGRAM = f"import gymnasium\nif __name__ == '__main__':\n    gymnasium.register('A-v0', '{ENTRY}')\n"


@pytest.mark.parametrize("files", [{}, {"a.py": NOT_FOR_ENVIRONMENTS}, {"__init__.py": ONLY_AS_A_PROGRAM}], ids=str)
def test_a_module_that_registers_nothing_and_has_nothing_that_would_is_told(site: Path, files: dict[str, str]) -> None:
    name = install(site, files)
    assert refusal(f"{name}:A-v0") == (
        f"{name} was imported and registers nothing with Gymnasium; name the module that registers A-v0, or write one "
        "that does"
    )


def test_the_nearest_id_of_the_module_is_named(site: Path) -> None:
    name = install(site, {"__init__.py": AT_IMPORT})
    for _ in range(2):  # at the first import and later
        assert refusal(f"{name}:{name}/Gaem-v0") == (
            f"{name} registers no {name}/Gaem-v0; the nearest of its 1 ids is {name}:{name}/Game-v0"
        )
    assert refusal(f"{name}:Quite-v0").endswith(f"it has {name}/Game-v0")


def test_an_id_without_its_module_is_found_in_the_installed_packages(site: Path) -> None:
    name = install(site, {"__init__.py": "", "envs.py": AT_IMPORT})
    question = f"nobody has registered it; is it {name}.envs:{name}/Game-v0?"
    assert refusal(f"{name}/Game-v0") == question
    assert f"{name}.envs" not in sys.modules


def test_an_id_without_its_module_is_found_in_the_folder_that_one_works_in(site: Path) -> None:
    (site / "my_own_envs.py").write_text(AT_IMPORT.replace("NAME/Game", "My-Own"))
    assert refusal("My-Own-v0") == "nobody has registered it; is it my_own_envs:My-Own-v0?"
    assert refusal("My-Own") == "nobody has registered it; is it my_own_envs:My-Own?"


def test_known_namespaces_are_told_by_what_is_installed(site: Path) -> None:
    assert "is it ale_py:ALE/Pong-v5?" in refusal("ALE/Pong-v5") or refusal("ALE/Pong-v5") == (
        "it comes with the package ale-py: pip install 'ale-py' and --env ale_py:ALE/Pong-v5"
    )
    (site / "ale_py.py").write_text("")
    assert refusal("ALE/Pong-v5") == "nobody has registered it; is it ale_py:ALE/Pong-v5?"
    assert refusal("PongNoFrameskip-v4") == "nobody has registered it; is it ale_py:PongNoFrameskip-v4?"
    assert "ale_py" not in sys.modules


def test_a_version_that_does_not_exist_is_gymnasiums_to_tell() -> None:
    assert "It provides versioned environments" in refusal("CartPole-v9")
