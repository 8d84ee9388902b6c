"""The end of a run: summary.json, and what the terminal says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.saved_run import how_good, later_is_saved
from common.config import Config
from common.return_text import interval_text, return_text
from common.run_files import CURVE, LAST_Q_NETWORK, Q_NETWORK, TENSORBOARD, TIMELINE
from common.types import EnvironmentSpec, Kept
from driver.reporting.progress import samples_per_insert
from driver.reporting.run_dir import shown
from driver.supervision.outcome import Outcome


def summarize_run(config: Config, outcome: Outcome, seconds_total: float) -> dict[str, Any]:
    """The content of summary.json; null where there is nothing to tell."""
    progress, solved, last = outcome.progress, outcome.solved, outcome.last_look
    saved_version, kept = outcome.saved_version, outcome.kept
    if kept is not None and kept.params.version != saved_version:
        kept = None
    look_of_saved = kept.look if kept else (last if last and last.version == saved_version else None)
    fresh = kept.fresh if kept else (solved.confirmation if solved else None)
    learner_steps = progress.learner_steps if progress else 0
    transitions = progress.transitions if progress else 0
    failure = outcome.failure
    return {
        "solved": solved is not None,
        "seconds_to_solve": solved.seconds if solved else None,
        "solved_env_steps": solved.confirmation.env_steps if solved else None,
        "solved_learner_steps": solved.confirmation.version if solved else None,
        "seconds_to_first_learner_step": outcome.first_learner_step_seconds,
        "seconds_total": seconds_total,
        "env_steps": progress.env_steps if progress else 0,
        "transitions": transitions,
        "learner_steps": learner_steps,
        "target_syncs": progress.target_syncs if progress else 0,
        "episodes": progress.episodes if progress else 0,
        "evaluation_return": look_of_saved.mean if look_of_saved else None,
        "confirmation_return": fresh.mean if fresh else None,
        "confirmation_interval": [fresh.interval_low, fresh.interval_high] if fresh else None,
        "confirmation_confidence": fresh.confidence if fresh else None,
        "confirmation_episodes": len(fresh.returns) if fresh else None,
        "last_evaluation_return": last.mean if last else None,
        "evaluation_unended": last.unended if last else None,
        "samples_per_insert": samples_per_insert(config, learner_steps, transitions),
        "policy_lag_mean": progress.policy_lag_mean if progress else None,
        "policy_lag_max": progress.policy_lag_max if progress else None,
        "replay_shards": [
            {"transitions": shard.transitions, "size": shard.size, "sampled": shard.sampled} for shard in outcome.shards
        ],
        "chunks": progress.chunks if progress else 0,
        "duplicate_chunks": progress.duplicate_chunks if progress else 0,
        "missing_chunks": progress.missing_chunks if progress else 0,
        "actor_restarts": progress.actor_restarts if progress else 0,
        "seed": config.run.seed,
        "actors": config.actor.actors,
        "nodes": outcome.nodes,
        "stopped_by": outcome.stopped_by,
        "saved_learner_steps": saved_version,
        "saved_as": _saved_as(saved_version, kept),
        "threshold_note": outcome.reach,
        "missing_files": [],
        "error": f"{failure.role}: {failure.text}" if failure else None,
    }


def closing_lines(summary: dict[str, Any], folder: Path, environment: EnvironmentSpec, goal: float | None) -> list[str]:
    """At most 15 lines: solved or not, in which time, where the files are, what to type next."""
    lines = [_verdict(summary, environment.id, goal)]
    lines.append(
        f"{summary['env_steps']:,} environment steps, {summary['learner_steps']:,} learner steps and "
        f"{summary['episodes']:,} episodes in {summary['seconds_total']:.1f} s"
    )
    if summary["samples_per_insert"] is not None:
        lag = summary["policy_lag_mean"]
        shown_lag = "" if lag is None else f", policy lag {lag:.0f} learner steps (at most {summary['policy_lag_max']})"
        lines.append(f"samples per insert {summary['samples_per_insert']:.1f}{shown_lag}")
    if summary["threshold_note"] is not None:
        lines.append(summary["threshold_note"])
    lines.append(f"files: {shown(folder)}; {_about_network(summary)}")
    if Q_NETWORK not in summary["missing_files"] and summary["saved_learner_steps"] is not None:
        lines.append("next:")
        lines.append(f"  python launch.py evaluate {shown(folder)} --video {shown(folder) / 'video'}")
        lines.append(f"  python launch.py plot {shown(folder)} --x env-steps")
        lines.append(f"  python launch.py --initial-params {shown(folder)}")
    if (folder / CURVE).exists():
        lines.append(f"picture: {shown(folder) / CURVE}")
    if (folder / TIMELINE).exists():
        lines.append(f"timeline, for https://ui.perfetto.dev: {shown(folder) / TIMELINE}")
    if (folder / TENSORBOARD).exists():
        lines.append(f"scalars: tensorboard --logdir {shown(folder) / TENSORBOARD}")
    return lines


def missing_line(missing: Mapping[str, str], folder: Path) -> str:
    """What is not in the run folder though it should be, and why, by file name."""
    files = ", ".join(f"{name} ({why})" for name, why in sorted(missing.items()))
    return f"error: not written, or not whole, in {shown(folder)}: {files}"


def _saved_as(saved_version: int | None, kept: Kept | None) -> str | None:
    if saved_version is None:
        return None
    return "newest" if kept is None else "confirmed" if kept.confirmed else "best"


def _about_network(summary: dict[str, Any]) -> str:
    """Which network was saved."""
    version = summary["saved_learner_steps"]
    if version is None:
        return f"no {Q_NETWORK}: the run ended before there was a network that somebody could still hand out"
    if Q_NETWORK in summary["missing_files"]:
        return f"{Q_NETWORK} could not be saved"
    if summary["saved_as"] == "confirmed":
        if later_is_saved(summary):
            return f"{Q_NETWORK} is the best confirmed network, of learner step {version:,}: {how_good(summary)}"
        return f"{Q_NETWORK} is the confirmed network, of learner step {version:,}"
    if summary["saved_as"] == "best":
        return (
            f"{Q_NETWORK} is the best network seen, of learner step {version:,}: {how_good(summary)}; the newest is "
            f"{LAST_Q_NETWORK}"
        )
    return f"{Q_NETWORK} is the newest network, of learner step {version:,}"


def _verdict(summary: dict[str, Any], env: str, goal: float | None) -> str:
    if summary["solved"]:
        when = (
            f"solved {env} in {summary['seconds_to_solve']:.1f} s, after {summary['solved_learner_steps']:,} learner "
            "steps"
        )
        if later_is_saved(summary):  # then the figures are of that one
            return when
        low, high = summary["confirmation_interval"]
        return (
            f"{when}: mean return {interval_text(summary['confirmation_return'], low, high)} over "
            f"{summary['confirmation_episodes']:,} fresh episodes"
        )
    last = summary["last_evaluation_return"]
    seen = "the last evaluation had a mean return of " + ("" if last is None else return_text(last))
    if last is None:
        seen = "no evaluation was finished"
    if goal is None:
        return f"{env} has no return that counts as solved ({summary['stopped_by']}); {seen}"
    return f"not solved, {env} counts as solved at {goal:g} ({summary['stopped_by']}); {seen}"
