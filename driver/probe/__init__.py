"""The user's environment, tried in a process of its own before anything else runs it."""
