"""Which call a request of a durable function is: its kind, its place in the function, and its input as JSON text.

Law: in what order segments are taken, also by what is refused then, shows in the journal: paths are made of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..authoring.call import pending
from ..authoring.encoding import encode
from ..authoring.single import runnable_of
from ..core.nodes.answer import UPDATES
from ..core.nodes.child import CLOSE
from ..errors import InvalidConfig, InvalidValue
from ..requested import AskPeople, AwaitChild, Outgo, SendOut, Sleep, StartRun, WaitFor
from ..updates import Answered, AnswerUpdate
from .ids import checked_id

Segments: TypeAlias = Callable[[str], str]
"""Makes of a name a part of a path that nothing else in the function has."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that is to be asked for; `callee` knows what its outcome is."""

    kind: str
    callee: Any
    segment: str
    text: bytes


def ask_of(request: object, segments: Segments, prefix: str) -> Ask | None:
    """The call that this request is; None if it is nothing that a durable function can await.

    Raises `RipresaError` for what cannot be asked for, such as a value that is no JSON.
    """
    match request:
        case Sleep(length):
            return Ask("sleep", None, segments("sleep"), b"%d" % length)
        case WaitFor(signal, _, length):
            return Ask("wait", request, segments(signal.removeprefix(UPDATES)), b"%d" % length)
        case AskPeople():
            segment = segments(request.name)
            text = encode(request.about, where=prefix + segment, code="invalid_input")
            return Ask("approval", request, segment, text)
        case AnswerUpdate():
            segment = segments(f"answer_{request.name}")
            text = encode(request.value, request.type, where=prefix + segment)
            answered = Answered(f"{request.name}/{request.id}")
            return Ask("refuse" if request.refused else "answer", answered, segment, text)
        case StartRun():
            return _start(request, segments)
        case AwaitChild(_, name):
            return Ask("child", request, segments(f"{name}_result"), b"null")
        case SendOut():
            return _send(request, segments)
        case _:
            return None


def _start(request: StartRun, segments: Segments) -> Ask:
    call = pending(request.call, "start")
    runnable = runnable_of(call.callee)
    if request.close not in CLOSE:
        raise InvalidConfig(f"on_close is {request.close!r}, must be one of {', '.join(CLOSE)}", op="start")
    id, text = checked_id(request.id or None, "start"), runnable.encode_input(call.args, call.kwargs)
    wanted = {"kind": "start", "id": id, "close": request.close, "workflow": runnable.name}
    outgo = Outgo(json.dumps(wanted, ensure_ascii=False), runnable)
    return Ask("dispatch", outgo, segments(runnable.name), text)


def _send(request: SendOut, segments: Segments) -> Ask:
    if not request.target:
        raise InvalidValue("a message needs the id of the run that it is for", op=request.kind)
    id = checked_id(request.id or None, "send")
    text = encode(request.value, request.type, where=request.name, code="invalid_input")
    wanted = {"kind": request.kind, "id": id, "target": request.target, "name": request.name}
    shape, name = json.dumps(wanted, ensure_ascii=False), f"send_{request.name}"
    return Ask("dispatch", Outgo(shape), segments(name if request.kind == "signal" else request.kind), text)
