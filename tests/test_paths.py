"""Paths as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.config import BadInput
from common.paths import user_path


def test_a_tilde_is_the_home_folder_also_behind_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs/a", "--run-dir") == tmp_path / "runs" / "a"
    assert user_path("~", "--run-dir") == tmp_path


def test_a_relative_path_stays_where_it_was_meant_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    path = user_path("runs/a", "--run-dir")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert path == tmp_path / "runs" / "a"


def test_a_tilde_within_a_path_is_a_name_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert user_path("./~/a", "--run-dir") == tmp_path / "~" / "a"


@pytest.mark.parametrize("text", ["~nobody-has-this-name/x", "", "  ", "a\0b"])
def test_a_path_that_cannot_be_one_is_refused_by_the_setting(text: str) -> None:
    with pytest.raises(BadInput, match=r"^--output"):
        user_path(text, "--output")


def test_a_relative_path_from_a_folder_that_is_gone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadInput, match="--output a: the folder that you are in is gone"):
        user_path("a", "--output")
    assert user_path("/a", "--output") == Path("/a")
