"""Where the time goes, with a clock made by hand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from common.time_use import ACTIVITIES, TimeUse, column, columns
from driver.reporting.profile import print_start, print_time_use


def test_every_moment_belongs_to_the_activity_that_ends_with_it() -> None:
    times = iter([0.0, 10.0, 11.0, 13.0, 16.0, 20.0])
    use = TimeUse(("playing", "waiting"), clock=lambda: next(times))
    use.begin()  # at 10: what was before does not count
    for activity in ("playing", "waiting", "playing", "waiting"):
        use.spent(activity)
    assert use.seconds == {"playing": 1.0 + 3.0, "waiting": 2.0 + 4.0}


def test_an_activity_that_was_not_named_is_refused() -> None:
    with pytest.raises(KeyError):
        TimeUse(("playing",)).spent("sleeping")


def test_what_is_handed_out_is_a_copy() -> None:
    use = TimeUse(("playing",))
    use.seconds["playing"] = 5.0
    assert use.seconds == {"playing": 0.0}


def test_the_start_is_told_in_the_order_in_which_things_came_up() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    print_start({"roles created": 2.5, "actor-0": 3.75, "learner": 4.0}, 4.25, console)
    lines = [
        line.split() for line in console.export_text().splitlines() if line.split() and line.split()[-1][0].isdigit()
    ]
    assert lines == [
        ["roles", "created", "2.50"],
        ["actor-0", "3.75"],
        ["learner", "4.00"],
        ["first", "learner", "step", "4.25"],
    ]


def test_the_table_shows_shares_of_each_role() -> None:
    time_use = dict.fromkeys(columns(), 0.0)
    time_use[column("learner", "updating")] = 3.0
    time_use[column("learner", "sampling")] = 1.0
    console = Console(width=80, record=True, file=io.StringIO())
    print_time_use(time_use, console)
    lines = {tuple(line.split()) for line in console.export_text().splitlines()}
    assert ("learner", "sampling", "1.00", "25.0", "%") in lines
    assert ("updating", "3.00", "75.0", "%") in lines
    assert ("actors", "acting", "0.00", "-") in lines
    assert set(ACTIVITIES) <= {line[0] for line in lines if line}
