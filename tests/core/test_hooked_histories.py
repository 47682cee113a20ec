"""Any history of any workflow with interceptors at any points: replay gives the same state, and every run ends."""

from typing import Any

from hypothesis import example, given

from ripresa.core.bounds import cleans_up
from ripresa.core.codec import encode_events, encode_state
from ripresa.core.definition import Definition
from ripresa.core.events import HookFailed, LimitReached, LimitsSet, Requested, StepScheduled
from ripresa.core.frames import CallFrame
from ripresa.core.gates import stands_at_root
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.choose import Choose
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.router import Router
from ripresa.core.points import ANSWERS, UNSEEN
from ripresa.core.view import RunView, view_of

from ..searching import searched
from .play import Play, failure
from .test_properties import SIGNALS, Builder, History, Tape, tapes
from .test_view import Watched

PATTERNS = ("*", "n1", "n2", "n*", "*/n3", "a")


class HookedHistory(History):
    """A history in which interceptors answer anything, come and go, and fail."""

    def run(self) -> Play:
        self.play.hooks = self.points()
        return super().run()

    def points(self) -> tuple[str, ...]:
        pick, points = self.tape.pick, [*ANSWERS, *(f"observe:{point}" for point in UNSEEN)]
        chosen = {f"{points[pick(len(points))]} {PATTERNS[pick(len(PATTERNS))]}" for _ in range(pick(8))}
        return tuple(sorted(chosen))

    def step(self) -> None:
        match self.tape.pick(28):
            case 27:
                self.request()
            case 26 if self.play.ledger.let:
                self.play.let()
            case 25:
                self.limit()
            case 23:
                self.play.set_hooks(*self.points())
            case 22:
                critical = self.tape.pick(6) == 5
                self.play.feed(HookFailed(self.play.now, "", "after", "h", failure(), critical))
            case _:
                super().step()

    def request(self) -> None:
        """Somebody asks for something: interceptors are asked first, if any stand there."""
        play, pick = self.play, self.tape.pick
        asked: list[Requested] = [
            Requested(play.now, "signal", SIGNALS[pick(2)], b"5", id=str(pick(3))),
            Requested(play.now, "checkpoint", "here"),
            Requested(play.now, "rollback", "1", number=1),
        ]
        if play.status in ("running", "paused"):
            asked.append(Requested(play.now, "cancel", "enough"))
        request = asked[pick(len(asked))]
        if stands_at_root(play.state, request.point):
            play.asked_first(request)

    def limit(self) -> None:
        play, pick = self.play, self.tape.pick
        paths = ["", *(path for path in play.ledger.steps if not cleans_up(play.state.frames[path]))]
        path = paths[pick(len(paths))]
        attempt = play.ledger.steps[path].attempt if path else 0
        play.feed(LimitReached(play.now, path, attempt, "steps", 5, 5, ("fail", "pause", "ask")[pick(3)]))

    def report(self) -> None:
        if self.play.ledger.let:
            self.play.let()
            return
        play, gates = self.play, list(self.play.ledger.gates.values())
        nothing_else = not play.ledger.steps and not self.timers()
        if play.state.limit and nothing_else and not gates and not play.ledger.parked:
            play.feed(LimitsSet(play.now, ("{}", "")[self.tape.pick(2)]))
        elif gates and (nothing_else or self.tape.pick(2)):
            self.intercept(gates[self.tape.pick(len(gates))].path)
        else:
            super().report()

    def intercept(self, path: str) -> None:
        play, pick = self.play, self.tape.pick
        gate, frame = play.state.gates[path], play.state.frames.get(path)
        allowed = ["continue", "continue", *sorted(ANSWERS[gate.point]), "fail"]
        answer = allowed[pick(len(allowed))]
        if answer == "again" and isinstance(frame, CallFrame) and frame.attempt > 3:
            answer = "continue"
        choices = _choices(gate.point, frame)
        if answer == "redirect" and not choices:
            answer = "continue"
        number = {"again": play.now + pick(2) * 1000, "narrow": 1 + pick(3), "skip": pick(2)}.get(answer, 0)
        detail = choices[pick(len(choices))] if answer == "redirect" else ""
        broken = failure() if answer == "fail" else None
        play.hook(path, answer, value=b"[1,[2],3]", number=number, detail=detail, failure=broken)


def _choices(point: str, frame: Any) -> list[str]:
    if point == "limit":
        return ["fail", "pause", "ask"]
    if frame is None:
        return ["1"]
    node = frame.node
    if isinstance(node, Branch | Choose | Fallback | Router):
        return [*(child.name for child in node.children), *(["end"] if isinstance(node, Router) else [])]
    return ["end"] if node.kind == "loop" else ["run", "skip"]


def history_of(tape: Tape, definition: Definition, play: Play | None = None, *, snapshots: bool = False) -> Play:
    history = HookedHistory(definition, tape, snapshots=snapshots)
    if play is not None:
        history.play = play
    return history.run()


@searched(500)
@given(tapes)
@example(b"")
def test_any_history_with_interceptors(data: bytes) -> None:
    found: list[Play] = []
    for snapshots in (False, True):
        tape = Tape(data)
        found.append(history_of(tape, Builder(tape).definition(), snapshots=snapshots))
    live, stored = found
    assert encode_state(live.state) == encode_state(stored.state)
    assert encode_events(live.events) == encode_events(stored.events)


@searched(200)
@given(tapes)
def test_the_view_of_any_run_with_interceptors_says_what_the_run_is_doing(data: bytes) -> None:
    tape = Tape(data)
    definition = Builder(tape).definition()
    play = Watched(definition)
    history_of(tape, definition, play)
    assert play.view == view_of(play.journal)
    assert play.view != RunView()


@searched(200)
@given(tapes)
def test_points_that_no_node_has_change_nothing(data: bytes) -> None:
    plain, hooked = Tape(data), Tape(data)
    without = History(Builder(plain).definition(), plain, snapshots=False).run()
    other = History(Builder(hooked).definition(), hooked, snapshots=False)
    other.play.hooks = tuple(f"{point} nobody" for point in ANSWERS)
    journal = other.run().journal
    assert encode_events(item.event for item in journal[1:]) == encode_events(without.events[1:])
    assert [item for item in journal if isinstance(item.event, StepScheduled)] == [
        item for item in without.journal if isinstance(item.event, StepScheduled)
    ]
