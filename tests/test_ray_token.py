"""The token of an embedded Ray: who can read it, and where it is."""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.config import BadInput
from driver.ray_token import embedded_token, is_at_hand

NOT_WRITABLE = "/proc/nowhere"  # for anybody, root included


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new user's, who has told Ray nothing."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def write_token(home: Path, content: str, permissions: int = 0o600) -> Path:
    file = home / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(content)
    file.chmod(permissions)
    return file


def test_a_new_token_is_for_its_owner_alone_whatever_the_umask(home: Path) -> None:
    umask = os.umask(0)
    try:
        with embedded_token() as note:
            assert note is None
    finally:
        os.umask(umask)
    [file] = (home / ".ray").iterdir()
    assert file.name == "auth_token"
    assert mode(file) == 0o600
    assert len(bytes.fromhex(file.read_text())) == 32


def test_a_token_that_is_there_stays_and_is_narrowed(home: Path) -> None:
    file = write_token(home, "of Ray\n", 0o644)
    with embedded_token() as note:
        assert note is None
    assert file.read_text() == "of Ray\n"
    assert mode(file) == 0o600


def test_a_file_that_holds_nothing_gets_a_token(home: Path) -> None:
    file = write_token(home, "\n", 0o644)
    with embedded_token():
        assert len(file.read_text()) == 64
        assert mode(file) == 0o600


def test_runs_that_start_together_find_the_same_token(home: Path) -> None:
    runs = 8
    barrier = threading.Barrier(runs, timeout=60)

    def start(_run: int) -> str:
        barrier.wait()
        with embedded_token():
            return (home / ".ray" / "auth_token").read_text()

    with ThreadPoolExecutor(runs) as pool:
        assert len(set(pool.map(start, range(runs)))) == 1


def test_where_home_cannot_be_written_the_token_is_in_a_private_folder_for_as_long_as_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", NOT_WRITABLE)
    with embedded_token() as note:
        file = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert note == (
            f"~/.ray cannot be written (No such file or directory): until the run ends, its token is in {file}"
        )
        assert len(file.read_text()) == 64
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert not file.parent.exists()
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


def test_what_the_user_names_wins_and_is_left_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = home / "token"
    named.write_text("the user's")
    named.chmod(0o640)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    with embedded_token() as note:
        assert note is None
        assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(named)
    assert named.read_text() == "the user's"
    assert mode(named) == 0o640
    assert list(home.iterdir()) == [named]


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "the user's"), ("RAY_AUTH_MODE", "disabled")])
def test_where_no_file_is_needed_none_is_made(
    name: str, value: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with embedded_token() as note:
        assert note is None
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("content", "fault"), [(None, "No such file or directory"), (" \n", "it is empty")])
def test_a_named_file_without_a_token_is_refused(
    content: str | None, fault: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = home / "token"
    if content is not None:
        named.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    with pytest.raises(BadInput) as refusal, embedded_token():
        pass
    assert str(refusal.value) == (
        f"RAY_AUTH_TOKEN_PATH {named}: holds no token ({fault}); write one into it, or unset RAY_AUTH_TOKEN_PATH"
    )


def test_no_place_for_a_token_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", NOT_WRITABLE)
    monkeypatch.setattr(tempfile, "tempdir", NOT_WRITABLE)
    with pytest.raises(BadInput, match="there is no place for a token; name a file that holds one"), embedded_token():
        pass


def test_a_token_is_at_hand_where_ray_would_find_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")  # empty is none
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    assert not is_at_hand()
    file = write_token(home, "of Ray")
    assert is_at_hand()
    monkeypatch.setenv("HOME", NOT_WRITABLE)
    assert not is_at_hand()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    assert is_at_hand()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nothing"))
    assert not is_at_hand()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the user's")
    assert is_at_hand()
