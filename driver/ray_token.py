"""The token that Ray's listeners ask for: where it is, and that nobody else can read it. Never imports ray.

Ray looks in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token. An empty variable
counts as none.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.config import BadInput

_VALUE, _PATH, _MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
_NAME = "auth_token"
_BYTES = 32  # as many as in the tokens that Ray makes


def is_at_hand() -> bool:
    """Whether Ray will find one."""
    if os.environ.get(_VALUE):
        return True
    with suppress(OSError):
        return Path(os.environ.get(_PATH) or _usual_file()).is_file()
    return False


@contextmanager
def embedded_token() -> Iterator[str | None]:
    """While it lasts, an embedded Ray finds a token that no other user can read.

    Ray would write ~/.ray/auth_token itself, readable by everybody under the usual umask, and fail where it cannot.
    Where it cannot be written, the token is in a temporary file, and a line that says so is yielded; else None. What
    the user names is left as it is. Raises BadInput where that is no token, or where there is no place for one.
    """
    if os.environ.get(_VALUE) or os.environ.get(_MODE, "token").lower() != "token":
        yield None
    elif named := os.environ.get(_PATH):
        _check(Path(named))
        yield None
    elif (fault := _settle_usual_file()) is None:
        yield None
    else:
        with _temporary_file(fault) as file:
            os.environ[_PATH] = str(file)
            try:
                yield f"~/.ray cannot be written ({fault}): until the run ends, its token is in {file}"
            finally:
                del os.environ[_PATH]


def _usual_file() -> Path:
    try:
        return Path.home() / ".ray" / _NAME
    except RuntimeError as error:  # neither HOME nor an entry of this user's in the system's list
        raise FileNotFoundError(0, str(error)) from None


def _check(named: Path) -> None:
    try:
        fault = None if _read(named) else "it is empty"
    except OSError as error:
        fault = error.strerror
    if fault:
        raise BadInput(f"{_PATH} {named}: holds no token ({fault}); write one into it, or unset {_PATH}")


def _settle_usual_file() -> str | None:
    """Makes one where there is none, and narrows one of ours that others can read. Returns why it cannot."""
    try:
        file = _usual_file()
        if file.exists() and not _read(file):
            file.unlink()
        if not file.exists():
            _create(file)
        status = file.stat()
        if status.st_mode & 0o077 and status.st_uid == os.getuid():
            file.chmod(0o600)
    except OSError as error:
        return error.strerror
    return None


def _create(file: Path) -> None:
    """With its content and its mode at once, so that runs that start together find the same token."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent) as draft:  # mode 0600
        draft.write(secrets.token_hex(_BYTES))
        draft.flush()
        with suppress(FileExistsError):  # another run was faster
            os.link(draft.name, file)


@contextmanager
def _temporary_file(fault: str) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="dqn-token-")  # for this user only
    except OSError as error:
        raise BadInput(
            f"~/.ray cannot be written ({fault}), and there is no temporary folder ({error.strerror}): there is no "
            f"place for a token; name a file that holds one in {_PATH}"
        ) from None
    with folder as name:
        file = Path(name) / _NAME
        _create(file)
        yield file


def _read(file: Path) -> bytes:
    """As Ray does: the first line."""
    with file.open("rb") as stream:
        return stream.readline().strip()
