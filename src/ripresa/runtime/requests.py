"""What others may ask of a run, as the facts that its owner makes of it."""

from __future__ import annotations

import json
from typing import Final

from ..authoring.failures import printable
from ..core.events import (
    CancelRequested,
    CheckpointNamed,
    ContinueRequested,
    Fact,
    PauseRequested,
    SignalReceived,
    TerminateRequested,
)
from ..errors import RipresaError
from ..ports import Request

KINDS: Final = ("cancel", "terminate", "pause", "continue", "checkpoint", "signal")


def encode_request(reason: str = "", by: str = "") -> bytes:
    """The body of a request."""
    return json.dumps({"reason": reason, "by": by}).encode()


def encode_signal(name: str, value: bytes, id: str = "", by: str = "") -> bytes:
    """The body of a signal; `value` is JSON text."""
    return json.dumps({"name": name, "value": value.decode(), "id": id, "by": by}).encode()


def decode_request(request: Request, now: int) -> Fact:
    """The fact that a request becomes when its owner takes it up."""
    body = json.loads(request.body)
    reason, by = printable(str(body.get("reason", ""))), printable(str(body.get("by", "")))
    match request.kind:
        case "cancel":
            return CancelRequested(now, reason, by)
        case "terminate":
            return TerminateRequested(now, reason, by)
        case "pause":
            return PauseRequested(now, reason, by)
        case "continue":
            return ContinueRequested(now, by)
        case "checkpoint":
            return CheckpointNamed(now, reason, by)
        case "signal":
            return SignalReceived(now, str(body["name"]), str(body["value"]).encode(), str(body["id"]), by)
        case kind:
            raise RipresaError(f"a run cannot be asked to {kind!r}", code="usage", op="request", hint=", ".join(KINDS))
