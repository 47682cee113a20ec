"""Any workflow under any history: replay is live, a snapshot is as good as the run, and every run ends.

A tape of bytes decides everything: what the workflow looks like, and what happens to it. When it has run out,
everything goes well. Every fact also passes the checks of `play`.
"""

from collections.abc import Generator
from random import Random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ripresa.core.advance import outstanding
from ripresa.core.bounds import holds
from ripresa.core.codec import encode_events, encode_state
from ripresa.core.commands import Ask, RunStep, SetTimer
from ripresa.core.definition import Definition
from ripresa.core.events import (
    AttemptLost,
    CompensationStarted,
    Event,
    Fact,
    RolledBack,
    StateEdited,
    StateGiven,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StreamAdvanced,
    TimerFired,
    Write,
)
from ripresa.core.frames import Frame, ScopeFrame, StreamFrame
from ripresa.core.lifecycle import TERMINAL
from ripresa.core.merge import read
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.checked import Checked
from ripresa.core.nodes.choose import Choose
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay, DelayFrame
from ripresa.core.nodes.dynamic import Dynamic, DynamicFrame
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import INPUT, Graph, Wire
from ripresa.core.nodes.join import FanOut, FanOutFrame, Join
from ripresa.core.nodes.loop import Loop, LoopFrame, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.router import Router
from ripresa.core.nodes.saga import Saga
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stateful import Stateful
from ripresa.core.nodes.stream import Stream
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.nodes.undo import Undo, Undoable
from ripresa.core.nodes.updates import Serving, TakeUpdate
from ripresa.core.nodes.wait import Wait
from ripresa.core.replay import place_after, replay
from ripresa.core.shared import ALL, MERGE, FieldShape, Shape
from ripresa.core.state import RunState
from ripresa.core.values import Value, text_of
from ripresa.errors import StepError
from ripresa.testing.simulator import Cancelled, Race, call, flow, resume_script, sleep, wait

from ..searching import searched
from .play import SECOND, Play, decoded, failure

MOST_FACTS = 3000
MOST_SENT = 50


class Tape:
    """Choices, one byte each; 0 for ever when they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def pick(self, count: int) -> int:
        byte = self.data[self.position] if self.position < len(self.data) else 0
        self.position += 1
        return byte % count


# --- durable functions: what they do depends on the outcomes alone


def serial(_: Any) -> Generator[Any, Any, Any]:
    a = yield call("a", 1)
    b = yield call("b", a)
    yield sleep(SECOND)
    return b


def catching(_: Any) -> Generator[Any, Any, Any]:
    try:
        yield (call("a"), flow("inner"), call("c"))
    except StepError:
        yield call("amends")
        raise
    finally:
        yield call("last")
    return 1


def racing(_: Any) -> Generator[Any, Any, Any]:
    for _ in range(2):
        yield Race((call("a"), sleep(5 * SECOND), flow("inner")))
    try:
        yield (call("b"), call("b"))
    except StepError:
        yield (call("c"), call("d"))
    return 1


def stubborn(_: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            yield call("a")
        except (StepError, Cancelled) as error:
            if isinstance(error, Cancelled):
                yield call("goodbye")
                return 0
        else:
            return 1


def listening(_: Any) -> Generator[Any, Any, Any]:
    first = yield wait("s")
    yield Race((wait("t", SECOND), call("a"), wait("s")))
    return first


SIGNALS = ("s", "t", "update:u")
FUNCTIONS = {"listening": listening, "serial": serial, "catching": catching, "racing": racing, "stubborn": stubborn}
FLOWS = {"inner": Sequence("inner", (Call("x"), Delay("wait", SECOND), Call("y")))}


# --- workflows


class Builder:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.names = 0

    def definition(self) -> Definition:
        return Definition("any", Sequence("root", self.several(3, least=1)))

    def node(self, depth: int) -> Node[Any]:
        kinds = [self.call, self.delay, self.dynamic, self.wait, self.stream]
        if depth:
            kinds += [
                self.sequence, self.parallel, self.map, self.branch, self.loop, self.graph,
                self.fallback, self.subworkflow, self.cleanup, self.router, self.choose, self.checked,
                self.saga, self.undoable, self.stateful, self.update, self.serving,
            ]  # fmt: skip
        self.names += 1
        return kinds[self.tape.pick(len(kinds))](f"n{self.names}", depth - 1)

    def several(self, depth: int, *, least: int = 0) -> tuple[Node[Any], ...]:
        return tuple(self.node(depth) for _ in range(least + self.tape.pick(4)))

    def call(self, name: str, depth: int) -> Node[Any]:
        return Call(name, undo=self.undo() if self.tape.pick(3) == 2 else None)

    def undo(self) -> Undo:
        body = Call("undo") if self.tape.pick(4) else Sequence("undo", (Call("u1"), Call("u2")))
        return Undo(body, takes_input=bool(self.tape.pick(2)), takes_unknown=bool(self.tape.pick(2)))

    def saga(self, name: str, depth: int) -> Node[Any]:
        return Saga(name, self.node(depth))

    def stateful(self, name: str, depth: int) -> Node[Any]:
        return Stateful(name, self.node(depth), shape=STATE)

    def undoable(self, name: str, depth: int) -> Node[Any]:
        return Undoable(name, self.node(depth), self.undo())

    def stream(self, name: str, depth: int) -> Node[Any]:
        return Stream(name)

    def delay(self, name: str, depth: int) -> Node[Any]:
        return Delay(name, SECOND * self.tape.pick(3))

    def wait(self, name: str, depth: int) -> Node[Any]:
        return Wait(name, SIGNALS[self.tape.pick(2)], timeout=SECOND * self.tape.pick(3))

    def update(self, name: str, depth: int) -> Node[Any]:
        return TakeUpdate(name, "u", self.node(depth), timeout=SECOND * self.tape.pick(3))

    def serving(self, name: str, depth: int) -> Node[Any]:
        return Serving(name, self.node(depth), (TakeUpdate(f"{name}u", "u", self.node(depth), lasts=True),))

    def dynamic(self, name: str, depth: int) -> Node[Any]:
        return Dynamic(name, workflow=list(FUNCTIONS)[self.tape.pick(len(FUNCTIONS))], version="1")

    def sequence(self, name: str, depth: int) -> Node[Any]:
        return Sequence(name, self.several(depth))

    def join(self) -> Join:
        policy = ("fail_fast", "fail_slow", "best_effort")[self.tape.pick(3)]
        return Join(need=self.tape.pick(3), any=self.tape.pick(5) == 4, on_error=policy)

    def parallel(self, name: str, depth: int) -> Node[Any]:
        return Parallel(name, self.several(depth), join=self.join(), window=self.tape.pick(3), single=False)

    def map(self, name: str, depth: int) -> Node[Any]:
        return Map(name, self.node(depth), join=self.join(), window=self.tape.pick(3))

    def branch(self, name: str, depth: int) -> Node[Any]:
        return Branch(name, self.several(depth, least=1), condition="which", code=None)

    def router(self, name: str, depth: int) -> Node[Any]:
        handoff = bool(self.tape.pick(2))
        return Router(name, self.several(depth, least=1), condition="which", at_most=3, handoff=handoff)

    def choose(self, name: str, depth: int) -> Node[Any]:
        return Choose(name, self.several(depth), condition="which", join=self.join(), window=self.tape.pick(3))

    def checked(self, name: str, depth: int) -> Node[Any]:
        return Checked(name, self.node(depth), rules=(("r", "error"),), code=None)

    def loop(self, name: str, depth: int) -> Node[Any]:
        over = (Over("condition"), Over("range", last=self.tape.pick(4)), Over("items", indexed=True))
        before, after = (bool(self.tape.pick(2)) for _ in range(2))
        return Loop(name, self.node(depth), over=over[self.tape.pick(3)], before=before, after=after, at_most=3)

    def graph(self, name: str, depth: int) -> Node[Any]:
        nodes = self.several(depth)
        wires = tuple(self.wire(index) for index in range(len(nodes)))
        output = Wire(sources=self.sources(len(nodes)), evaluated=bool(self.tape.pick(2)))
        return Graph(name, nodes, wires, output=output, window=self.tape.pick(3), keep_going=bool(self.tape.pick(2)))

    def wire(self, index: int) -> Wire:
        if self.tape.pick(6) == 5:
            return Wire(sources=self.sources(index) or (INPUT,), first=True)
        return Wire(
            sources=self.sources(index),
            after=tuple(source for source in self.sources(index) if source != INPUT),
            tests=self.sources(index),
            conditional=bool(self.tape.pick(2)),
            evaluated=bool(self.tape.pick(2)),
        )

    def sources(self, before: int) -> tuple[int, ...]:
        return tuple(self.tape.pick(before + 1) - 1 for _ in range(self.tape.pick(3)))

    def fallback(self, name: str, depth: int) -> Node[Any]:
        return Fallback(name, self.several(depth, least=1), on=("ValueError",) if self.tape.pick(2) else ())

    def subworkflow(self, name: str, depth: int) -> Node[Any]:
        return Subworkflow(name, self.node(depth), workflow=name, timeout=SECOND * self.tape.pick(3))

    def cleanup(self, name: str, depth: int) -> Node[Any]:
        return Cleanup(name, self.node(depth), self.several(depth))


# --- histories


def length_of(value: Value) -> int:
    """How many items the value has; 0 if it is no list."""
    try:
        found = decoded(value)
    except (IndexError, KeyError, TypeError):  # an item of what an interceptor replaced by something shorter
        return 0
    return len(found) if isinstance(found, list) else 0


def followers(node: Node[Any], command: Ask) -> int:
    """How many arms of a router may be next: none if they take what a handoff hands on, and there is no handoff."""
    if command.question != "next" or not isinstance(node, Router):
        return 0
    found = decoded(command.value)[1]
    return 0 if node.handoff and not (isinstance(found, list) and len(found) > 1) else len(node.arms)


STATE = Shape(
    "Report",
    1,
    (
        FieldShape("post", "str"),
        FieldShape("total", "int", "add"),
        FieldShape("items", "list", "append"),
        FieldShape("last", "str", "", "last_write"),
        FieldShape("best", "int", "better", custom=True),
    ),
)
WRITES = (
    Write("best", "custom", b"3", operand=b"3"),
    Write("total", "add", b"1"),
    Write("items", "append", b"[2]"),
    Write("last", "set", b'"x"'),
    Write("total", "add", b"20"),
    Write("best", "custom", b"5", operand=b"5"),
    Write("post", "set", b'"p"'),
)
READS: tuple[tuple[str, ...], ...] = ((), ("total",), ("*",))


def merged(state: RunState, command: Ask) -> tuple[Write, ...]:
    """What reducers of the user's say: here the sum of all that was written."""
    shared, fork, key = state.shared, state.frames[command.path], int(decoded(command.value))
    assert shared is not None
    assert isinstance(fork, ScopeFrame)
    found = shared.unmerged(fork, None if key == ALL else fork.node.precedes(key))
    assert found or shared.scope(fork) in shared.judged
    sums = {
        name: sum(decoded(write.operand) for write in shared.written(fork, keys) if write.field == name)
        for name, keys in found.items()
    }
    return tuple(Write(name, "custom", b"%d" % total) for name, total in sums.items())


class History:
    """What happens to a run: any outcome of what it has commanded, any request, and facts it does not wait for."""

    def __init__(self, definition: Definition, tape: Tape, *, snapshots: bool) -> None:
        self.play = Play(definition, snapshots=snapshots)
        self.tape = tape
        self.reopened = 0
        self.rolled_back = 0
        self.sent = 0
        self.old: list[Fact] = []

    def run(self) -> Play:
        play, tape = self.play, self.tape
        play.start(b"[1,[2],3]", deadline=SECOND * (tape.pick(8) // 7))
        for _ in range(MOST_FACTS):
            if play.status in TERMINAL:
                if self.roll_back():
                    continue
                if not self.again():
                    break
            else:
                self.step()
            self.check_windows()
        else:
            raise AssertionError("the run does not end")
        self.stale()
        play.check_replay()
        return play

    def again(self) -> bool:
        """Whether an ended run goes on: reopened, or undone.

        A second undo tries again what could not be undone, at the same place: an undo always has the same key, so the
        same path and attempts from 1. A report of the first time would count for it (see the test below); none comes,
        for an attempt reports once, and one that was given up comes late as `LateOutcome`. So those are forgotten here.
        """
        play, tape = self.play, self.tape
        if self.reopened == 2 or not tape.pick(3):
            return False
        self.reopened += 1
        if play.status == "failed" and tape.pick(3):
            play.reopen()
        elif tape.pick(3) == 2:
            play.undo(tape.pick(2) * tape.pick(10))
            self.old = [fact for fact in self.old if "/undo:" not in getattr(fact, "path", "")]
        else:
            return False
        return True

    def step(self) -> None:
        play, tape = self.play, self.tape
        if play.ledger.asks:
            self.answer(list(play.ledger.asks.values())[tape.pick(len(play.ledger.asks))])
            return
        match tape.pick(16):
            case 15 if play.status in ("running", "paused"):
                play.cancel()
            case 14 if play.status == "running":
                play.pause()
            case 13:
                self.crash()
            case 12:
                self.stale()
            case 10:
                play.signal(SIGNALS[tape.pick(3)])
            case 9 if tape.pick(3) == 2:
                self.roll_back()
            case 8 if play.state.shared is not None and play.state.shared.scopes:
                scope = sorted(play.state.shared.scopes)[tape.pick(len(play.state.shared.scopes))]
                play.feed(StateEdited(play.now, scope, (Write("total", "set", b"4"), Write("post", "set", b'"q"'))))
            case 11 if tape.pick(4) == 3:
                play.terminate()
            case _:
                self.report()

    def roll_back(self) -> bool:
        """Go back to any place of the journal, on an earlier line too, where the run could go on."""
        play = self.play
        if self.rolled_back == 2 or play.status == "terminated" or not self.tape.pick(4):
            return False
        to = place_after(play.journal, 1 + self.tape.pick(len(play.journal)))
        if replay(RunState(play.definition), play.journal[:to]).status not in ("running", "paused"):
            return False
        self.rolled_back += 1
        self.reopened = 2
        play.roll_back(to)
        return True

    def answer(self, command: Any) -> None:
        play, tape = self.play, self.tape
        if not isinstance(command, Ask):
            frame = play.state.frames[command.path]
            assert isinstance(frame, DynamicFrame)
            assert isinstance(frame.node, Dynamic)
            assert command.first == frame.delivered
            play.feed(resume_script(FUNCTIONS[frame.node.workflow], play.state, frame, command.first, FLOWS))
            return
        if tape.pick(12) == 11:
            play.answer_fails(command.path)
            return
        frame = play.state.frames[command.path]
        if command.question == "state":
            writes = Write("total", "set", b"0"), Write("post", "set", b"1")
            play.feed(StateGiven(play.now, command.path, writes, judged=bool(tape.pick(2))))
            return
        if command.question == MERGE:
            play.merged(command.path, *merged(play.state, command))
            return
        answer = {
            "count": b"%d" % (tape.pick(length_of(command.value) + 1)),
            "choose": b"%d" % (len(frame.node.children) - 1 - tape.pick(len(frame.node.children) + 1)),
            "while": b"true" if tape.pick(2) else b"false",
            "until": b"false" if tape.pick(2) else b"true",
            "when": b"false" if tape.pick(2) else b"true",
            "rules": b'[["r","%s",%s,"why"]]' % ((b"error", b"info")[tape.pick(2)], (b"true", b"false")[tape.pick(2)]),
            "enter": b'[%d,"type"]' % tape.pick(max(len(frame.node.children), 1)),
            "next": b'[%d,"why"]' % (tape.pick(followers(frame.node, command) + 1) - 1),
            "taken": b'["i","%s"]' % (b"", b"no")[tape.pick(2)],
            "pick": b"[%s]" % b",".join(b"%d" % i for i in range(len(frame.node.children)) if tape.pick(2)),
        }
        play.answer(command.path, answer.get(command.question, b'"made"'))

    def report(self) -> None:
        play, tape = self.play, self.tape
        steps, timers = list(play.ledger.steps.values()), self.timers()
        parked = list(play.ledger.parked.values())
        if parked and tape.pick(2) + (not steps and not timers):
            chosen = parked[tape.pick(len(parked))]
            play.reconcile(chosen.path, ("completed", "failed", "retry")[tape.pick(3) if chosen.attempt < 4 else 0])
            return
        if not steps and not timers:
            if play.status == "paused":
                play.go_on()
                return
            assert play.state.waiters, "nothing is left to happen, and the run has not ended"
            self.sent += 1
            if self.sent > MOST_SENT:  # what is to answer the updates always fails; a clean-up is not cancelled
                play.terminate() if play.status == "cancelling" else play.cancel()
            else:
                play.signal(next(iter(play.state.waiters)))
            return
        number = tape.pick(len(steps) + len(timers))
        if number >= len(steps):
            self.keep(TimerFired(max(play.now, timers[number - len(steps)].due), timers[number - len(steps)].path))
        else:
            self.outcome(steps[number])

    def timers(self) -> list[SetTimer]:
        """Those that may fire: a pause holds the delays."""
        state, timers = self.play.state, list(self.play.ledger.timers.values())
        return [each for each in timers if not (holds(state) and isinstance(state.frames.get(each.path), DelayFrame))]

    def outcome(self, step: RunStep) -> None:
        now, path, attempt, pick = self.play.now, step.path, step.attempt, self.tape.pick
        frame = self.play.state.frames[path]
        if isinstance(frame, StreamFrame) and not frame.ended:
            last = frame.batches >= 3 or not pick(4)
            group = 1 + pick(3)
            batch = frame.batches if last else frame.batches + group
            self.keep(StreamAdvanced(now, path, attempt, batch, b"7", ended="exhausted" if last else "", group=group))
            assert (frame.batches, bool(frame.ended)) == (batch, last) or self.play.snapshots
            if pick(2):
                return
        raised = failure(path=path, attempt=attempt, types=("ValueError",) if pick(2) else ())
        retry_at = (0, now, now + SECOND)[pick(3)] if attempt < 4 else 0
        facts: list[Fact] = [
            StepCompleted(now, path, attempt, b'[[%d],"b",[1,2,3]]' % attempt, self.writes(frame), READS[pick(3)]),
            StepFailed(now, path, attempt, raised, retry_at),
            AttemptLost(now, path, attempt, self.reason(step), retry_at, began=not pick(4)),
        ]
        self.keep(facts[pick(5) // 2])

    def writes(self, frame: Frame) -> tuple[Write, ...]:
        """What an attempt wrote to the state, if it sees one."""
        shared = self.play.state.shared
        if shared is None or shared.scope(frame) is None:
            return ()
        return tuple(WRITES[self.tape.pick(len(WRITES))] for _ in range((self.tape.pick(3) + 1) % 3))

    def reason(self, step: RunStep) -> str:
        reasons = ("crashed", "timeout", "cancelled", "interrupted", "parked")
        return reasons[self.tape.pick(4 if step.attempt > 3 else 5)]

    def keep(self, fact: Fact) -> None:
        self.old.append(fact)
        self.play.now = max(self.play.now, fact.at)
        assert self.play.state.seq
        self.play.feed(fact)

    def crash(self) -> None:
        """Another process takes over and reports as lost all that was under way."""
        play = self.play
        play.taken(play.state.epoch + 1)
        for command in outstanding(play.state):
            if isinstance(command, RunStep):
                play.feed(AttemptLost(play.now, command.path, command.attempt, "crashed", play.now))

    def stale(self) -> None:
        """What has been reported once is reported again, and what nobody knows too: nothing changes."""
        play = self.play
        if not play.state.generation:
            for fact in self.old[-5:]:
                seq = play.state.seq
                assert play.feed(fact) == []
                assert play.state.seq == seq
        for path in ("nowhere", "", "()"):
            assert play.feed(StepCompleted(play.now, path, 1, b"1")) == []
            assert play.taken(play.state.epoch) == []

    def check_windows(self) -> None:
        for frame in self.play.state.frames.values():
            if isinstance(frame, FanOutFrame):
                assert isinstance(frame.node, FanOut)
                assert frame.active <= frame.node.window
            elif isinstance(frame.node, Graph) and frame.node.window:
                assert frame.active <= frame.node.window  # type: ignore[attr-defined]
            elif isinstance(frame, LoopFrame):
                assert frame.index <= 3


def test_a_second_undo_stands_at_the_place_of_the_first_and_has_its_key() -> None:
    play = Play(Definition("flow", Sequence("flow", (Call("a", undo=Undo(Call("x"))),))), snapshots=True)
    play.start(b"1")
    play.done("a")
    for _ in range(2):
        play.undo(0)
        assert [(step.path, step.attempt) for step in play.ledger.steps.values()] == [("a/undo:x", 1)]
        play.feed(StepFailed(play.now, "a/undo:x", 1, failure()))
        assert play.status == "undone"
    play.check_replay()


def kinds_of(node: Node[Any]) -> set[str]:
    return {node.kind, *(kind for child in node.children for kind in kinds_of(child))}


def check_finished_steps_rest(definition: Definition, events: list[Event]) -> None:
    """A step that has returned is never scheduled again (but functions go back, and what was undone begins anew)."""
    if {"dynamic", "cleanup"} & kinds_of(definition.root):
        return
    finished: set[str] = set()
    for event in events:
        if isinstance(event, RolledBack | CompensationStarted):
            return
        if isinstance(event, StepCompleted):
            finished.add(event.path)
        elif isinstance(event, StepScheduled):
            assert event.path not in finished


tapes = st.binary(max_size=250) | st.integers(0, 2**32).map(lambda seed: Random(seed).randbytes(200))


@searched(1500)
@given(tapes)
@example(b"")
def test_any_history_of_any_workflow(data: bytes) -> None:
    histories: list[Play] = []
    for snapshots in (False, True):
        tape = Tape(data)
        definition = Builder(tape).definition()
        histories.append(History(definition, tape, snapshots=snapshots).run())
        check_finished_steps_rest(definition, histories[-1].events)
    live, stored = histories
    assert encode_state(live.state) == encode_state(stored.state)
    assert encode_events(live.events) == encode_events(stored.events)


@searched(100)
@given(tapes)
@example(b"")
def test_any_history_of_a_workflow_with_a_state(data: bytes) -> None:
    histories: list[Play] = []
    for snapshots in (False, True):
        tape = Tape(data)
        builder = Builder(tape)
        nodes = (Call("p"), Call("q"), *builder.several(1))
        wires = (Wire(), Wire(), *map(builder.wire, range(2, len(nodes))))
        graph = Graph("graph", nodes, wires, output=Wire())
        side = Parallel("side", (Call("a"), graph, Call("b")), join=builder.join())
        body = Sequence("body", (side, *builder.several(1)))
        definition = Definition("any", Stateful("s", body, shape=STATE))
        histories.append(History(definition, tape, snapshots=snapshots).run())
    live, stored = histories
    assert encode_state(live.state) == encode_state(stored.state)


@searched(50)
@given(st.lists(st.lists(st.sampled_from(WRITES[:5]), max_size=3), min_size=1, max_size=6), st.randoms())
def test_writes_side_by_side_come_to_the_same_in_any_order_of_completion(
    branches: list[list[Write]], random: Random
) -> None:
    def state_after(order: list[int]) -> dict[str, bytes]:
        side = Parallel("side", tuple(Call(f"b{index}") for index in range(len(branches))), join=Join())
        play = Play(Definition("any", Stateful("s", Sequence("body", (side, Call("last"))), shape=STATE)))
        play.start(state=(Write("total", "set", b"0"),))
        for index in order:
            play.done(f"side/b{index}", writes=tuple(branches[index]))
        for command in list(play.ledger.asks.values()):
            assert isinstance(command, Ask)
            play.merged(command.path, *merged(play.state, command))
        shared = play.state.shared
        assert shared is not None
        return {name: read(held, text_of) for name, held in shared.visible(play.state.frames["last"]).items()}

    order = list(range(len(branches)))
    expected = state_after(order)
    random.shuffle(order)
    assert state_after(order) == expected
    items = [b"[2]" for writes in branches for write in writes if write.field == "items"]
    assert expected.get("items", b"[]") == b"[" + b",".join(items) + b"]"
