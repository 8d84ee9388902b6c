"""The folder of a new run: named, made for this run alone, and gone again where there is no run."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.config import BadInput
from common.paths import user_path
from driver.ray_environment import RayDidNotStart
from driver.signals import StoppedEarly, StopSignals

CLAIM = ".reserve"  # there as long as the run is; it also keeps room for the last files, see Reserve


@contextmanager
def new_run_dir(asked: str | None, env: str, seed: int, signals: StopSignals, kind: str = "") -> Iterator[Path]:
    """A new folder, absolute: the one that is asked for, or runs/<time>-<kind><env>-<seed>.

    Raises BadInput unless it is new or empty, and writable. Where no run comes of it, it is removed again.
    """
    if asked is None:
        path, made = _make_default(user_path("runs", "--run-dir"), env, seed, kind)
    else:
        path = user_path(asked, "--run-dir")
        made = claim(path)
    signals.opens(lambda: remove_unused(path, made))
    try:
        yield path
    except (BadInput, StoppedEarly, RayDidNotStart):
        remove_unused(path, made)
        raise


def claim(path: Path) -> list[Path]:
    """Makes the folder and takes it for one run. Returns the folders made, innermost first. Raises as new_run_dir."""
    setting = f"--run-dir {path}"
    try:
        if path.exists() and not path.is_dir():
            raise BadInput(f"{setting}: is a file, and nothing is overwritten; name a new or empty folder")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        own = path / CLAIM
        try:
            own.open("x").close()
        except FileExistsError:
            raise BadInput(
                f"{setting}: another run has it, or had and was killed; name a new or empty folder"
            ) from None
        if any(entry.name != CLAIM for entry in path.iterdir()):  # only now: nobody else can take it meanwhile
            own.unlink()
            raise BadInput(f"{setting}: is not empty, and nothing is overwritten; name a new or empty folder")
    except OSError as error:
        raise BadInput(f"{setting}: cannot be written ({error.strerror}); name a folder that can") from None
    return made


def remove_unused(path: Path, made: list[Path]) -> None:
    """Undoes `claim`, but for what somebody else put there."""
    with suppress(OSError):
        (path / CLAIM).unlink()
        for folder in made:
            folder.rmdir()


def shown(path: Path) -> Path:
    """As short as it can be typed from here."""
    with suppress(ValueError, OSError):  # elsewhere, or here is no more
        return path.relative_to(Path.cwd())
    return path


def _make_default(runs: Path, env: str, seed: int, kind: str) -> tuple[Path, list[Path]]:
    """Runs that start in the same second get names that differ."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", env)
    wanted = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{kind}{name}-{seed}"
    made = [folder for folder in (runs, *runs.parents) if not folder.exists()]
    for number in itertools.count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            runs.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not runs.is_dir():
                raise BadInput(f"--run-dir {runs}: is a file, and runs go there; name another folder") from None
        except OSError as error:
            raise BadInput(f"--run-dir {path}: cannot be written ({error.strerror}); name a folder that can") from None
        else:
            return path, [path, *claim(path), *made]
    raise AssertionError("the numbers never end")
