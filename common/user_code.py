"""What went wrong in code that a user brought, told in one way wherever it happens."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[1]
_OURS = tuple(f"{_ROOT / name}/" for name in ("actors", "analysis", "common", "driver", "learner", "replay_server"))
_STDLIB = f"{sysconfig.get_path('stdlib')}/"
_PACKAGES = tuple({f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")})


def guarded(function: Callable[..., T], *positional: Any, **named: Any) -> T:
    """Calls the user's code, see `refuse_silent_end`."""
    try:
        return function(*positional, **named)
    except BaseException as error:
        refuse_silent_end(error)
        raise


def refuse_silent_end(error: BaseException) -> None:
    """Raises RuntimeError for what would end a process without a word, such as sys.exit()."""
    if isinstance(error, Exception | KeyboardInterrupt | GeneratorExit):
        return
    if hasattr(error, "ray_terminate_msg"):  # Ray's answer to a SIGTERM that came meanwhile
        return
    called = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"raised {error!r}"
    raise RuntimeError(f"the environment {called}") from error


def blame(error: BaseException) -> str:
    """`RuntimeError: no such level (my_env.py:12)`: kind, text on one line, and where in the user's code."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{kind}: {error.msg} ({shown_file(error.filename)}:{error.lineno})"
    frame = _of_the_user(error)
    if frame is None:
        return f"{kind}: {text}" if text else kind
    where = f"{shown_file(frame.filename)}:{frame.lineno}"
    return f"{kind}: {text or frame.line} ({where})"


def in_user_code(error: BaseException) -> bool:
    """Whether it came from what a user brought, and not from a library that refused what it was asked for."""
    return isinstance(error, SyntaxError) or _of_the_user(error) is not None


def is_brought(file: str) -> bool:
    """Whether it is a user's or a package's, and neither ours nor Ray's, which calls ours."""
    return not file.startswith((*_OURS, *(f"{folder}ray/" for folder in _PACKAGES)))


def shown_file(name: str) -> str:
    """As short as it can be found from here."""
    with suppress(ValueError, OSError):  # elsewhere, or here is no more
        return str(Path(name).relative_to(Path.cwd()))
    return name


def _of_the_user(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame outside of this project and of libraries; else of a package that brings environments."""
    frames = [frame for frame in _frames(error) if not frame.filename.startswith((*_OURS, "<"))]
    packaged = [frame for frame in frames if frame.filename.startswith(_PACKAGES)]
    own = [frame for frame in frames if frame not in packaged and not frame.filename.startswith(_STDLIB)]
    if own:
        return own[-1]
    brought = [frame for frame in packaged if not any(f"{folder}gymnasium/" in frame.filename for folder in _PACKAGES)]
    return brought[-1] if brought else None


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Outermost first, those of what caused it last."""
    frames = list(traceback.extract_tb(error.__traceback__))
    return frames if error.__cause__ is None else [*frames, *_frames(error.__cause__)]
