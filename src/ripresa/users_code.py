"""Where in the user's own code something is asked for: the innermost frame that is neither ours nor Python's."""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Final

_OURS: Final = __name__.partition(".")[0]


def users_frame() -> FrameType | None:
    """The innermost frame of the user's own code; None if there is none."""
    frame = inspect.currentframe()
    while frame is not None and _is_passed_by(str(frame.f_globals.get("__name__")).partition(".")[0]):
        frame = frame.f_back
    return frame


def _is_passed_by(module: str) -> bool:
    return module == _OURS or (module in sys.stdlib_module_names and module != "__main__")


def users_line() -> str:
    """File and line of it, empty if there is none."""
    frame = users_frame()
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
