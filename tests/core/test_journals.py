"""Journals that were written by earlier versions replay for ever.

The files in `journals/` are never changed. `python -m tests.core.test_journals` writes those that are missing: add a
workflow and a history below and run it. (A history that today leads to another journal is no error here; that is
what the other tests are for. It is one if today's engine cannot read what was written then.)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ripresa.core.codec import EVENTS, decode_events, decode_state, encode_events, encode_state
from ripresa.core.definition import Definition
from ripresa.core.events import (
    ApprovalDelegated,
    ArtifactSaved,
    CallBegan,
    CallFailed,
    CallRecorded,
    CallReturned,
    CallSpec,
    CallStarted,
    CheckpointNamed,
    FilesTouched,
    HookAwaited,
    HookFailed,
    Interacted,
    LateOutcome,
    LimitReached,
    LimitsSet,
    MessageQueued,
    Migrated,
    Recorded,
    Requested,
    Restarted,
    RowsWritten,
    RunForked,
    RunStuck,
    SessionEntered,
    SessionWritten,
    SignalRefused,
    StateEdited,
    StepCompleted,
    StepReused,
    StepStarted,
    StreamAdvanced,
    UsageReported,
    VoteCast,
    Write,
)
from ripresa.core.nodes.approval import Approval, Terms
from ripresa.core.nodes.approved import Approved
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.checked import Checked
from ripresa.core.nodes.choose import Choose
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import INPUT, Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.router import Router
from ripresa.core.nodes.saga import Saga
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stateful import Stateful
from ripresa.core.nodes.stream import Stream
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.nodes.undo import Undo
from ripresa.core.nodes.updates import Serving, TakeUpdate
from ripresa.core.nodes.wait import Wait
from ripresa.core.replay import is_fact, lineage, replay, started_of
from ripresa.core.shared import FieldShape, Shape
from ripresa.core.state import RunState
from ripresa.core.values import reference

from .play import SECOND, Play, call, calls, define, failure
from .silent import Silent

JOURNALS = Path(__file__).parent / "journals"


def chain_with_retries() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'{"topic":"tides"}', deadline=60 * SECOND)
        play.feed(StepStarted(play.now, "search", 1))
        play.feed(CallRecorded(play.now, "search", 1, "model/1", b'"first"'))
        play.fail("search", "no network\n\udcff", retry_in=SECOND, types="ConnectionError OSError Exception")
        play.fire("search")
        play.lose("search", "timeout", retry_in=0)
        play.taken(2)
        play.lose("search", "crashed", retry_in=0)
        play.done("search", reference("0f" * 32))
        play.feed(CheckpointNamed(play.now, "found"))
        play.fire("pause")
        play.pause()
        play.done("write", b'"ok"')
        play.go_on()
        play.done("send", b"null")

    return define(call("search"), Delay("pause", SECOND), *calls("write send")), history


def streams() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start()
        play.feed(StreamAdvanced(play.now, "load", 1, 1, b'"line 10"', b'{"0":["x",2]}', 10, 3, 1, (failure(),)))
        play.fail("load", retry_in=SECOND)
        play.fire("load")
        play.pause()
        play.feed(StreamAdvanced(play.now, "load", 2, 2, b'"line 20"', taken=20, dropped=3, dead=1, output=b"7"))
        play.lose("load", "crashed", retry_in=0)
        play.go_on()
        play.fail("load")
        play.reopen()
        play.feed(StreamAdvanced(play.now, "load", 4, 2, b'"line 21"', taken=21, output=b"8", ended="exhausted"))
        play.done("load", b"8")

    return define(Stream("load", shape=("flat_map words", "batch batch"))), history


def journaled_calls() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start()
        play.feed(CallFailed(play.now, "agent", 1, "model", failure(), play.now + SECOND))
        play.feed(CallRecorded(play.now, "agent", 1, "model", b'"pay"'))
        play.feed(CallStarted(play.now, "agent", 1, "pay"))
        play.lose("agent", "crashed", retry_in=0)
        play.done("agent", b'"paid"')

    return define(call("agent")), history


def fan_outs() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'["a","b","c"]')
        play.answer("pages", b"3")
        for path in ("pages/fetch[1]", "pages/fetch[0]"):
            play.done(path, b'"page"')
        play.fail("pages/fetch[2]")
        play.done("race/b", b"2")
        play.lose("race/a", "cancelled")
        play.fail("some/b")
        play.done("some/a", b"1")
        play.fail("every/b")
        play.done("every/a", b"1")

    pages = Map("pages", call("fetch"), join=Join(on_error="best_effort"), window=2)
    race = Parallel("race", calls("a b"), join=Join(need=1), single=True)
    some = Parallel("some", calls("a b"), join=Join(need=1))
    every = Parallel("every", calls("a b"), join=Join(on_error="fail_slow"))
    return define(pages, race, some, every), history


def loops_and_choices() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"[1,2]")
        play.answer("fold", b"2")
        play.done("fold/add[0]", b"1")
        play.done("fold/add[1]", b"3")
        play.done("count/add[0]", b"4")
        play.done("count/add[1]", b"5")
        play.answer("grow", b"true")
        play.done("grow/add[0]", b"6")
        play.answer("grow", b"false")
        play.answer("grow", b"false")
        play.answer("which", b"1")
        play.fail("which/try/a", types="KeyError")
        play.done("which/try/b", b"7")

    add = call("add")
    attempt = Fallback("try", calls("a b"), on=("KeyError",))
    return define(
        Loop("fold", add, over=Over("items", start=b"0", indexed=True)),
        Loop("count", add, over=Over("range", last=2)),
        Loop("grow", add, over=Over("condition"), before=True, after=True, at_most=5),
        Branch("which", (call("no"), attempt), condition="is it worth it?", code=None),
    ), history


def graph_reopened() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'{"topic":"tides"}')
        play.done("plan", b'{"urls":[]}')
        play.answer("read?", b"false")
        play.answer("write?", b'"draft"')
        play.fail("check", types="ValueError Exception")
        play.done("write", b'"text"')
        play.reopen()
        play.done("check", b"true")
        play.answer("", b'["text",true]')

    nodes: tuple[Node[Any], ...] = (*calls("plan read write check"), Sequence("first", ()), *calls("send"))
    wires = (
        Wire(sources=(INPUT,)),
        Wire(sources=(0,), tests=(0,), conditional=True),
        Wire(sources=(0, INPUT), evaluated=True),
        Wire(sources=(0,)),
        Wire(sources=(1, 2), first=True),
        Wire(sources=(1,), after=(4,)),
    )
    return define(Graph("g", nodes, wires, output=Wire((4, 3), evaluated=True), window=3, keep_going=True)), history


def clean_up_of_a_cancelled_run() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.done("sub/a", b"2")
        play.cancel("a person said so")
        play.lose("sub/b", "cancelled")
        play.fail("cleanup:y", "cannot")
        play.done("cleanup:x", b"null")

    sub = Subworkflow("sub", Sequence("body", calls("a b")), workflow="inner", timeout=5 * SECOND)
    return define(Cleanup("guard", Sequence("all", (sub,)), calls("x y"))), history


def scopes_out_of_time() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1", deadline=9 * SECOND)
        play.fire("sub")
        play.lose("sub/a", "cancelled")
        play.reopen()
        play.done("sub/a")
        play.terminate()

    sub = Subworkflow("sub", Cleanup("guard", call("a"), ()), workflow="inner", timeout=SECOND)
    return define(Sequence("all", (sub, call("z")))), history


def durable_function() -> tuple[Definition, Callable[[Play], None]]:
    inner = Sequence("inner", calls("x y"))

    def history(play: Play) -> None:
        shape = play.definition.flows["inner"]
        assert shape is inner
        play.start(b"1")
        play.asked("", CallSpec(1, "step", "search", b'["tides"]'), CallSpec(2, "sleep", "sleep", b"1000000"))
        play.done("search", b"[]")
        flow = CallSpec(3, "flow", "inner", b"5", play.definition.add_flow("inner", inner))
        play.asked("", flow, CallSpec(4, "step", "search#2", b"[]"), dropped=(2,))
        play.done("inner/x", b"6")
        play.fail("inner/y")
        play.raised("", failure(path="inner/y", attempt=1))
        play.lose("search#2", "cancelled")
        play.reopen()
        play.done("inner/y", b"7")
        play.asked("")
        play.cancel("enough")
        play.lose("search#2", "cancelled")
        play.asked("", CallSpec(5, "step", "tidy", b"null"))
        play.done("tidy")
        play.raised("", failure("cancelled"))

    definition = define(Dynamic("f", workflow="publish", version="3"))
    definition.add_flow("inner", inner)
    return definition, history


def question_that_raises() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.returned("f", b"2")
        play.answer_fails("which")

    branch = Branch("which", calls("yes no"), condition="is it worth it?", code=None)
    return define(Dynamic("f", workflow="decide", version="1"), branch), history


def answers_updates() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.asked("f", CallSpec(1, "wait", "u", b"0", "update:u"))
        play.signal("update:u", b'{"id":"i","value":"5","by":""}', "i")
        answers = CallSpec(2, "answer", "answer_u", b"6", "u/i"), CallSpec(3, "refuse", "answer_u#2", b'"no"', "u/j")
        play.asked("f", *answers, CallSpec(4, "step", "x", b"1"))
        play.asked("f")
        play.done("f/x", b"2")
        play.returned("f", b"7")
        play.fire("pause")

    return define(Dynamic("f", workflow="f", version=""), Delay("pause", 0)), history


def flows_answer_updates() -> tuple[Definition, Callable[[Play], None]]:
    """Updates beside a body and as a link, in a state that is judged; a pause, a refusal, a time that is up."""

    def take(play: Play, at: str, id: str, *, refused: str = "") -> None:
        play.signal("update:u", b'{"id":"%s","value":"5","by":""}' % id.encode(), id)
        play.answer(at, b'["%s","%s"]' % (id.encode(), refused.encode()))
        if not refused:
            play.answer(at, b"5")

    def history(play: Play) -> None:
        play.start(b"1", state=(Write("post", "set", b"1"),), judged=True)
        take(play, "on", "a")
        play.done("on/both[0]/h", writes=(Write("post", "set", b"2"),))
        play.fail("on/both[0]/i")
        take(play, "on", "b", refused="no number")
        take(play, "on", "c")
        play.done("on/both[2]/h", writes=(Write("post", "set", b"3"),))
        play.done("p/x", writes=(Write("total", "add", b"1"),))
        play.done("on/both[2]/i")
        play.merged("on")
        play.done("p/y", writes=(Write("total", "add", b"2"),))
        play.pause()
        play.merged("p")
        play.now += SECOND
        play.go_on()
        play.fire("once/v[0]")
        play.reopen()
        play.signal("update:v", b'{"id":"d","value":"6","by":""}', "d")
        play.answer("once", b'["d",""]')
        play.answer("once", b"6")
        play.done("once/x[0]", b"7")

    handler = TakeUpdate("on", "u", Sequence("both", (Call("h"), Call("i"))), lasts=True)
    side = Parallel("p", (Call("x"), Call("y")), join=Join())
    once = TakeUpdate("once", "v", Call("x"), timeout=9 * SECOND)
    serving = Serving("s", Sequence("main", (side, once)), (handler,))
    shape = Shape("Report", 1, (FieldShape("total", "int", "add"), FieldShape("post", "str", "", "last_write")))
    return define(Stateful("s", serving, shape=shape)), history


def waits_for_signals() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.signal("b", b'"early"')
        play.signal("a", b'{"text":"edited"}')
        play.feed(SignalRefused(play.now, "c", failure("no number"), "7", "ann"))
        play.asked("f", CallSpec(1, "wait", "b", b"0", "b"), CallSpec(2, "wait", "c", b"5000000", "c"))
        play.now += 2 * SECOND
        play.raised("f", failure())
        play.now += SECOND
        play.reopen()
        play.fire("f/c")
        play.returned("f", b"2")
        play.fire("pause")
        play.signal("d", b"3")

    f = Dynamic("f", workflow="wait", version="1")
    return define(Wait("a", "a", timeout=9 * SECOND), f, Delay("pause", 0), Wait("d", "d")), history


def routers_and_choices_of_several() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'"new"')
        play.done("desk/a[0]", b'["b","old","why"]')
        play.answer("desk", b'[1,"why"]')
        play.done("desk/b[1]", b'["a","new",""]')
        play.answer("desk", b'[0,"handoff"]')
        play.reopen()
        play.answer("desk", b'[0,"handoff"]')
        play.done("desk/a[2]", b"5")
        play.answer("desk", b'[-1,"int"]')
        play.answer("some", b"[0,2]")
        play.done("some/z", b"6")
        play.done("some/x", b"7")
        play.answer("states", b'[1,"B"]')
        play.done("states/b[0]", b"8")
        play.answer("states", b'[-1,"int"]')

    desk = Router("desk", calls("a b"), condition="handoff", at_most=2, handoff=True)
    some = Choose("some", calls("x y z"), condition="topics", join=Join())
    return define(desk, some, Router("states", calls("a b"), condition="A | B", at_most=3)), history


def taken_back() -> tuple[Definition, Callable[[Play], None]]:
    """A fork: its events up to `RunForked` are another run's; it takes a result over, and is rolled back twice."""

    def history(play: Play) -> None:
        play.start(b'"in"')
        play.done("a", b"1")
        play.feed(RunForked(play.now, "other", 4, 0, b'[[["b","2"]],[],[]]', "somebody"))
        play.feed(StepReused(play.now, "b", 1, b"2", given=True))
        play.done("c", b"3")
        play.roll_back(3)
        play.done("b", b"4")
        play.roll_back(8)
        play.done("c", b"5")

    return define(*calls("a b c")), history


def session_of_runs() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1", session="s")
        play.feed(SessionWritten(play.now, "a", 1, "s", "count", "add", b"2"))
        play.done("a", b"2")
        play.pause()
        play.feed(SessionEntered(play.now, "later"))
        play.go_on()
        play.done("b", b"3")

    return define(*calls("a b")), history


def begun_anew() -> tuple[Definition, Callable[[Play], None]]:
    """A durable function that goes by a change of its code, begins anew and goes by it no longer."""

    def history(play: Play) -> None:
        play.start(b"1")
        play.asked("", CallSpec(0, "patch", "p"), CallSpec(1, "step", "a", b"1"), CallSpec(2, "step", "b", b"1"))
        play.done("a", b"2")
        play.feed(Restarted(play.now, "", b"2"))
        play.lose("b", "cancelled")
        play.asked("", CallSpec(0, "patch", "q", shape="again"))
        play.returned("", b"3")

    return define(Dynamic("f", workflow="anew", version="1")), history


def asked_first() -> tuple[Definition, Callable[[Play], None]]:
    """Interceptors are asked about requests, limits and each undo."""
    undo = Undo(call("withdraw"))

    def history(play: Play) -> None:
        points = ("cancel", "signal", "checkpoint", "rollback", "limit", "compensation", "compensated")
        play.hooks = (*(f"{point} *" for point in points), "compensation_error *")
        play.start()
        play.asked_first(Requested(play.now, "signal", "go", b"5", id="1", by="ann"))
        play.asked_first(Requested(play.now, "signal", "go", b"6", id="2"))
        play.hook("!3", "replace", value=b"7")
        play.let()
        play.hook("!4", "veto", detail="no")
        play.asked_first(Requested(play.now, "checkpoint", "here"))
        play.hook(next(iter(play.state.gates)), "continue")
        play.let()
        play.asked_first(Requested(play.now, "cancel", "bored"))
        play.hook(next(iter(play.state.gates)), "veto")
        play.feed(LimitReached(play.now, "a", 1, "steps", 1, 1))
        play.hook("a", "replace", value=b'{"steps": 5}')
        play.done("a")
        play.done("b")
        play.asked_first(Requested(play.now, "rollback", "1", number=1))
        play.hook(next(iter(play.state.gates)), "continue")
        play.undo()
        play.hook("!undo", "continue")
        play.fail("a/undo:withdraw")
        play.hook("!undo", "again")
        play.done("a/undo:withdraw")
        play.hook("!undo", "continue")

    return define(Call("a", undo=undo), call("b"), Wait("w", "go")), history


def hooked() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.hooks = ("after b", "before *", "observe:stage *", "start *")
        play.start(b'{"topic":"tides"}')
        play.feed(HookFailed(play.now, "", "start", "audit", failure("no disk")))
        play.hook("", "replace", value=b'{"topic":"ebb"}')
        play.hook("a", "skip", value=b"1", number=1)
        play.hook("b", "veto", detail="not today")
        play.reopen()
        play.hook("b", "continue")
        play.taken(2)
        play.set_hooks("after b", "error b")
        play.fail("b")
        play.hook("b", "again", number=play.now + SECOND)
        play.fire("b")
        play.done("b", b"2")
        play.hook("b", "replace", value=b"3")

    return define(*calls("a b")), history


def a_hook_takes_its_time() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.hooks = ("before *",)
        play.start()
        play.feed(HookAwaited(play.now, "a", "before", "asks_bob", play.now - SECOND))
        play.hook("a", "continue")
        play.done("a")

    return define(call("a")), history


def nothing_left_to_happen() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.done("a")
        play.feed(RunStuck(play.now, "hole"))

    return define(call("a"), Silent("hole")), history


def state_taken_back() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start()
        play.given("", Write("total", "set", b"0"), Write("post", "set", reference("0f" * 32)))
        play.done("first", writes=(Write("total", "add", b"1"),))
        play.done("side/b", writes=(Write("scores", "append", b"2"), Write("best", "custom", b"5", operand=b"4")))
        play.done("side/a", writes=(Write("scores", "append", b"1"),))
        play.asked(
            "fn", CallSpec(1, "step", "x", writes=(Write("total", "add", b"7"),)), writes=(Write("n", "set", b"1"),)
        )
        play.fail("fn/x")
        play.asked("fn", CallSpec(2, "step", "y"), writes=(Write("total", "add", b"10"), Write("gone", "set", b"1")))
        play.done("fn/y")
        play.raised("fn", failure(path="fn/x", attempt=1))
        play.reopen()
        play.done("fn/x", writes=(Write("total", "add", b"100"),))
        play.returned("fn", writes=(Write("total", "add", b"100"),))

    shape = Shape("Report", 2, (FieldShape("total", "int", "add"), FieldShape("best", "int", "better", "last_write")))
    body = Sequence(
        "body",
        (call("first"), Parallel("side", calls("a b"), join=Join()), Dynamic("fn", workflow="fn", version="1")),
    )
    return define(Stateful("flow", body, shape=shape)), history


def state_edited() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start()
        play.given("", Write("total", "set", b"1"))
        play.feed(StepCompleted(play.now, "a", 1, b"1", (Write("total", "add", b"1"),), ("total",)))
        play.feed(StateEdited(play.now, "", (Write("total", "set", b"7"), Write("post", "set", b'"x"'))))
        play.feed(StepReused(play.now, "b", 1, b"2", writes=(Write("total", "add", b"2"),), reads=("post", "total")))
        play.done("c")

    shape = Shape("Report", 1, (FieldShape("total", "int", "add"), FieldShape("post", "str")))
    return define(Stateful("flow", Sequence("body", calls("a b c")), shape=shape)), history


def state_merged() -> tuple[Definition, Callable[[Play], None]]:
    def best(value: int, operand: int) -> Write:
        return Write("best", "custom", b"%d" % value, operand=b"%d" % operand)

    def history(play: Play) -> None:
        play.start(state=(Write("best", "set", b"0"),))
        play.done("side/b", writes=(best(2, 2),))
        play.done("side/a", writes=(best(1, 1),))
        play.answer_fails("side")
        play.reopen()
        play.merged("side", best(2, 2))
        play.done("g/y", writes=(best(4, 4),))
        play.done("g/x", writes=(best(3, 3),))
        play.merged("g", best(4, 4))
        play.done("g/z", writes=(best(5, 5),))

    shape = Shape("Report", 1, (FieldShape("best", "int", "better", custom=True),))
    graph = Graph("g", calls("x y z"), (Wire(), Wire(), Wire(after=(0, 1))), output=Wire(sources=(2,)))
    body = Sequence("body", (Parallel("side", calls("a b"), join=Join()), graph))
    return define(Stateful("flow", body, shape=shape)), history


def limits_reached() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1", limits='{"steps":1,"on_exceeded":"ask"}')
        play.done("a", b"2")
        play.feed(LimitReached(play.now, "b", 1, "steps", 1, 1.5, "ask"))
        play.feed(LimitsSet(play.now, '{"steps":3}', "ann"))
        play.done("b", b"3")
        play.feed(LimitReached(play.now, "c", 1, "steps", 2, 2, "fail", "s"))
        play.reopen()
        play.done("c", b"4")

    return define(*calls("a b c")), history


def a_step_that_sends() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.feed(MessageQueued(play.now, "a", 1, "signal", "other", "r.0f", b'{"name":"word"}'))
        play.done("a", b"2")

    return define(call("a")), history


def steps_that_report() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.feed(UsageReported(play.now, "a", 1, 100, 0.5))
        play.fail("a", retry_in=0)
        play.feed(ArtifactSaved(play.now, "a", 2, "draft", "text/plain", "0f" * 32, 12, b'["0f"]'))
        play.feed(FilesTouched(play.now, "a", 2, ("a.txt", "b.txt")))
        play.done("a", b"2")

    return define(call("a")), history


def agents_that_talk() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'"tides"')
        play.feed(Interacted(play.now, "planner", 1, "planner", "search", "call", b'{"query":"tides"}'))
        play.feed(CallRecorded(play.now, "planner", 1, "search:0f", b'["a"]'))
        play.feed(Interacted(play.now, "planner", 1, "planner", "writer", "handoff", b'["a"]'))
        play.done("planner", b'"done"')

    return define(call("planner")), history


def people_are_asked() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'{"topic":"tides"}')
        play.fire("a/ask")
        play.fire("a/ask")
        play.feed(ApprovalDelegated(play.now, "a/ask", "ann", "cid", id="1"))
        play.feed(VoteCast(play.now, "a/ask", "eve", True, id="2"))
        play.feed(VoteCast(play.now, "a/ask", "cid", True, '{"note":"fine"}', "go", "", ("legal",), "3"))
        play.feed(VoteCast(play.now, "a/ask", "bob", True, id="4"))
        play.done("a/yes", b"1")
        play.asked("f", CallSpec(1, "approval", "sure", b"1", Terms("Sure?", expiry="reject", timeout=SECOND).text))
        play.fire("f/sure")
        play.returned("f", b"2")

    terms = Terms("Publish?", 2, ("ann",), 2 * SECOND, 3 * SECOND, ("bob",), 9 * SECOND)
    asked = Sequence(
        "all", (Approved("a", Approval("ask", terms), calls("yes no")), Dynamic("f", workflow="f", version="1"))
    )
    return define(asked), history


def taken_over() -> tuple[Definition, Callable[[Play], None]]:
    """A run of another definition, as it is after a migration: what came before is not looked at."""

    def history(play: Play) -> None:
        reuse = b'[[["a","1"]],[],[]]'
        play.feed(Migrated(play.now, "1", 0, 2, 3, play.now - SECOND, reuse, ("pause",), (play.now + 5,), "me"))
        play.start(b'"in"')
        play.feed(StepReused(play.now, "a", 1, b"1", given=True))
        play.fire("pause")
        play.done("b", b"2")

    return define(call("a"), Delay("pause", SECOND), call("b")), history


def rules_about_a_result() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.done("text/a", b'"text"')
        play.answer("text", b'[["file","error",false,"there is none"],["length","info",true,""]]')
        play.reopen()
        play.answer("text", b'[["file","error",true,""],["length","info",false,"short"]]')

    rules = (("file", "error"), ("length", "info"))
    return define(Sequence("root", (Checked("text", Sequence("body", calls("a")), rules=rules, code=None),))), history


def a_step_that_writes() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1")
        play.feed(RowsWritten(play.now, "a", 1, ("INSERT INTO t VALUES (?)",), 3))
        play.done("a")

    return define(*calls("a")), history


def what_is_withheld() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.hooks = ("after *",)
        play.start(b"1")
        for attempt, answer in enumerate(("again", "continue"), 1):
            play.feed(RowsWritten(play.now, "a", attempt, ("INSERT INTO t VALUES (?)",), 1, b'[["INSERT",[1]]]'))
            play.done("a")
            play.hook("a", answer)

    return define(*calls("a")), history


def undone_and_reconciled() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'"trip"')
        play.done("hotel", b'"room 7"')
        play.feed(StepStarted(play.now, "charge", 1))
        play.lose("charge", "parked")
        play.reconcile("charge", "retry")
        play.lose("charge", "parked")
        play.reconcile("charge", "completed", b'"paid"')
        play.lose("trip/flight", "timeout", retry_in=0)
        play.feed(LateOutcome(play.now, "trip/flight", 1, b'"seat 9"'))
        play.fail("trip/flight")
        play.done("trip/flight/undo:cancel", b"null")
        play.fail("hotel/undo:cancel")
        play.undo()
        play.done("hotel/undo:cancel", b"null")

    hotel = Call("hotel", undo=Undo(call("cancel"), takes_input=True))
    flight = Call("flight", undo=Undo(call("cancel")))
    return define(hotel, call("charge"), Saga("trip", Sequence("trip", (flight,)))), history


def what_nothing_can_undo() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'"trip"')
        play.done("hotel", b'"room 7"')
        play.feed(StepStarted(play.now, "mail", 1))
        play.done("mail", b'"sent"')
        play.feed(StepStarted(play.now, "p/pay", 1))
        play.feed(CallStarted(play.now, "p/tell", 1, "sms:1"))
        play.feed(CallRecorded(play.now, "p/tell", 1, "sms:1", b'"sent"'))
        play.feed(CallStarted(play.now, "p/tell", 1, "sms:2"))
        play.feed(CallFailed(play.now, "p/tell", 1, "sms:2", failure("no network")))
        play.fail("p/tell")
        play.lose("p/pay", "parked")
        play.done("hotel/undo:cancel", b"null")
        play.reopen()
        play.done("hotel", b'"room 8"')
        play.feed(StepStarted(play.now, "mail", 1))
        play.fail("mail")
        play.done("hotel/undo:cancel", b"null")

    hotel = Call("hotel", undo=Undo(call("cancel")))
    return define(hotel, call("mail"), Parallel("p", calls("pay tell"), join=Join())), history


def calls_that_are_undone() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b'"trip"')
        began(play, "hotel", "room")
        began(play, "hotel", "room>bed")
        play.feed(CallReturned(play.now, "hotel", 1, "room>bed", b'"soft"'))
        play.feed(CallReturned(play.now, "hotel", 1, "room", b'"room 7"'))
        play.feed(CallRecorded(play.now, "hotel", 1, "room", b'"room 7"'))
        began(play, "hotel", "taxi")
        play.feed(CallFailed(play.now, "hotel", 1, "taxi", failure("no taxi")))
        began(play, "hotel", "plane")
        play.feed(CallFailed(play.now, "hotel", 1, "plane", failure("no answer"), play.now, unknown=True))
        began(play, "hotel", "plane")
        play.feed(CallFailed(play.now, "hotel", 1, "plane", failure("no seat")))
        began(play, "hotel", "boat", takes_unknown=True)
        play.done("hotel", b'"trip"')
        began(play, "p/whole", "part")
        play.feed(CallReturned(play.now, "p/whole", 1, "part", b"1"))
        play.done("p/whole", b"2")
        play.fail("p/pay")
        play.done("p/whole/undo:back", b"null")
        play.done("hotel>boat/undo:back", b"null")
        began(play, "hotel>room/undo:back", "inside")
        play.feed(CallReturned(play.now, "hotel>room/undo:back", 1, "inside", b"1"))
        play.done("hotel>room/undo:back", b"null")

    whole = Call("whole", undo=Undo(call("back")))
    return define(call("hotel"), Parallel("p", (whole, call("pay")), join=Join())), history


def began(play: Play, path: str, key: str, *, takes_unknown: bool = False) -> None:
    """A step is about to make a call that can be undone."""
    play.feed(CallBegan(play.now, path, 1, key, "back", "call it@m", b'"trip"', takes_unknown))


def starts_another_run() -> tuple[Definition, Callable[[Play], None]]:
    def history(play: Play) -> None:
        play.start(b"1", parent="p", reports=True)
        kept, left = (CallSpec(key, "dispatch", f"c{key}", b"1", '{"kind":"start"}') for key in (1, 2))
        play.asked("", kept, left)
        play.dispatched("c1", "start", "r.1", "cancel")
        play.dispatched("c2", "start", "r.2", "abandon")
        play.asked("", CallSpec(3, "child", "result", b"null", "r.1"))
        play.child_ended("r.1", "failed")
        play.raised("", failure("the child failed"))
        play.reopen()
        play.child_ended("r.1", output=b'"done"')
        play.returned("", b'"done"')

    return define(Dynamic("f", workflow="f", version="1")), history


WORKFLOWS = {
    make.__name__: make
    for make in (
        chain_with_retries,
        journaled_calls,
        fan_outs,
        loops_and_choices,
        graph_reopened,
        clean_up_of_a_cancelled_run,
        scopes_out_of_time,
        durable_function,
        question_that_raises,
        answers_updates,
        flows_answer_updates,
        waits_for_signals,
        people_are_asked,
        routers_and_choices_of_several,
        taken_back,
        begun_anew,
        taken_over,
        streams,
        session_of_runs,
        hooked,
        a_hook_takes_its_time,
        nothing_left_to_happen,
        rules_about_a_result,
        state_taken_back,
        state_edited,
        state_merged,
        steps_that_report,
        agents_that_talk,
        agents_that_talk,
        a_step_that_sends,
        limits_reached,
        undone_and_reconciled,
        what_nothing_can_undo,
        calls_that_are_undone,
        a_step_that_writes,
        what_is_withheld,
        starts_another_run,
        asked_first,
    )
}
ENDS = {
    "chain_with_retries": "completed",
    "journaled_calls": "completed",
    "fan_outs": "failed",
    "loops_and_choices": "completed",
    "graph_reopened": "completed",
    "clean_up_of_a_cancelled_run": "cancelled",
    "scopes_out_of_time": "terminated",
    "durable_function": "cancelled",
    "question_that_raises": "failed",
    "answers_updates": "completed",
    "flows_answer_updates": "completed",
    "waits_for_signals": "completed",
    "people_are_asked": "completed",
    "routers_and_choices_of_several": "completed",
    "taken_back": "completed",
    "begun_anew": "completed",
    "taken_over": "completed",
    "streams": "completed",
    "session_of_runs": "completed",
    "hooked": "completed",
    "a_hook_takes_its_time": "completed",
    "nothing_left_to_happen": "failed",
    "rules_about_a_result": "completed",
    "state_taken_back": "completed",
    "state_edited": "completed",
    "state_merged": "completed",
    "steps_that_report": "completed",
    "agents_that_talk": "completed",
    "a_step_that_sends": "completed",
    "limits_reached": "completed",
    "undone_and_reconciled": "undone",
    "what_nothing_can_undo": "failed",
    "calls_that_are_undone": "failed",
    "starts_another_run": "completed",
    "a_step_that_writes": "completed",
    "what_is_withheld": "completed",
    "asked_first": "undone",
}


def played(name: str) -> Play:
    definition, history = WORKFLOWS[name]()
    play = Play(definition)
    history(play)
    return play


def rows_of(journal: list[Recorded]) -> Iterator[bytes]:
    """One row for each fact with its consequences, as a driver writes them."""
    batch: list[Recorded] = []
    for recorded in journal:
        if batch and is_fact(recorded.event):
            yield encode_events(item.event for item in batch)
            batch = []
        batch.append(recorded)
    yield encode_events(item.event for item in batch)


def read(path: Path) -> Iterator[Recorded]:
    """The events of a file: rows with an empty line between them."""
    seq = 1
    for row in path.read_bytes().removesuffix(b"\n").split(b"\n\n"):
        for recorded in decode_events(row, "r", seq):
            yield recorded
            seq += 1


def test_every_workflow_has_its_journal_and_every_journal_its_workflow() -> None:
    assert {path.stem for path in JOURNALS.glob("*.journal")} == set(WORKFLOWS) == set(ENDS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_journal_of_an_earlier_version_replays(name: str) -> None:
    definition, _ = WORKFLOWS[name]()
    journal = list(read(JOURNALS / f"{name}.journal"))
    assert replay(RunState(definition), journal).status == ENDS[name]
    started = started_of(journal)
    assert started.definition == definition.hash


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_journal_may_be_taken_up_after_each_of_its_facts(name: str) -> None:
    definition, _ = WORKFLOWS[name]()
    journal = list(read(JOURNALS / f"{name}.journal"))
    whole = encode_state(replay(RunState(definition), journal))
    line = {recorded.seq for recorded in lineage(journal)}
    for cut in (index for index, recorded in enumerate(journal) if is_fact(recorded.event)):
        if cut and cut not in line:
            continue  # what was done from here was rolled back
        before = replay(RunState(definition), journal[:cut])
        after = decode_state(encode_state(before), definition)
        assert encode_state(replay(after, journal[cut:])) == whole


def test_together_they_hold_every_kind_of_event() -> None:
    kinds = {type(recorded.event).__name__ for name in WORKFLOWS for recorded in read(JOURNALS / f"{name}.journal")}
    assert set(EVENTS) - kinds == set()


if __name__ == "__main__":
    JOURNALS.mkdir(exist_ok=True)
    for name in WORKFLOWS:
        path = JOURNALS / f"{name}.journal"
        if not path.exists():
            path.write_bytes(b"\n\n".join(rows_of(played(name).journal)) + b"\n")
