"""What decides, before Ray is imported, whether a run attaches, and to what."""

from __future__ import annotations

import pytest

from driver.ray_environment import cluster_address


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        (None, None, None),
        (None, "", None),
        ("", None, None),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),
        ("auto", None, "auto"),
        ("auto", "", "auto"),
        ("auto", "10.0.0.1:6379", "10.0.0.1:6379"),
        ("10.0.0.2:6379", "10.0.0.1:6379", "10.0.0.2:6379"),
    ],
)
def test_an_address_given_wins_over_ray_address_which_wins_over_auto(
    option: str | None, variable: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert cluster_address(option) == expected
