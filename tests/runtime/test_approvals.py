"""Approvals: asked in chains, graphs and durable functions, answered from here, from elsewhere, while nobody drives."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from pydantic import BaseModel

from ripresa import (
    Approval,
    Context,
    Graph,
    InvalidConfig,
    RipresaError,
    RunFailed,
    approval,
    approved,
    chain,
    step,
    workflow,
)
from ripresa.approvals import Answer, OpenApproval, cast
from ripresa.core.events import VoteCast
from ripresa.stores.memory import Memory
from ripresa.stores.sqlite import SQLiteStore

from .stage import in_memory, journal_of, on_clock, turns
from .test_sleeping import asleep_soon, settled


@dataclass
class Draft:
    text: str


class Decision(BaseModel):
    note: str
    score: int = 1


@step
async def write(topic: str) -> Draft:
    return Draft(topic)


@step
async def publish(draft: Draft) -> str:
    return f"published {draft.text}"


@step
async def archive(draft: Draft) -> str:
    return f"archived {draft.text}"


@step
async def noted(decided: Approval[Decision]) -> str:
    return decided.form.note if decided.granted else "no"


@workflow
async def careful(ctx: Context, topic: str) -> str:
    draft = await write(topic)
    decided = await ctx.approval("Publish?", draft, form=Decision, assignees=["ann", "bob"], timeout="3 days")
    if not decided.granted:
        return f"{decided.by[0]} says no: {decided.comment}"
    return f"{await publish(draft)}, {decided.form.note}"


@workflow
async def hasty(ctx: Context, topic: str) -> str:
    try:
        decided = await ctx.approval("Now?", timeout=5, remind=2, name="now")
    except TimeoutError:
        return "nobody was there"
    return str(decided.form)


branching = chain(write).then(approved("Publish?", publish, archive))
filled = chain(write).then(approval("Publish?", form=Decision)).then(noted)


@pytest.mark.parametrize(("granted", "told"), [(True, "published a"), (False, "archived a")])
async def test_a_chain_goes_the_way_that_people_decide(granted: bool, told: str) -> None:
    async with in_memory() as app:
        handle = await app.start(branching("a"))
        await turns(10)
        assert await (handle.approve if granted else handle.reject)(by="ann", comment="so be it")
        assert await handle.result() == told


async def test_the_form_is_typed_and_what_does_not_fit_is_refused() -> None:
    async with in_memory() as app:
        handle = await app.start(filled("a"))
        await turns(10)
        for form in (None, {"score": 1}, {"note": "x", "score": "many"}):
            with pytest.raises(RipresaError, match="the form is not filled in right") as raised:
                await handle.approve(by="ann", form=form)
            assert raised.value.code == "vote_refused"
        assert await handle.approve(by="ann", form=Decision(note="fine"))
        assert await handle.result() == "fine"


async def test_a_graph_wires_what_was_decided() -> None:
    g = Graph("g", input=str)
    draft = g.add(write(g.input))
    asked = g.add(approval("Publish?", form=Decision)(draft.out))
    done = g.add(publish(draft.out), when=asked.out.granted)
    away = g.add(archive(draft.out), unless=asked.out.granted)
    flow = g.returns(g.first(done, away).out)
    async with in_memory() as app:
        for granted, told in ((True, "published a"), (False, "archived a")):
            handle = await app.start(flow("a"))
            await turns(10)
            if granted:
                await handle.approve(by="ann", form=Decision(note="x"))
            else:
                await handle.reject(by="ann")
            assert await handle.result() == told


async def test_an_answer_with_an_id_counts_once_whatever_is_open_then() -> None:
    @workflow
    async def twice(ctx: Context, text: str) -> str:
        first = await ctx.approval("Publish?", text, name="publish")
        second = await ctx.approval("Pay?", text, name="pay", assignees=["bob"])
        return f"{first.granted} {second.granted}"

    async with in_memory() as app:
        handle = await app.start(twice("a"))
        await turns(10)
        for _ in range(2):
            assert await handle.approve(by="bob", id="1")
        assert [asked.name for asked in await handle.approvals()] == ["pay"]
        for _ in range(2):
            with pytest.raises(RipresaError, match="eve is not among"):
                await handle.approve(by="eve", id="2")
        with pytest.raises(RipresaError, match="not what was looked at"):
            await handle.reject(by="bob", digest="other")
        for _ in range(2):
            assert await handle.reject("pay", by="bob", id="3")
        assert await handle.result() == "True False"
        assert await handle.reject("pay", by="bob", id="3")


async def test_a_durable_function_asks_those_it_names_about_what_they_are_shown() -> None:
    async with in_memory() as app:
        handle = await app.start(careful("a"))
        await turns(10)
        (asked,) = await handle.approvals()
        assert (asked.question, asked.about, asked.assignees) == ("Publish?", {"text": "a"}, ("ann", "bob"))
        assert asked.form == "Decision(note:str,score:int)"
        with pytest.raises(RipresaError, match="eve is not among"):
            await handle.approve(by="eve", form=Decision(note="x"))
        with pytest.raises(RipresaError, match="not what was looked at"):
            await handle.approve(by="ann", form=Decision(note="x"), digest="other")
        await handle.delegate(by="ann", to="cid")
        assert await handle.approve("approval", by="cid", form=Decision(note="fine"), digest=asked.digest)
        assert await handle.result() == "published a, fine"
        handle = await app.start(careful("b"))
        await turns(10)
        await handle.reject(by="bob", comment="dull")
        assert await handle.result() == "bob says no: dull"


async def test_where_nothing_is_to_be_filled_in_no_form_counts() -> None:
    async with in_memory() as app:
        handle = await app.start(branching("a"))
        await turns(10)
        with pytest.raises(RipresaError, match="there is no form"):
            await handle.approve(by="ann", form={"a": 1})
        await handle.approve(by="ann")
        assert await handle.result() == "published a"


async def test_time_that_is_up_is_a_timeout_error() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(hasty("a"))
        await turns(10)
        clock.advance(5)
        assert await handle.result() == "nobody was there"


async def test_time_that_is_up_can_be_an_answer() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(chain(write).then(approved("?", publish, archive, timeout=5, expiry="reject"))("a"))
        failing = await app.start(chain(write).then(approval("?", timeout=5))("a"))
        await turns(10)
        clock.advance(5)
        assert await handle.result() == "archived a"
        with pytest.raises(RunFailed, match="was not answered"):
            await failing.result()


async def test_open_approvals_are_listed_over_all_runs() -> None:
    async with asleep_soon() as (app, _):
        assert await app.approvals() == []
        for run in "abc":
            await app.start(branching(run), id=run, tags=["t"])
            await settled(app, run)
        await app.run(write("other"))
        assert [asked.run for asked in await app.approvals()] == ["c", "b", "a"]
        page = await app.runs(tag="t")
        assert len(page.runs) == 3
        handle = await app.handle("b", branching)
        await handle.approve(by="ann")
        assert await handle.result() == "published b"
        assert [asked.run for asked in await app.approvals()] == ["c", "a"]
        head = await app.store.find_run("b")
        assert head is not None
        assert head.tags == ("t",)


@workflow
async def asks_first(ctx: Context, topic: str) -> bool:
    return (await ctx.approval(topic)).granted


async def test_an_approval_that_is_the_first_thing_of_a_run_is_listed() -> None:
    async with in_memory() as app:
        assert await app.approvals() == []
        chained = await app.start(chain(approval("Publish?"))("a"), id="a")
        started = await app.start(asks_first("Wire the money?"), id="b")
        assert [asked.run for asked in await app.approvals()] == ["b", "a"]
        for handle in (chained, started):
            await handle.approve(by="ann")
            await handle.result()
        assert await app.approvals() == []


async def test_the_list_goes_on_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_memory() as app:
        for run in "abc":
            await app.start(branching(run), id=run)
        await turns(10)
        real = app.store.list_runs
        from dataclasses import replace
        from typing import Any

        async def short(where: Any) -> Any:
            return await real(replace(where, limit=2))

        monkeypatch.setattr(app.store, "list_runs", short)
        assert sorted(asked.run for asked in await app.approvals()) == ["a", "b", "c"]


async def test_which_approval_is_meant_must_be_said_if_several_are_open() -> None:
    @workflow
    async def two(ctx: Context, topic: str) -> str:
        first, second = await ctx.gather(ctx.approval("A?", name="a"), ctx.approval("B?", name="b"))
        return f"{first.granted} {second.granted}"

    async with in_memory() as app:
        handle = await app.start(two("a"))
        await turns(10)
        for name, told in (("", "several approvals are open"), ("c", "no approval 'c' is open")):
            with pytest.raises(RipresaError, match=told):
                await handle.approve(name, by="ann")
        names = [asked.name for asked in await handle.approvals()]
        assert names == ["a", "b"]
        for name in names:
            await handle.approve(name, by="ann")
        assert await handle.result() == "True True"
        with pytest.raises(RipresaError, match="no approval '' is open"):
            await handle.approve(by="ann")


async def test_an_answer_from_another_app_reaches_the_owner(tmp_path: object) -> None:
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await app.start(careful("a"), id="r")
        await turns(10)
        there = await other.handle("r")
        with pytest.raises(RipresaError, match="the form is not filled in right"):
            await there.approve(by="ann")
        assert await there.approve(by="ann", form={"note": "from afar"})
        assert await handle.result() == "published a, from afar"


async def test_an_answer_wakes_a_run_that_sleeps() -> None:
    async with asleep_soon() as (app, _):
        handle = await app.start(careful("a"), id="r")
        await settled(app)
        assert await handle.approve(by="ann", form=Decision(note="fine"))
        assert await handle.result() == "published a, fine"


async def test_an_answer_that_nobody_can_take_up_is_kept() -> None:
    memory = Memory()
    async with asleep_soon(memory) as (app, _):
        await app.start(careful("a"), id="r", target="nowhere:careful")
        await settled(app)
    async with in_memory(memory) as app:
        assert not await (await app.handle("r")).approve(by="ann", form=Decision(note="kept"))
    async with asleep_soon(memory, workflows=[careful]) as (app, _):
        handle = await app.handle("r", careful)
        assert await handle.result() == "published a, kept"
        assert any(isinstance(event, VoteCast) for event in await journal_of(handle))


async def test_an_answer_is_left_to_an_owner_that_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.approvals.PATIENCE", 0.1)
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await app.start(branching("a"), id="r")
        await turns(10)
        monkeypatch.setattr(app.store, "changed", lambda: False)
        assert not await (await other.handle("r")).approve(by="ann")
        monkeypatch.undo()
        assert await handle.result() == "published a"


async def test_what_cannot_be_shown_cannot_be_asked_about() -> None:
    @workflow
    async def odd(ctx: Context, topic: str) -> str:
        await ctx.approval("?", object())
        return topic

    async with in_memory() as app:
        with pytest.raises(RunFailed):
            await app.run(odd("a"))


async def test_a_large_value_is_shown_whole(tmp_path: object) -> None:
    async with in_memory() as app:
        handle = await app.start(branching("a" * 10_000))
        await turns(10)
        (asked,) = await handle.approvals()
        assert isinstance(asked, OpenApproval)
        assert asked.about == {"text": "a" * 10_000}
        await handle.approve(by="ann", digest=asked.digest)
        assert (await handle.result())[:12] == "published aa"


async def test_the_list_is_kept_by_a_file(tmp_path: object) -> None:
    async with in_memory() as app:
        assert await app.approvals() == []
    from pathlib import Path

    from ripresa import App

    assert isinstance(tmp_path, Path)
    async with App(SQLiteStore(tmp_path / "a.db"), linger=0) as app:
        await app.start(branching("a"), id="r")
        await settled(app)
    async with App(SQLiteStore(tmp_path / "a.db"), linger=0) as app:
        assert [asked.path for asked in await app.approvals()] == ["approved/approval"]
        handle = await app.handle("r", branching)
        await asyncio.sleep(0)
        await app.resume("r", branching)
        await handle.approve(by="ann")
        assert await handle.result() == "published a"


def test_bad_options_are_refused_together() -> None:
    with pytest.raises(InvalidConfig) as raised:
        approval(
            " ",
            form=Decision,
            name="a/b",
            quorum=3,
            assignees=["ann"],
            remind=0,
            escalate="1 day",
            timeout=None,
            expiry="approve",
        )
    told = str(raised.value)
    for part in ("name", "question", "remind is 0", "quorum is 3", "fill in the form", "no timeout", "belong together"):
        assert part in told
    with pytest.raises(InvalidConfig, match=r"assignees is 'ann'.*quorum is 0.*expiry is 'later'"):
        approval("?", assignees="ann", quorum=0, expiry="later", timeout=1)  # type: ignore[call-overload]
    assert approval("?", assignees=["role:legal"], quorum=2).name == "approval"


@pytest.mark.parametrize("question", ["Pay?", "Pay {}?"])
async def test_an_answer_counts_for_nothing_but_what_was_asked_when_it_was_given(question: str) -> None:
    @workflow
    async def again(ctx: Context, amounts: list[int], asked: str) -> list[bool]:
        return [
            (await ctx.approval(asked.format(amount), None if "{" in asked else amount, name="pay")).granted
            for amount in amounts
        ]

    async with in_memory() as app:
        handle = await app.start(again([1, 1000], question))
        await turns(10)
        (asked,) = await handle.approvals()
        assert await handle.approve(by="ann")
        (then,) = await handle.approvals()
        engine = app.engine
        with pytest.raises(RipresaError, match="not what was looked at") as raised:
            await cast(engine, replace(asked, path=then.path), Answer("ann"), None)
        assert raised.value.code == "vote_refused"
        with pytest.raises(RipresaError, match="says by its digest what was looked at"):
            await cast(engine, replace(then, digest=""), Answer("ann"), None)
        assert await handle.reject(by="ann")
        assert await handle.result() == [True, False]
        votes = [event.digest for event in await journal_of(handle) if isinstance(event, VoteCast)]
        assert votes == [asked.digest, asked.digest, "", then.digest]


async def test_an_answer_is_kept_where_the_code_of_the_run_is_another_one() -> None:
    memory = Memory()
    another = chain(write, name=branching.definition.name).then(approved("Publish?", archive, publish))
    async with in_memory(memory) as app:
        await app.start(branching("a"), id="r")
        await turns(10)
    async with in_memory(memory) as app:
        handle = await app.handle("r", another)
        with pytest.raises(RipresaError) as caught:
            await handle.approve(by="ann")
        assert caught.value.code == "definition_changed"
    async with in_memory(memory) as app:
        assert await (await app.resume("r", branching)).result() == "published a"
