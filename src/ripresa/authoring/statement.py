"""Whether the statement that writes a flow goes on with it: then what is wrong is said when all of it is there."""

from __future__ import annotations

import dis
from typing import Final

from ..users_code import users_frame

_ENDS: Final = ("STORE_", "POP_TOP", "RETURN_", "COPY", "PRINT_EXPR", "CALL_INTRINSIC_1")
"""How the instructions begin that take what an expression has made: it is kept, dropped, given back or printed."""

_PADDING: Final = ("EXTENDED_ARG", "CACHE", "NOP")
_OF_IT: Final = ("LOAD_ATTR", "LOAD_METHOD")


def goes_on() -> bool:
    """Whether the user's statement that is being run has more to do with what it is given back here.

    `chain(a).then(b)` has, as long as `.then(c)` follows, or where it is an argument; not where it is assigned. Read
    from the instructions that come next. False where that cannot be known.
    """
    frame = users_frame()
    if frame is None:
        return False
    later = (each.opname for each in dis.get_instructions(frame.f_code) if each.offset > frame.f_lasti)
    following = [name for name in later if name not in _PADDING]
    if following and following[0] in _OF_IT:
        return True
    ends = next((name for name in following if not name.startswith("LOAD_")), "RETURN_VALUE")  # loads: `self.flow = `
    return not ends.startswith(_ENDS)
