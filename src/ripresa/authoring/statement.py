"""Whether the statement that writes a flow goes on with it: then what is wrong is said when all of it is there."""

from __future__ import annotations

import dis
import inspect
from types import FrameType
from typing import Final

_BETWEEN: Final = (__name__.partition(".")[0], "typing", "functools")
"""Modules whose frames are passed by on the way to the user's: `Parallel[A, B](...)` is a call of typing."""

_ENDS: Final = ("STORE_", "POP_TOP", "RETURN_", "COPY", "PRINT_EXPR", "CALL_INTRINSIC_1")
"""How the instructions begin that take what an expression has made: it is kept, dropped, given back or printed."""

_PADDING: Final = ("EXTENDED_ARG", "CACHE", "NOP")
_OF_IT: Final = ("LOAD_ATTR", "LOAD_METHOD")


def goes_on() -> bool:
    """Whether the user's statement that is being run has more to do with what it is given back here.

    `chain(a).then(b)` has, as long as `.then(c)` follows, or where it is an argument; not where it is assigned. Read
    from the instructions that come next. False where that cannot be known.
    """
    frame = _users(inspect.currentframe())
    if frame is None:
        return False
    later = (each.opname for each in dis.get_instructions(frame.f_code) if each.offset > frame.f_lasti)
    following = [name for name in later if name not in _PADDING]
    if following and following[0] in _OF_IT:
        return True
    ends = next((name for name in following if not name.startswith("LOAD_")), "RETURN_VALUE")  # loads: `self.flow = `
    return not ends.startswith(_ENDS)


def _users(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's own code."""
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    return frame
