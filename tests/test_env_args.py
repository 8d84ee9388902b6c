"""Arguments for the environment: what their texts mean, and which copy gets which number."""

from __future__ import annotations

from typing import Any

import pytest

from common.env_args import arguments, copies, has_index


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("False", False),
        ("NONE", None),
        ("8x8", "8x8"),
        ("8", 8),
        ("-8", -8),
        ("+8", 8),
        ("0", 0),
        ("007", "007"),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("1_000", "1_000"),
        ("inf", "inf"),
        ("", ""),
        ("a=b", "a=b"),
        ("[1, 2.5, true]", [1, 2.5, True]),
        ('{"size": 3}', {"size": 3}),
        ('"8"', "8"),
        ('"true"', "true"),
        (" 8", " 8"),
    ],
)
def test_a_value_is_what_it_looks_like_and_else_a_text(text: str, expected: Any) -> None:
    value = arguments([f"name={text}"], index=0)["name"]
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{index}", 7),
        ("5000+{index}", 5007),
        ("-3+{index}", 4),
        ("logs/{index}.txt", "logs/7.txt"),
        ("{index}-{index}", "7-7"),
        ("[5000, {index}]", [5000, 7]),
        ('"{index}"', "7"),
        ("05000+5", "05000+5"),
    ],
)
def test_index_in_a_value_is_the_number_of_the_copy(text: str, expected: Any) -> None:
    value = arguments([f"name={text}"], index=7)["name"]
    assert (type(value), value) == (type(expected), expected)


def test_copies_differ_only_where_a_value_has_an_index() -> None:
    assert not has_index(["a=1", "b={}"])
    assert has_index(["a=1", "b=5000+{index}"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["map_name"], "map_name: must be NAME=VALUE"),
        (["=3"], "=3: must be NAME=VALUE"),
        (["8x8=3"], "8x8=3: must be NAME=VALUE"),
        (["map-name=3"], "map-name=3: must be NAME=VALUE"),
        ([" a=3"], " a=3: must be NAME=VALUE"),
        (["a=1", "b=2", "a=1"], "a=1: a is given twice"),
        (["a=[1, 2"], "a=[1, 2: begins like JSON"),
        (["a={idx}"], "a={idx}: begins like JSON"),
        (['a="b'], 'a="b: begins like JSON'),
        (["num_envs=3"], "num_envs=3: num_envs is set by this program"),
        (["id=3"], "id=3: id is set by this program"),
    ],
)
def test_what_is_no_argument_is_refused_by_its_text(settings: list[str], reason: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  the text is checked below
        arguments(settings, index=0)
    assert str(refusal.value).startswith(reason)


def test_no_two_copies_share_a_number() -> None:
    """Actors have 0 to 95, the evaluator 96 to 195."""
    assert copies(of_actors=96) == (96, 196, 197)


@pytest.mark.parametrize("word", ["no", "yes", "Off", "null"])
def test_words_that_would_silently_mean_the_opposite_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"is_slippery={word}: write true, false or none"):
        arguments([f"is_slippery={word}"], 0)
    assert arguments([f'is_slippery="{word}"'], 0) == {"is_slippery": word}
