"""Stores, executors and nodes of one's own: chosen by name, and taken up again like those that are shipped."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ripresa import (
    App,
    InvalidConfig,
    InvalidWorkflow,
    Registry,
    RipresaError,
    RunFailed,
    StoreError,
    chain,
    current,
    step,
)
from ripresa.core.codec import decode_state, encode_state
from ripresa.core.definition import Definition
from ripresa.extend import Flow, Node, One, Place, Scope, ScopeFrame, Value, Work, as_links, build_link
from ripresa.stores.address import open_store
from ripresa.stores.memory import Memory, MemoryStore
from tests.core.play import Play, call, define
from tests.runtime.stage import Tally, in_memory, turns


class AgreeFrame(ScopeFrame):
    __slots__ = ("count", "last")
    FIELDS = (*ScopeFrame.FIELDS, ("count", "plain"), ("last", "value"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.count = 0
        self.last: Value = b""


class Agree(Scope[AgreeFrame]):
    """Runs its body until it returns the same twice in a row."""

    kind: ClassVar[str] = "agree"
    frame_class = AgreeFrame

    def __init__(self, name: str, body: Node[Any], **types: Any) -> None:
        super().__init__(name, **types)
        self.body = body

    @property
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    def child_node(self, run: Any, frame: AgreeFrame, key: int, path: str) -> Node[Any]:
        return self.body

    def open(self, run: Any, frame: AgreeFrame) -> None:
        frame.count += 1
        run.spawn(frame, self.body, f"{self.body.name}[{frame.count}]", frame.count, frame.input)

    def on_done(self, run: Any, frame: AgreeFrame, key: int, value: Value) -> None:
        if value == frame.last:
            run.done(frame, value)
        else:
            frame.last = value
            self.open(run, frame)


def agree(link: Any, *, name: str = "agree") -> Flow[Any, Any]:
    (checked,) = as_links((link,), "agree")
    return Flow(partial(_build, checked), name=name)


def _build(link: Any, place: Place) -> Agree:
    body = build_link(link, place.inner(link.name, One(place.given.single(place))))
    return Agree(place.name, body, input_type=body.input_type, output_type=body.output_type)


@step
def double(number: int) -> int:
    return 2 * number


# --- nodes


def test_a_node_of_ones_own_survives_snapshots_replay_and_reopening() -> None:
    play = Play(define(Agree("sure", call("ask"))), snapshots=True)
    play.start(b"1")
    play.done("ask[1]", b"3")
    play.fail("ask[2]")
    play.reopen()
    play.done("ask[2]", b"4")
    assert encode_state(decode_state(encode_state(play.state), play.definition)) == encode_state(play.state)
    play.done("ask[3]", b"4")
    assert play.output == b"4"
    play.check_replay()
    assert b'"kind":"agree"' in play.definition.description
    assert isinstance(play.definition, Definition)


async def test_a_run_with_a_node_of_ones_own_is_taken_up_by_another_app() -> None:
    tally, answers = Tally(), iter([3, 4, 4])

    @step
    async def ask(question: str) -> int:
        answer = next(answers)
        if answer == 4 and not tally.entered:
            await tally.visit()
        return answer

    flow = chain(agree(ask)).then(double)
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(flow("2 + 2"), id="r")
        await tally.reach(1)
    answers = iter([4, 4])
    tally.open()
    async with in_memory(memory) as app:
        assert await (await app.resume("r", flow)).result() == 8
    assert handle.id == "r"


def test_what_makes_flows_is_chosen_by_name() -> None:
    registry = Registry()
    registry.provide("agree", agree)
    assert registry.make("agree", double, name="sure").name == "sure"
    with pytest.raises(InvalidConfig, match="'agree' is provided already"):
        registry.provide("agree", chain)
    with pytest.raises(InvalidConfig, match="make is 3"):
        registry.provide("x", 3)  # type: ignore[arg-type]
    with pytest.raises(RipresaError, match="nothing provides 'loop'") as caught:
        registry.make("loop")
    assert caught.value.hint == "provided: agree"
    registry.provide("strange", lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidConfig, match="3 is no step, flow or workflow"):
        registry.make("strange")


# --- stores


async def test_a_store_is_chosen_by_the_scheme_that_the_app_was_told() -> None:
    seen: list[str] = []

    def shelf(address: str) -> MemoryStore:
        seen.append(address)
        return MemoryStore()

    async with App("shelf:top", stores={"shelf": shelf}) as app:
        assert await app.run(chain(double)(4)) == 8
    assert seen == ["shelf:top"]
    with pytest.raises(StoreError) as caught:
        await App("drawer:top", stores={"shelf": shelf}).open()
    assert caught.value.code == "unknown_store"
    with pytest.raises(InvalidConfig, match="stores has 'sqlite', which is a store of Ripresa's own"):
        App(stores={"sqlite": shelf})
    with pytest.raises(InvalidConfig, match="stores has 3 for 'shelf', must be a function of an address"):
        App(stores={"shelf": 3})  # type: ignore[dict-item]


def test_a_store_is_found_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "shelves-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelves\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ripresa.stores]\nshelf = shelves:kept\n")
    (tmp_path / "shelves.py").write_text(
        "from ripresa.stores.memory import MemoryStore\n\n\ndef kept(address):\n    return MemoryStore()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(open_store("shelf:top"), MemoryStore)
    sys.modules.pop("shelves")


# --- executors


class Lab:
    """Runs work here, and keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[Work] = []
        self.cancelled = 0

    async def perform(self, work: Work) -> Any:
        self.seen.append(work)
        try:
            return await work.here()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_step_runs_in_the_executor_that_it_names() -> None:
    lab = Lab()

    @step(executor="lab")
    async def measure(sample: int, unit: str = "m") -> str:
        return f"{current().path} {current().attempt}: {sample} {unit}"

    @step(executor="lab")
    def plainly(text: str) -> int:
        return len(text) + current().attempt

    async with in_memory(executors={"lab": lab}) as app:
        assert await app.run(chain(measure).then(plainly)(3), id="r") == 15
    work = lab.seen[0]
    assert (work.fn, work.args, work.kwargs) == (measure.fn, (3,), {})
    assert {key: work.context[key] for key in ("run", "path", "attempt", "key")} == {
        "run": "r",
        "path": "measure",
        "attempt": 1,
        "key": "r/measure",
    }


async def test_what_an_executor_raises_fails_the_attempt_and_its_result_is_checked() -> None:
    class Broken:
        async def perform(self, work: Work) -> Any:
            if work.args == (1,):
                raise ConnectionError("no lab")
            return "not a number"

    far = double.with_(name="far")
    far = step(executor="lab")(far.fn)
    async with in_memory(executors={"lab": Broken()}) as app:
        with pytest.raises(RunFailed, match="no lab"):
            await app.run(chain(far)(1))
        with pytest.raises(RunFailed) as caught:
            await app.run(chain(far)(2))
        assert caught.value.failure.code == "invalid_output"


async def test_an_executor_is_cancelled_with_its_attempt() -> None:
    lab, tally = Lab(), Tally()

    @step(executor="lab")
    async def long(number: int) -> int:
        await tally.visit()
        return number

    async with in_memory(executors={"lab": lab}) as app:
        handle = await app.start(chain(long)(1))
        await tally.reach(1)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        await turns(1)
        assert lab.cancelled == 1


async def test_an_executor_that_the_app_does_not_have_is_an_error() -> None:
    far = step(executor="moon")(double.fn)
    async with in_memory(executors={"lab": Lab()}) as app:
        with pytest.raises(InvalidWorkflow, match="lab") as caught:
            await app.run(chain(far)(1))
        assert caught.value.code == "unknown_executor"
    with pytest.raises(InvalidConfig, match="executors has 'process', which is one of Ripresa's own"):
        App(executors={"process": Lab()})
    with pytest.raises(InvalidConfig, match="executors has 3 for 'lab', which cannot perform"):
        App(executors={"lab": 3})  # type: ignore[dict-item]
