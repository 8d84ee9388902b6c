"""What a role does to its own process and thread."""

import os


def be_nice(niceness: int) -> None:
    """Raises the calling thread's niceness to at least `niceness`; never lowers it, which only root may."""
    os.nice(max(0, niceness - os.nice(0)))
