"""The events of signals and approvals: what comes from outside, and what comes of it. See `events` for their law."""

from __future__ import annotations

from ..records import record
from .values import Value

# --- facts


@record
class VoteCast:
    """Somebody answers an approval: `form` is the JSON text of what was filled in; `wrong` says why it is no form.

    `digest` is that of what was looked at ("", in older journals, binds to nothing); `roles` are claimed like the name.
    """

    at: int
    path: str
    by: str
    granted: bool
    form: str = "null"
    comment: str = ""
    digest: str = ""
    roles: tuple[str, ...] = ()
    id: str = ""
    wrong: str = ""


@record
class ApprovalDelegated:
    """Somebody who is asked wants another person to be asked instead."""

    at: int
    path: str
    by: str
    to: str
    roles: tuple[str, ...] = ()
    id: str = ""


@record
class ApprovalRequested:
    """People are asked about a value; `due` is the next reminder, escalation or expiry, `expires` the last of them."""

    path: str
    question: str
    about: Value
    digest: str
    assignees: tuple[str, ...] = ()
    quorum: int = 1
    due: int = 0
    form: str = ""
    expires: int = 0


@record
class VoteCounted:
    """An answer counts."""

    path: str
    by: str
    granted: bool
    id: str = ""


@record
class VoteRefused:
    """An answer or delegation does not count, and why; `id` is that of who asked."""

    path: str
    by: str
    reason: str
    id: str = ""


@record
class DelegationTaken:
    """Another person is asked instead."""

    path: str
    by: str
    to: str
    id: str = ""


@record
class ApprovalReminded:
    """Those who are asked are to be reminded; the next moment is `due`."""

    path: str
    due: int = 0


@record
class ApprovalEscalated:
    """More people are asked; the next moment is `due`."""

    path: str
    to: tuple[str, ...]
    due: int = 0


@record
class ApprovalDecided:
    """An approval ended: by whom, or because its time was up (`how`: `quorum` or `expired`)."""

    path: str
    granted: bool
    how: str
    by: tuple[str, ...] = ()


@record
class SignalReceived:
    """A message in: it goes to the oldest wait for this name, or is kept for the next one. `id` is the sender's."""

    at: int
    name: str
    value: Value
    id: str = ""
    by: str = ""


@record
class UpdateAnswered:
    """The run answered the update of this name and id: `value` is the answer, or says why it was refused."""

    path: str
    name: str
    id: str
    value: Value
    refused: bool = False


@record
class WaitStarted:
    """The run waits for a signal, until `due` (0: for ever)."""

    path: str
    signal: str
    due: int = 0


@record
class SignalTaken:
    """A wait got the signal that it was for."""

    path: str
    signal: str
    id: str = ""
