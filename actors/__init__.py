"""Actors and the evaluator: what plays the environment. numpy only, never torch."""
