"""`approval`: until enough people have granted or rejected what they were shown, or its time is up."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from ..bounds import holds
from ..commands import ClearTimer, SetTimer
from ..events import (
    ApprovalDecided,
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    DelegationTaken,
    Failure,
    NodeCancelled,
    VoteCast,
    VoteCounted,
    VoteRefused,
)
from ..frames import Frame
from ..values import Pick, Value, is_inline, text_of
from .node import Node
from .wait import TIMED_OUT

if TYPE_CHECKING:
    from ..state import RunState

ASKED: Final = "?approval"
"""The name under which open approvals are among what a run waits for; no signal can have it."""

BINDS_QUESTIONS: Final = 9
"""The rules of the core from which on answers are bound to the question too, not only to what it is about."""

HOLDS_QUESTIONS: Final = 9
"""The rules of the core from which on a paused run asks nobody before it goes on."""

BINDS_WHOLE: Final = 10
"""The rules of the core from which on answers are bound by the whole digest, not by its first 16 digits."""

ROLE: Final = "role:"
"""What stands before the name of a role among assignees."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How an approval is decided. Lengths in microseconds, 0 for none; `expiry` is `fail`, `reject` or `approve`.

    `assignees` are people and roles (`role:legal`), none for anybody; `escalate_to` are added to them after `escalate`.
    `remind` is the time between two reminders; `form` is the type of what people fill in, as text.
    """

    question: str
    quorum: int = 1
    assignees: tuple[str, ...] = ()
    remind: int = 0
    escalate: int = 0
    escalate_to: tuple[str, ...] = ()
    timeout: int = 0
    expiry: str = "fail"
    form: str = ""

    @property
    def text(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), separators=(",", ":"))


def terms_from(text: str) -> Terms:
    """The terms that a text stands for."""
    plain: dict[str, Any] = json.loads(text)
    found: dict[str, Any] = {key: tuple(value) if type(value) is list else value for key, value in plain.items()}  # pyright: ignore[reportUnknownArgumentType]
    return Terms(**found)


class ApprovalFrame(Frame):
    """An approval that is open: who may answer, who has (name, whether granted, form, comment), what is due when."""

    __slots__ = ("assignees", "due", "escalate_at", "expires_at", "remind_at", "votes")
    FIELDS = (
        *Frame.FIELDS,
        ("due", "plain"),
        ("remind_at", "plain"),
        ("escalate_at", "plain"),
        ("expires_at", "plain"),
        ("assignees", "plain list"),
        ("votes", "plain list"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.due = self.remind_at = self.escalate_at = self.expires_at = 0
        self.assignees: list[str] = []
        self.votes: list[list[Any]] = []


class Approval(Node[ApprovalFrame]):
    """Ask people about the input; return what they decided. `code` is the type of the form."""

    kind: ClassVar[str] = "approval"
    frame_class: ClassVar[type[Frame]] = ApprovalFrame

    def __init__(self, name: str, terms: Terms, **types: Any) -> None:
        super().__init__(name, **types)
        self.terms = terms

    @override
    def policy(self) -> dict[str, Any]:
        return {"terms": asdict(self.terms)}

    @override
    def open(self, run: RunState, frame: ApprovalFrame) -> None:
        if holds(run) and run.core >= HOLDS_QUESTIONS:
            return  # people are asked when the run goes on, see `release`
        terms = self.terms
        asked_at = run.dues.pop(frame.path, 0) or run.at  # of a run that was migrated meanwhile
        frame.votes, frame.assignees = [], list(terms.assignees)
        frame.remind_at, frame.escalate_at, frame.expires_at = (
            asked_at + length if length else 0 for length in (terms.remind, terms.escalate, terms.timeout)
        )
        self._set_due(frame)
        run.consequences.append(
            ApprovalRequested(
                frame.path,
                terms.question,
                frame.input,
                self._digest(run, frame),
                terms.assignees,
                terms.quorum,
                frame.due,
                terms.form,
                frame.expires_at,
            )
        )
        if frame.due:
            run.commands.append(SetTimer(frame.path, frame.due))
        run.waits(ASKED, frame)

    def vote(self, run: RunState, frame: ApprovalFrame, vote: VoteCast) -> None:
        """Somebody grants or rejects."""
        objection = self._objection(run, frame, vote)
        if objection:
            run.consequences.append(VoteRefused(frame.path, vote.by, objection, vote.id))
            return
        frame.votes = [*frame.votes, [vote.by, vote.granted, vote.form, vote.comment]]
        run.consequences.append(VoteCounted(frame.path, vote.by, vote.granted, vote.id))
        grants = sum(granted for _, granted, _, _ in frame.votes)
        if grants >= self.terms.quorum:
            self._decide(run, frame, granted=True, how="quorum")
        elif self._is_rejected(frame, len(frame.votes) - grants):
            self._decide(run, frame, granted=False, how="quorum")

    def delegate(self, run: RunState, frame: ApprovalFrame, fact: ApprovalDelegated) -> None:
        """Somebody lets another person answer instead."""
        objection = self._may_not(frame, fact.by, fact.roles)
        if not objection and not frame.assignees:
            objection = "anybody may answer: there is nothing to delegate"
        if not objection and fact.to in frame.assignees:
            objection = f"{fact.to} may answer already"
        if objection:
            run.consequences.append(VoteRefused(frame.path, fact.by, objection, fact.id))
            return
        frame.assignees = [name for name in frame.assignees if name != fact.by] + [fact.to]
        run.consequences.append(DelegationTaken(frame.path, fact.by, fact.to, fact.id))

    @override
    def timer(self, run: RunState, frame: ApprovalFrame) -> None:
        if 0 < frame.expires_at <= run.at:
            self._expire(run, frame)
            return
        escalated = 0 < frame.escalate_at <= run.at
        reminded = 0 < frame.remind_at <= run.at
        if escalated:
            frame.escalate_at = 0
            frame.assignees = [*frame.assignees, *(n for n in self.terms.escalate_to if n not in frame.assignees)]
        while 0 < frame.remind_at <= run.at:
            frame.remind_at += self.terms.remind
        self._set_due(frame)
        if escalated:
            run.consequences.append(ApprovalEscalated(frame.path, self.terms.escalate_to, frame.due))
        if reminded:
            run.consequences.append(ApprovalReminded(frame.path, frame.due))
        if frame.due:
            run.commands.append(SetTimer(frame.path, frame.due))

    @override
    def release(self, run: RunState, frame: ApprovalFrame) -> None:
        if not people_are_asked(run, frame):
            self.open(run, frame)

    @override
    def rewind(self, run: RunState, frame: ApprovalFrame) -> None:
        self.release(run, frame)

    @override
    def cancel(self, run: RunState, frame: ApprovalFrame) -> None:
        self._close(run, frame)
        run.consequences.append(NodeCancelled(frame.path))
        run.cancelled(frame)

    @override
    def reopen(self, run: RunState, frame: ApprovalFrame) -> None:
        """It is asked anew: whoever answered before did so in another situation."""
        self.open(run, frame)

    def _digest(self, run: RunState, frame: ApprovalFrame) -> str:
        """What tells what people are shown from everything else."""
        digest = digest_of_value(frame.input, self.terms.question if run.core >= BINDS_QUESTIONS else "")
        return digest if run.core >= BINDS_WHOLE else digest[:16]

    def _objection(self, run: RunState, frame: ApprovalFrame, vote: VoteCast) -> str:
        if vote.wrong:
            return vote.wrong
        if vote.digest and vote.digest != self._digest(run, frame):
            return "what is to be approved is not what was looked at"
        return self._may_not(frame, vote.by, vote.roles)

    def _may_not(self, frame: ApprovalFrame, by: str, roles: tuple[str, ...]) -> str:
        if not by:
            return "an answer needs a name"
        if any(by == name for name, _, _, _ in frame.votes):
            return f"{by} has answered already"
        mine = {by, *(ROLE + role for role in roles)}
        if frame.assignees and not mine.intersection(frame.assignees):
            return f"{by} is not among those who are asked: {', '.join(frame.assignees)}"
        return ""

    def _is_rejected(self, frame: ApprovalFrame, rejections: int) -> bool:
        """As many reject it as would have to grant it, or those who are left are too few to grant it."""
        known = frame.assignees and not any(name.startswith(ROLE) for name in frame.assignees)
        too_few = bool(known) and len(frame.assignees) - rejections < self.terms.quorum
        return rejections >= self.terms.quorum or too_few

    def _expire(self, run: RunState, frame: ApprovalFrame) -> None:
        frame.due = 0
        if self.terms.expiry != "fail":
            self._decide(run, frame, granted=self.terms.expiry == "approve", how="expired")
            return
        run.consequences.append(ApprovalDecided(frame.path, False, "expired"))
        self._close(run, frame)
        message = f"{self.terms.question!r} was not answered within {self.terms.timeout / 1_000_000:g} s"
        run.fail(frame, Failure("timeout", message, TIMED_OUT, path=frame.path))

    def _decide(self, run: RunState, frame: ApprovalFrame, *, granted: bool, how: str) -> None:
        voters = [vote for vote in frame.votes if vote[1] == granted]
        by = tuple(vote[0] for vote in voters)
        run.consequences.append(ApprovalDecided(frame.path, granted, how, by))
        self._close(run, frame)
        form, comment = (voters[-1][2], voters[-1][3]) if voters else ("null", "")
        head = json.dumps({"granted": granted, "by": by, "comment": comment, "how": how}, separators=(",", ":"))
        run.done(frame, f'{head[:-1]},"form":{form}}}'.encode())

    def _close(self, run: RunState, frame: ApprovalFrame) -> None:
        if people_are_asked(run, frame):
            run.waits_no_more(ASKED, frame)
        if frame.due:
            frame.due = 0
            run.commands.append(ClearTimer(frame.path))

    def _set_due(self, frame: ApprovalFrame) -> None:
        moments = (frame.remind_at, frame.escalate_at, frame.expires_at)
        frame.due = min((moment for moment in moments if moment), default=0)


def people_are_asked(run: RunState, frame: Frame) -> bool:
    """Whether people are asked at this place: not while a paused run has yet to go on."""
    return frame.path in run.waiters.get(ASKED, ())


def digest_of_value(value: Value, question: str = "") -> str:
    """What tells a question about a value from every other, in hex (SHA-256)."""
    asked = json.dumps(question).encode() + b"\0" if question else b""
    return sha256(asked + _text(value)).hexdigest()


def _text(value: Value) -> bytes:
    if isinstance(value, bytes) or is_inline(value):
        return text_of(value)
    if isinstance(value, Pick):
        return b"%d of %s" % (value.index, _text(value.source))
    return b"[" + b",".join(map(_text, value)) + b"]"
