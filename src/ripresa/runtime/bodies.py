"""The bodies of what others ask of a run, as text; `requests` makes facts of them.

Law: needs nothing of the runtime, so that whoever asks, sends or drives can write one.
"""

from __future__ import annotations

import json
from typing import Any

from ..authoring.failures import printable
from ..core.nodes.answer import UPDATES


def encode_request(reason: str = "", by: str = "", **more: str) -> bytes:
    """The body of a request."""
    return json.dumps({"reason": reason, "by": by, **more}).encode()


def encode_signal(name: str, value: bytes, id: str = "", by: str = "") -> bytes:
    """The body of a signal; `value` is JSON text."""
    return json.dumps({"name": name, "value": value.decode(), "id": id, "by": by}).encode()


def encode_update(name: str, value: bytes, id: str, by: str = "") -> bytes:
    """The body of the signal that an update is; `value` is JSON text."""
    sent = json.dumps({"id": id, "value": value.decode(), "by": printable(by)})
    return encode_signal(UPDATES + name, sent.encode(), id, by)


def encode_vote(**fields: Any) -> bytes:
    """The body of an answer to an approval, or of a delegation."""
    return json.dumps(fields).encode()


def suspender(session: str) -> str:
    """Who pauses the runs of a session that is suspended, and lets them go on with it."""
    return f"session {session}"
