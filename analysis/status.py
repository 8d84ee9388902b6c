"""The state of running or finished runs, from their files alone."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from analysis.moment import Goals, Moment, line, moment, table
from analysis.saved_run import ARROW_TYPES, check, how_good, later_is_saved, read_config, read_summary, read_table
from common.config import BadInput
from common.process import ProcessId, is_there
from common.return_text import interval_text, return_text
from common.run_files import CONFIG, FLUSH_SECONDS, METRICS, SUMMARY

_LOOK_SECONDS = 1.0  # between looks at the files
_PROCESS = {"process.host": str, "process.pid": int, "process.started": float}
_NEEDS = {"settings.actors": int, "settings.samples_per_insert": float}
_SUMMARY = {
    "stopped_by": str,
    "solved": bool,
    "last_evaluation_return": float | None,
    "env_steps": int,
    "learner_steps": int,
    "episodes": int,
    "seconds_total": float,
    "samples_per_insert": float | None,
    "policy_lag_mean": float | None,
    "actor_restarts": int,
    "error": str | None,
}
_OF_SOLVED = {
    "seconds_to_solve": float,
    "solved_learner_steps": int,
    "solved_env_steps": int,
    "evaluation_return": float,
    "confirmation_return": float,
    "confirmation_interval": tuple[float, float],
}
_OF_BEST = {
    "saved_learner_steps": int,
    "evaluation_return": float,
    "confirmation_return": float | None,
    "confirmation_interval": tuple[float, float] | None,
}
_DEPTHS = ("*", "*/*")  # of run folders below runs/: those of `compare` lie in a folder of their own


class Seen(NamedTuple):
    """A run as its files show it."""

    run: Path
    goals: Goals
    summary: dict[str, Any]  # empty until the run has written it
    process: ProcessId | None  # the driver's; None where the run did not say
    there: bool | None  # whether it still runs; None where this cannot be known
    moment: Moment | None  # the newest in the files
    age_seconds: float | None  # since the newest figures were written

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return bool(self.summary) or self.there is False


def show_status(
    runs: Sequence[Path],
    follow: bool = False,
    console: Console | None = None,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> None:
    """`launch.py status`: each run, or the newest under runs/; with `follow` again and again until all have ended.

    Raises BadInput on a missing or damaged run.
    """
    runs = runs or [newest_run(Path("runs"))]
    console = console or Console(highlight=False, soft_wrap=True)
    if follow:
        _follow(runs, console, wait, now)
        return
    for run in runs:
        console.print(_picture(look_at(run, now()), console.is_terminal))


def newest_run(folder: Path) -> Path:
    """The run that began last. Raises BadInput where there is none."""
    configs = [path for depth in _DEPTHS for path in folder.glob(f"{depth}/{CONFIG}") if path.is_file()]
    if not configs:
        raise BadInput(f"status: no run under {folder}/ in this folder; name a run folder")
    return max(configs, key=lambda path: path.stat().st_mtime).parent


def look_at(run: Path, now: float) -> Seen:
    """Raises BadInput on a missing or damaged run. `now`: as of time.time()."""
    config = read_config(run, "status", _NEEDS)
    process = None
    if "process" in config:
        check(config, _PROCESS, f"status {run}: its {CONFIG}")
        process = ProcessId(**{name: config["process"][name] for name in ProcessId._fields})
    goals = Goals(
        env=config["settings"]["env"],
        actors=config["settings"]["actors"],
        samples_per_insert=config["settings"]["samples_per_insert"],
        solved_return=config["environment"]["solved_return"],
    )
    there = is_there(process) if process else None
    summary = _read_summary(run)  # after the question: a run writes it before its process ends
    parts = sorted(part for part in (run / METRICS).glob("part-*.parquet") if part.exists())
    age = max(0.0, now - parts[-1].stat().st_mtime) if parts else None
    return Seen(run, goals, summary, process, there, _newest_moment(run, parts), age)


def _read_summary(run: Path) -> dict[str, Any]:
    summary = read_summary(run, "status", _SUMMARY)
    needs: dict[str, Any] = {}
    if summary.get("solved"):
        needs |= _OF_SOLVED
    if summary.get("policy_lag_mean") is not None:
        needs["policy_lag_max"] = int
    if "evaluation_unended" in summary:  # runs of older versions did not count them
        needs["evaluation_unended"] = int | None
    if summary.get("saved_as") == "best":
        needs |= _OF_BEST
    if summary.get("saved_as") == "confirmed":
        needs["saved_learner_steps"] = int
    check(summary, needs, f"status {run}: its {SUMMARY}")
    return summary


def _newest_moment(run: Path, parts: list[Path]) -> Moment | None:
    """Of the newest part that has one: a long run has thousands of parts."""
    hints = typing.get_type_hints(Moment)
    columns = {name: ARROW_TYPES[(typing.get_args(hint) or (hint,))[0]] for name, hint in hints.items()}
    for part in reversed(parts):
        name = f"{METRICS}/{part.name}"
        rows = read_table(run, name, "status", {"kind": "string", **columns}).to_pylist()
        newest = next((row for row in reversed(rows) if row["kind"] == "progress"), None)
        if newest is not None:
            missing = [name for name, hint in hints.items() if newest[name] is None and hint in ARROW_TYPES]
            if missing:
                raise BadInput(f"status {run}: its {name} is damaged ({missing[0]} is null); name another run")
            return moment(newest)
    return None


def _follow(runs: Sequence[Path], console: Console, wait: Callable[[float], None], now: Callable[[], float]) -> None:
    """On a terminal a picture that changes, elsewhere what is new."""
    before: dict[Path, Seen] = {}
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            seen = [look_at(run, now()) for run in runs]
            if live:
                live.update(Group(*(_picture(one, terminal=True) for one in seen)), refresh=True)
            for one in seen:
                if not live and (news := _news(one, before.get(one.run))):
                    console.print(news)
                before[one.run] = one
            if all(one.over for one in seen):
                return
            wait(_LOOK_SECONDS)


def _news(seen: Seen, before: Seen | None) -> RenderableType | None:
    if before is None or seen.over != before.over:
        return _picture(seen, terminal=False)
    if seen.moment is None or seen.moment == before.moment:
        return None
    return Text(f"{seen.run}: {line(seen.moment).strip()}")


def _picture(seen: Seen, terminal: bool) -> RenderableType:
    if seen.summary:
        return Text("\n".join(f"  {text}" if number else text for number, text in enumerate(_ended(seen))))
    if seen.moment is None:
        return Text(_unfinished(seen))
    figures = table(seen.moment, seen.goals) if terminal else Text(f"  {line(seen.moment).strip()}")
    return Group(Text(_unfinished(seen)), figures)


def _unfinished(seen: Seen) -> str:
    start, process = f"{seen.run}: {seen.goals.env}", seen.process
    figures = "no figures yet" if seen.age_seconds is None else f"figures of {seen.age_seconds:.0f} s ago"
    if process is None:
        return f"{start}, not finished; {figures}"
    if seen.there is None:
        heard = "not heard of yet" if seen.age_seconds is None else f"last heard of {seen.age_seconds:.0f} s ago"
        return f"{start}, not finished, on host {process.host}, {heard}"
    if not seen.there:
        return f"{start}, killed: no summary was written; {figures}"
    return f"{start}, running as process {process.pid}; {figures}, new ones come every {FLUSH_SECONDS:g} s"


def _ended(seen: Seen) -> list[str]:
    """The summary, in at most nine lines."""
    s = seen.summary
    lines = [f"{seen.run}: {seen.goals.env}, ended: {s['stopped_by']}"]
    if s["solved"]:
        low, high = s["confirmation_interval"]
        lines.append(
            f"solved in {s['seconds_to_solve']:.1f} s, after {s['solved_learner_steps']:,} learner steps and "
            f"{s['solved_env_steps']:,} environment steps"
        )
        saved = (
            f"saved: the best confirmed, of learner step {s['saved_learner_steps']:,}; " if later_is_saved(s) else ""
        )
        lines.append(
            f"{saved}evaluation {return_text(s['evaluation_return'])}, "
            f"confirmed with {interval_text(s['confirmation_return'], low, high)}"
        )
    else:
        last, goal = s["last_evaluation_return"], seen.goals.solved_return
        lines.append(
            ("not solved" if goal is None else f"not solved, which begins at {goal:g}")
            + ("; no evaluation was finished" if last is None else f"; last evaluation {return_text(last)}")
            + (f", {unended} of its episodes did not end" if (unended := s.get("evaluation_unended")) else "")
        )
    if s.get("saved_as") == "best":
        lines.append(f"saved: the best network seen, of learner step {s['saved_learner_steps']:,}, {how_good(s)}")
    lines.append(
        f"{s['env_steps']:,} environment steps, {s['learner_steps']:,} learner steps and {s['episodes']:,} episodes "
        f"in {s['seconds_total']:.1f} s"
    )
    figures = []
    if s["samples_per_insert"] is not None:
        figures.append(f"samples per insert {s['samples_per_insert']:.1f}, {seen.goals.samples_per_insert:g} wanted")
    if s["policy_lag_mean"] is not None:
        figures.append(f"policy lag {s['policy_lag_mean']:.0f} learner steps, at most {s['policy_lag_max']:,}")
    figures.append(f"{s['actor_restarts']} actors replaced")
    lines.append("; ".join(figures))
    if s["error"]:
        lines.append(f"error: {s['error'].splitlines()[0]}")
    return lines
