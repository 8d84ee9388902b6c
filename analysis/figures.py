"""Matplotlib without a backend: pictures go into files, whatever a notebook or a user's settings chose for windows.

`pyplot` is never imported, because it takes the backend that MPLBACKEND or a matplotlibrc names.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.config import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_MOST_REASON = 300  # characters; some of matplotlib's errors list everything that it knows


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure."""
    # matplotlib refuses to be imported where it does not know the backend, though nothing here uses one.
    chosen = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib.figure import Figure  # here, because it takes a while
    finally:
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    """Writes it in the format of the name's ending, PNG where it has none. Returns the file that it wrote.

    A picture that cannot be drawn or written leaves no file, and an older one as it was.
    """
    if path.exists() and not path.is_file():  # /dev/stdout, or a folder, which refuses
        path.write_bytes(_render(figure, "png"))
        return path
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    content = _render(figure, path.suffix[1:])
    target = path.resolve()  # a link stays one
    temporary = target.with_name(f".{target.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    return path


def try_to_draw(draw: Callable[[], object]) -> str | None:
    """Draws and saves. Returns in one line why that failed, or None: no picture is worth a run's end."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # of odd data; they would reach the terminal
            warnings.simplefilter("ignore")
            draw()
    except BadInput as error:
        return str(error)
    except OSError as error:
        return " ".join(filter(None, [error.strerror or str(error), error.filename and str(error.filename)]))
    except Exception as error:  # of matplotlib, its fonts and its user's settings: they can raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MOST_REASON]
    return None


def _render(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format=form)
    return buffer.getvalue()
