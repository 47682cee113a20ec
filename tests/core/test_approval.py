"""Approvals: who may answer, how often, about what; quorum, reminders, escalation, delegation, time that is up."""

import json
from typing import Any

import pytest

from ripresa.core.commands import ClearTimer, SetTimer
from ripresa.core.events import (
    ApprovalDecided,
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    BranchTaken,
    CallSpec,
    DelegationTaken,
    NodeCancelled,
    RunCompleted,
    RunFailed,
    VoteCast,
    VoteCounted,
    VoteRefused,
)
from ripresa.core.nodes.approval import ASKED, Approval, Terms, digest_of_value, terms_from
from ripresa.core.nodes.approved import Approved
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.values import Pick, Value
from ripresa.core.view import ApprovalView, view_of

from .play import SECOND, START, Effect, Play, call, define

ABOUT = b'{"text":"tides"}'
DIGEST = digest_of_value(ABOUT, "Publish?")


def asked(*, snapshots: bool = True, **terms: Any) -> Play:
    play = Play(define(Approval("ok", Terms("Publish?", **terms))), snapshots=snapshots)
    play.start(ABOUT)
    return play


def vote(play: Play, by: str, granted: bool = True, **fields: Any) -> list[Effect]:
    return play.feed(VoteCast(play.now, fields.pop("path", "ok"), by, granted, **fields))


def refusal(play: Play, by: str, **fields: Any) -> str:
    (refused,) = vote(play, by, **fields)
    assert isinstance(refused, VoteRefused)
    return refused.reason


def result(play: Play) -> Any:
    assert isinstance(play.output, bytes)
    play.check_replay()
    return json.loads(play.output)


def test_one_person_decides_and_what_was_filled_in_comes_along() -> None:
    play = asked()
    assert play.events[1] == ApprovalRequested("ok", "Publish?", ABOUT, DIGEST)
    decided = vote(play, "ann", form='{"note":"fine"}', comment="go", digest=DIGEST, id="1")
    assert decided[:2] == [VoteCounted("ok", "ann", True, "1"), ApprovalDecided("ok", True, "quorum", ("ann",))]
    assert result(play) == {
        "granted": True, "by": ["ann"], "comment": "go", "how": "quorum", "form": {"note": "fine"},
    }  # fmt: skip


def test_as_many_reject_it_as_would_have_to_grant_it() -> None:
    play = asked(quorum=2)
    assert vote(play, "bob", granted=False) == [VoteCounted("ok", "bob", False)]
    vote(play, "ann", granted=False, comment="no")
    assert result(play) == {"granted": False, "by": ["bob", "ann"], "comment": "no", "how": "quorum", "form": None}


def test_two_of_three() -> None:
    play = asked(quorum=2, assignees=("ann", "bob", "cid"))
    vote(play, "ann")
    assert vote(play, "bob", granted=False) == [VoteCounted("ok", "bob", False)]
    assert result_of(vote(play, "cid")) == ApprovalDecided("ok", True, "quorum", ("ann", "cid"))
    play = asked(quorum=2, assignees=("ann", "bob", "cid"))
    vote(play, "ann", granted=False)
    assert result_of(vote(play, "bob", granted=False)) == ApprovalDecided("ok", False, "quorum", ("ann", "bob"))
    play = asked(quorum=3, assignees=("ann", "bob", "cid"))
    assert result_of(vote(play, "ann", granted=False)) == ApprovalDecided("ok", False, "quorum", ("ann",))


def result_of(effects: list[Effect]) -> Effect:
    return next(effect for effect in effects if isinstance(effect, ApprovalDecided))


def test_who_may_not_answer_is_told_why() -> None:
    play = asked(quorum=2, assignees=("ann", "bob"))
    assert refusal(play, "eve") == "eve is not among those who are asked: ann, bob"
    assert refusal(play, "") == "an answer needs a name"
    assert refusal(play, "ann", digest="other") == "what is to be approved is not what was looked at"
    assert refusal(play, "ann", wrong="no form") == "no form"
    assert refusal(play, "ann", path="nowhere") == "nothing is asked there"
    vote(play, "ann")
    assert refusal(play, "ann") == "ann has answered already"
    play.check_replay()


def test_roles_are_claimed() -> None:
    play = asked(assignees=("role:legal",))
    assert "is not among" in refusal(play, "ann")
    vote(play, "ann", roles=("legal",))
    assert result(play)["granted"]


def test_somebody_else_is_asked_instead() -> None:
    play = asked(assignees=("ann", "bob"))

    def delegate(by: str, to: str) -> list[Effect]:
        return play.feed(ApprovalDelegated(play.now, "ok", by, to, id="7"))

    assert delegate("eve", "cid") == [VoteRefused("ok", "eve", "eve is not among those who are asked: ann, bob", "7")]
    assert delegate("ann", "bob") == [VoteRefused("ok", "ann", "bob may answer already", "7")]
    assert delegate("ann", "cid") == [DelegationTaken("ok", "ann", "cid", "7")]
    assert view_of(play.journal).approvals["ok"].assignees == ("bob", "cid")
    assert "is not among" in refusal(play, "ann")
    vote(play, "cid")
    assert result(play)["by"] == ["cid"]
    play = asked()
    assert delegate("ann", "cid") == [VoteRefused("ok", "ann", "anybody may answer: there is nothing to delegate", "7")]


def test_people_are_reminded_then_others_are_asked_then_time_is_up() -> None:
    play = asked(
        assignees=("ann",),
        remind=2 * SECOND,
        escalate=5 * SECOND,
        escalate_to=("bob", "ann"),
        timeout=7 * SECOND,
        expiry="reject",
    )
    assert play.fire("ok") == [
        ApprovalReminded("ok", START + 4 * SECOND),
        SetTimer("ok", START + 4 * SECOND),
    ]
    assert view_of(play.journal).timers == {"ok": START + 4 * SECOND}
    play.fire("ok")
    assert play.fire("ok")[0] == ApprovalEscalated("ok", ("bob", "ann"), START + 6 * SECOND)
    assert view_of(play.journal).approvals["ok"].assignees == ("ann", "bob")
    play.fire("ok")
    assert play.fire("ok")[0] == ApprovalDecided("ok", False, "expired")
    assert result(play) == {"granted": False, "by": [], "comment": "", "how": "expired", "form": None}


def test_a_run_that_slept_through_its_reminders_gives_one() -> None:
    play = asked(remind=SECOND)
    play.now += 5 * SECOND
    assert play.fire("ok")[0] == ApprovalReminded("ok", START + 6 * SECOND)


def test_an_escalation_alone_has_no_next_moment() -> None:
    play = asked(escalate=SECOND, escalate_to=("bob",))
    assert play.fire("ok") == [ApprovalEscalated("ok", ("bob",), 0)]
    vote(play, "bob")
    assert result(play)["granted"]


def test_time_that_is_up_fails_or_grants_by_what_was_agreed() -> None:
    play = asked(timeout=SECOND)
    decided, failed = play.fire("ok")
    assert decided == ApprovalDecided("ok", False, "expired")
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "timeout"
    assert isinstance(play.reopen()[0], ApprovalRequested)
    assert ClearTimer("ok") in vote(play, "ann")
    assert result(play)["granted"]
    play = asked(timeout=SECOND, expiry="approve")
    play.fire("ok")
    assert result(play)["how"] == "expired"


def test_an_approval_that_is_stopped_is_asked_anew_when_reopened() -> None:
    asking = Approval("ok", Terms("Publish?", quorum=2, timeout=9 * SECOND))
    play = Play(define(Parallel("p", (asking, call("s")), join=Join())), snapshots=True)
    play.start(ABOUT)
    vote(play, "ann")
    effects = play.fail("s")
    assert NodeCancelled("ok") in effects
    assert ClearTimer("ok") in effects
    assert play.state.waiters == {}
    play.reopen()
    assert ASKED in play.state.waiters
    assert vote(play, "ann") == [VoteCounted("ok", "ann", True)]
    play.check_replay()


def test_a_cancelled_run_asks_nobody_any_more() -> None:
    play = asked()
    play.cancel()
    assert view_of(play.journal).approvals == {}
    assert vote(play, "ann") == []


@pytest.mark.parametrize("granted", [True, False])
def test_a_branch_that_people_decide(granted: bool) -> None:
    asking = Approval("ask", Terms("Publish?"))
    play = Play(define(Approved("a", asking, (call("yes"), call("no")))), snapshots=True)
    play.start(ABOUT)
    effects = vote(play, "ann", granted=granted, path="ask")
    arm = "yes" if granted else "no"
    assert BranchTaken("", "Publish?", arm) in effects
    play.done(arm, b"5")
    assert play.events[-1] == RunCompleted(b"5")
    play.check_replay()
    assert play.definition.root.children[1:] == play.definition.root.arms  # type: ignore[attr-defined]
    assert play.definition.expected == 1


def test_a_durable_function_asks_people() -> None:
    play = Play(define(Dynamic("f", workflow="f", version="1")), snapshots=True)
    play.start()
    terms = Terms("Publish?", 1, ("ann",))
    assert terms_from(terms.text) == terms
    play.asked("", CallSpec(1, "approval", "ok", ABOUT, terms.text))
    vote(play, "ann")
    play.returned("", b"2")
    play.check_replay()


def test_readers_see_who_is_asked_what() -> None:
    play = asked(quorum=2, timeout=SECOND)
    vote(play, "ann")
    view = view_of(play.journal)
    assert view.approvals == {
        "ok": ApprovalView("ok", "Publish?", ABOUT, DIGEST, (), 2, "", START, START + SECOND, [("ann", True)])
    }
    assert view.waiting
    vote(play, "bob")
    assert (view_of(play.journal).approvals, view_of(play.journal).timers) == ({}, {})


def test_every_value_has_a_digest_of_its_own() -> None:
    reference = b"@" + b"0f" * 32
    values: list[Value] = [
        b"1",
        b"2",
        (b"1", b"2"),
        (b"1", reference),
        reference,
        Pick(reference, 0),
        Pick(reference, 1),
    ]
    digests = {digest_of_value(value, question) for value in values for question in ("", "Pay 1?", "Pay 2?")}
    assert len(digests) == 3 * len(values)


def test_answers_are_bound_by_the_whole_digest_and_in_earlier_rules_by_its_first_digits() -> None:
    assert len(DIGEST) == 64
    for core, digest, other in ((10, DIGEST, DIGEST[:16]), (9, DIGEST[:16], DIGEST)):
        play = Play(define(Approval("ok", Terms("Publish?"))))
        (requested, *_) = play.start(ABOUT, core=core)
        assert isinstance(requested, ApprovalRequested)
        assert requested.digest == digest
        assert "not what was looked at" in refusal(play, "ann", digest=other)
        assert vote(play, "ann", digest=digest)
        assert result(play)["granted"]


def paused(core: int = 10) -> Play:
    play = Play(define(call("first"), Approval("ok", Terms("Publish?", timeout=10 * SECOND))))
    play.start(ABOUT, core=core)
    play.pause()
    play.done("first", ABOUT)
    return play


def asks(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, ApprovalRequested)]


def test_a_paused_run_asks_nobody_before_it_goes_on() -> None:
    play = paused()
    assert play.state.waiters == {}
    assert play.feed(VoteCast(play.now, "ok", "ann", True)) == [VoteRefused("ok", "ann", "nothing is asked there")]
    play.now += 60 * SECOND
    (asked_now,) = asks(play.go_on())
    assert isinstance(asked_now, ApprovalRequested)
    assert asked_now.due == play.now + 10 * SECOND
    play.pause()
    assert asks(play.go_on()) == []
    assert vote(play, "ann", digest=DIGEST)
    assert result(play)["granted"]


def test_what_was_not_asked_yet_is_asked_by_a_run_that_was_taken_back_and_not_by_one_that_is_cancelled() -> None:
    play = paused()
    assert len(asks(play.roll_back(play.state.seq))) == 1
    assert asks(play.roll_back(play.state.seq)) == []
    play = paused()
    play.cancel()
    assert play.state.status == "cancelled"


def test_a_paused_run_asked_in_earlier_rules() -> None:
    play = paused(core=8)
    assert list(play.state.waiters) == [ASKED]
    assert asks(play.go_on()) == []
