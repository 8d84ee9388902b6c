"""The delay from publication to the last actor that acts with the params."""

from __future__ import annotations

import math

import pytest

from replay_server.params_delay import ParamsDelay


def test_the_last_actor_counts() -> None:
    delay = ParamsDelay()
    delay.acting(0, version=0, since=1.0)
    delay.acting(1, version=0, since=1.0)
    delay.published(100, 10.0)
    delay.acting(0, version=100, since=10.5)
    assert math.isnan(delay.percentile(50))
    delay.acting(0, version=100, since=10.5)  # its next chunk, acted with the same params
    delay.acting(1, version=100, since=12.0)
    assert delay.percentile(50) == pytest.approx(2.0)


def test_an_actor_that_skips_a_version_acts_with_both_from_then_on() -> None:
    delay = ParamsDelay()
    delay.acting(0, version=0, since=1.0)
    delay.published(100, 10.0)
    delay.published(200, 11.0)
    delay.acting(0, version=200, since=14.0)
    assert (delay.percentile(0), delay.percentile(100)) == (pytest.approx(3.0), pytest.approx(4.0))


def test_an_older_version_than_the_published_one_does_not_count() -> None:
    delay = ParamsDelay()
    delay.acting(0, version=100, since=1.0)
    delay.published(200, 10.0)
    delay.acting(0, version=100, since=1.0)
    assert math.isnan(delay.percentile(50))


def test_versions_wait_only_for_actors_known_when_they_were_published() -> None:
    delay = ParamsDelay()
    delay.published(0, 1.0)  # nobody plays yet
    delay.acting(0, version=0, since=2.0)
    delay.published(100, 10.0)
    delay.acting(1, version=0, since=9.0)  # comes later, with older params
    delay.acting(0, version=100, since=10.25)
    assert delay.percentile(50) == pytest.approx(0.25)


def test_an_actor_that_is_gone_keeps_no_more_than_the_last_100_versions() -> None:
    delay = ParamsDelay()
    delay.acting(0, version=0, since=0.0)
    delay.acting(7, version=0, since=0.0)  # never heard of again
    for version in range(1, 1001):
        delay.published(version, float(version))
        delay.acting(0, version, since=version + 0.5)
    delay.acting(7, version=1000, since=2000.0)  # its replacement
    assert delay.percentile(100) == pytest.approx(2000.0 - 901)
