"""Runs with a typed state are forked, taken back, compared and taken over to another version of their workflow."""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import pytest

from ripresa import (
    App,
    Context,
    FieldWrite,
    Graph,
    Handle,
    Migration,
    RunForm,
    chain,
    current,
    map_each,
    parallel,
    step,
    workflow,
)
from ripresa.core.events import RunStarted, StateEdited, StateOpened, StepCompleted, StepReused
from ripresa.core.merge import Held, read
from ripresa.core.values import text_of
from ripresa.errors import RipresaError
from ripresa.reducers import add, append, reducer
from ripresa.runtime import engine as engine_module
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, in_memory, journal_of

DONE: list[str] = []


def done() -> list[str]:
    """What was done since the last time."""
    found = DONE.copy()
    DONE.clear()
    return found


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()


@reducer
def longest(so_far: str, text: str) -> str:
    return max(so_far, text, key=len)


@dataclass
class Report:
    title: str = "untitled"
    words: Annotated[int, add] = 0
    pages: Annotated[list[str], append] = field(default_factory=list[str])
    best: Annotated[str, longest] = ""


@step
async def count(text: str) -> str:
    """Writes, and reads nothing."""
    DONE.append("count")
    to = current().to(Report)
    add(to.words, len(text.split()))
    append(to.pages, text)
    return text


@step
async def name(text: str) -> str:
    """Reads the words, and writes the title."""
    DONE.append("name")
    report = current().state(Report)
    report.title = f"{report.words} words"
    return text


@step
async def tell(text: str) -> str:
    """Reads the title."""
    DONE.append("tell")
    return f"{current().state(Report).title}: {text}"


@step
async def plain(text: str) -> str:
    """Neither reads nor writes."""
    DONE.append("plain")
    return text.strip()


@step
async def better(text: str) -> str:
    """Writes by a reducer of its own, which reads."""
    DONE.append("better")
    longest(current().to(Report).best, text)
    return text


report = chain(count, name="report").then(name).then(plain).then(tell).with_state(Report)


async def ended(app: App, call: Any, **options: Any) -> Handle[Any]:
    handle = await app.start(call, **options)
    await handle.outcome()
    done()
    return handle


async def fields_of(handle: Handle[Any]) -> dict[str, Any]:
    state = await handle.state(Report)
    return {"title": state.title, "words": state.words, "pages": state.pages, "best": state.best}


# --- forks


async def test_a_fork_runs_again_only_what_looked_at_a_field_that_changed() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"), id="r")
        twin = await handle.fork(set={"state.title": "given"})
        assert await twin.result() == "2 words: a b"
        assert done() == []  # nothing that looked at the title came before it was written
        twin = await handle.fork(set={"state.words": 10})
        assert await twin.result() == "12 words: a b"
        assert done() == ["name", "tell"]
        assert await fields_of(twin) == {"title": "12 words", "words": 12, "pages": ["a b"], "best": ""}
        reused = [event for event in await journal_of(twin) if isinstance(event, StepReused)]
        assert [(event.path, [write.field for write in event.writes]) for event in reused] == [
            ("count", ["words", "pages"]), ("plain", []),
        ]  # fmt: skip


async def test_a_field_may_be_set_at_a_place() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        twin = await handle.fork("name", set={"state.title": "given", "state.pages": ["x"]})
        assert await twin.result() == "given: a b"
        assert done() == ["tell"]
        assert (await fields_of(twin))["pages"] == ["x"]
        assert [event for event in await journal_of(twin) if isinstance(event, StateEdited)]
        assert await fields_of(handle) == {"title": "2 words", "words": 2, "pages": ["a b"], "best": ""}


async def test_the_input_and_the_state_may_be_set_together() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        twin = await handle.fork(set={"input": "a b c", "state.words": 1})
        assert await twin.result() == "4 words: a b c"
        twin = await handle.fork("count", set={"state.words": 7, "name": "changed"})
        assert await twin.result() == "untitled: changed"


async def test_a_fork_of_a_fork_goes_on_taking_over() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        twin = await ended_fork(handle, {"state.words": 10})
        again = await twin.fork(set={"state.title": "first"})
        assert await again.result() == "12 words: a b"
        assert done() == []


async def ended_fork(handle: Handle[Any], given: dict[str, Any]) -> Handle[Any]:
    twin = await handle.fork(set=given)
    await twin.outcome()
    done()
    return twin


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"state.colour": "red"}, "invalid_input"),
        ({"state.words": "many"}, "invalid_input"),
        ({"nowhere": 1}, "no_such_place"),
    ],
)
async def test_what_cannot_be_set_is_refused(given: dict[str, Any], code: str) -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        with pytest.raises(RipresaError) as raised:
            await handle.fork(set=given)
        assert raised.value.code == code
        assert len((await app.runs()).runs) == 1


async def test_only_the_state_of_the_run_itself_can_be_set() -> None:
    async with in_memory() as app:
        inner = chain(plain).then(chain(count).then(tell).with_state(Report))
        handle = await ended(app, inner("a b"))
        with pytest.raises(RipresaError, match="has no state of its own"):
            await handle.fork(set={"state.title": "x"})
        twin = await handle.fork(set={"plain": "c"})
        assert await twin.result() == "untitled: c"


async def test_branches_and_items_are_taken_over_with_what_they_wrote() -> None:
    pages = map_each(count)
    flow = chain(parallel(chain(count), chain(better)), name="wide").then(list_of).then(pages).then(first).then(name)
    async with in_memory() as app:
        handle = await ended(app, flow.with_state(Report)("a b"))
        whole = await fields_of(handle)
        twin = await handle.fork(set={"state.title": "x"})
        assert await twin.result() == "a b"
        assert done() == []
        assert await fields_of(twin) == whole
        twin = await handle.fork(set={"state.best": "a very long one"})
        await twin.result()
        assert done() == ["better"]
        assert (await fields_of(twin))["best"] == "a very long one"


inner = chain(count).then(name).then(tell).with_state(Report)


@workflow
async def calls_inner(ctx: Context, text: str) -> str:
    return await inner.named("inner")(text)


def nested_graph() -> Any:
    made = Graph("g", input=str)
    return made.returns(made.add(inner.named("inner")(made.add(plain(made.input)).out)).out)


@pytest.mark.parametrize(
    ("flow", "place"),
    [(chain(plain).then(inner.named("inner")), "count"), (nested_graph(), "inner/count"), (calls_inner, "inner/count")],
    ids=["chain", "graph", "function"],
)
async def test_a_fork_holds_another_state_of_a_flow_within_from_a_place_there(flow: Any, place: str) -> None:
    async with in_memory(Memory()) as app:
        handle = await ended(app, flow("a b"))
        journal = await app.engine.history(handle.id)
        counted = next(each for each in journal if isinstance(each.event, StepCompleted) and "count" in each.event.path)
        scope = next(each.event.path for each in journal if isinstance(each.event, StateOpened)).removesuffix("()")
        done()
        twin = await handle.fork(counted.seq, set={f"{scope}: state.words": 40})
        assert await twin.result() == "40 words: a b"
        assert done()[-2:] == ["name", "tell"]
        edited = [each.event for each in await app.engine.history(twin.id) if isinstance(each.event, StateEdited)]
        assert len(edited) == 1
        for key, code in (("elsewhere: state.words", "no_state"), (f"{scope}: state.colour", "invalid_input")):
            with pytest.raises(RipresaError) as caught:
                await handle.fork(counted.seq, set={key: 1})
            assert caught.value.code == code
        with pytest.raises(RipresaError) as caught:
            await handle.fork(set={f"{scope}: state.words": 1})  # it has ended where the run is now
        assert caught.value.code == "no_state"


@step(effect="pure")
async def list_of(texts: tuple[str, str]) -> list[str]:
    DONE.append("list_of")
    return list(texts)


@step(effect="pure")
async def first(texts: list[str]) -> str:
    DONE.append("first")
    return texts[0]


@step(effect="pure")
async def titled(text: str) -> str:
    DONE.append("titled")
    assert current().state(Report).title
    return text


async def test_pure_steps_take_over_what_was_seen_as_it_is_here_wherever_that_was() -> None:
    flow = chain(titled, name="flow").then(titled).then(name).then(titled).with_state(Report)
    async with in_memory() as app:
        handle = await app.start(flow("a b"))
        await handle.result()
        assert done() == ["titled", "titled", "name", "titled"]
        await (await handle.fork(set={"state.title": "0 words", "name": "a b"})).result()
        assert done() == []  # the last one of them had seen this title
        await (await handle.fork(set={"state.title": "new"})).result()
        assert done() == ["titled", "titled"]


@workflow
async def publish(ctx: Context[Report], text: str) -> str:
    add(ctx.to.words, 1)
    left, _ = await ctx.gather(count(text), better(text))
    if ctx.state.words > 5:
        return await name(left)
    return await tell(left)


async def test_a_durable_function_is_forked_with_its_state() -> None:
    async with in_memory() as app:
        handle = await ended(app, publish("a b"))
        assert await handle.result() == "untitled: a b"
        twin = await handle.fork(set={"state.title": "named"})
        assert await twin.result() == "named: a b"
        assert done() == ["tell"]
        twin = await handle.fork(set={"state.words": 4})
        assert await twin.result() == "a b"
        assert done() == ["name"]
        assert (await fields_of(twin))["title"] == "7 words"


async def test_what_a_graph_gives_a_step_of_the_state_counts_as_looked_at() -> None:
    graph = Graph("graph", input=str, state=Report)
    counted = graph.add(count(graph.input))
    given = graph.add(plain(graph.state.title))
    flow = graph.returns((counted.out, given.out))
    async with in_memory() as app:
        handle = await ended(app, flow("a b"))
        twin = await handle.fork(set={"state.title": " new "})
        assert await twin.result() == ("a b", "new")
        assert done() == ["plain"]


async def test_a_step_that_left_calls_to_a_later_attempt_is_run_again() -> None:
    fails = [True]

    async def part(text: str) -> str:
        DONE.append("part")
        return text

    @step(retry=2)
    async def agent(text: str) -> str:
        DONE.append("agent")
        found = await current().call(part, current().state(Report).title)
        if fails.pop() if fails else False:
            raise ValueError("once")
        return found

    flow = chain(agent, name="flow").then(plain).with_state(Report)
    async with in_memory() as app:
        handle = await ended(app, flow("a"))
        (completed, _) = [event for event in await journal_of(handle) if isinstance(event, StepCompleted)]
        assert completed.reads == ("*",)
        await (await handle.fork(set={"state.words": 1})).result()
        assert done() == ["agent", "part"]


async def test_a_run_that_did_not_say_what_was_read_takes_over_nothing_but_what_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "RunStarted", partial(RunStarted, core=2))
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        twin = await handle.fork(set={"name": "given", "state.words": 1})
        assert await twin.result() == "untitled: given"
        assert done() == ["count", "plain", "tell"]


async def test_a_fork_with_a_state_goes_on_taking_over_after_its_process_ended() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(text: str) -> str:
        DONE.append("wait")
        await tally.visit()
        return text

    flow = chain(count, name="flow").then(name).then(wait).then(tell).then(better).with_state(Report)
    async with in_memory(memory) as app:
        tally.open()
        handle = await ended(app, flow("a b"), id="r")
        tally = Tally()
        fork = await handle.fork(set={"state.pages": ["x"], "state.best": "a long, long text", "wait": "a b"}, id="f")
        await fork.outcome()
        assert done() == ["better"]
        twin = await handle.fork("name", fresh=True, id="g")
        await tally.reach(1)
        assert done() == ["wait"]
        del twin
    tally.open()
    async with in_memory(memory) as app:
        again = await app.resume("g", flow)
        assert await again.result() == "2 words: a b"
        assert done() == ["wait", "tell", "better"]
        assert await fields_of(await app.handle("f", flow)) == {
            "title": "2 words", "words": 2, "pages": ["x", "a b"], "best": "a long, long text",
        }  # fmt: skip


# --- compared


async def test_the_difference_of_two_places_and_of_two_runs_shows_the_state() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"), id="r")
        found = {change.what: (change.before, change.after) for change in await handle.diff("count", "tell")}
        assert set(found) >= {"state.title", "tell"}
        assert "state.words" not in found
        before, after = found["state.title"]
        assert isinstance(before, Held)
        assert isinstance(after, Held)
        assert (read(before, text_of), read(after, text_of)) == (b'"untitled"', b'"2 words"')
        twin = await ended_fork(handle, {"state.words": 10})
        changed = [change.what for change in (await app.diff("r", twin.id)).changes]
        assert [what for what in changed if what.startswith("state.")] == ["state.title", "state.words"]


async def test_fields_of_scopes_within_are_named_with_their_place() -> None:
    async with in_memory() as app:
        inner = chain(plain).then(chain(count, name="inner").then(tell).with_state(Report)).then(plain)
        handle = await ended(app, inner("a b"))
        found = [change.what for change in await handle.diff(1, "plain#2")]
        assert "inner: state.words" in found


# --- taken over


@dataclass
class Headed:
    __state_version__ = 2
    headline: str = "none"
    letters: Annotated[int, add] = 0
    texts: Annotated[list[str], append] = field(default_factory=list[str])
    best: Annotated[str, longest] = ""
    colour: str = "red"


@step(name="tell")
async def tell_anew(text: str) -> str:
    DONE.append("tell anew")
    state = current().state(Headed)
    append(current().to(Headed).texts, "more")
    return f"{state.headline} {state.letters} {state.texts} {state.best!r} {state.colour}: {text}"


def waiting(tally: Tally, *links: Any, state: Any = Report, version: str = "1", last: Any = tell) -> Any:
    @step(name="wait")
    async def wait(text: str) -> str:
        await tally.visit()
        return text

    flow = chain(links[0], name="flow", version=version)
    for link in links[1:]:
        flow = flow.then(link)
    return flow.then(wait).then(last).with_state(state)


def to_letters(run: RunForm) -> None:
    assert run.state_version == 1
    run.rename_field("title", "headline")
    run.rename_field("words", "letters")
    run.rename_field("pages", "texts")
    run.change_field("letters", lambda words: 10 * words, lambda words: 10 * words)
    run.change_field("best", str.upper, str.upper)
    run.change_field("headline", lambda title: f"<{title}>")


async def left(memory: Memory, flow: Any, tally: Tally, *, state: Any = None) -> None:
    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(flow("a b"), id="r", state=state)
        await tally.reach(1)
    tally.open()
    done()


async def test_a_run_is_taken_over_with_its_state() -> None:
    memory, tally = Memory(), Tally()
    old = waiting(tally, count, better, name, count)
    new = waiting(tally, count, better, name, count, state=Headed, version="2", last=tell_anew)
    await left(memory, old, tally, state=Report(words=1))
    async with in_memory(memory, workflows=[old, new], migrations=[Migration("flow", "1", "2", to_letters)]) as app:
        dry = await app.migrate("r", new, dry_run=True)
        assert not dry.done
        assert dry.taken == ("count", "better", "name", "count#2")
        assert (await app.migrate("r", new)).done
        handle = await app.resume("r", new)
        assert await handle.result() == "<3 words> 50 ['a b', 'a b', 'more'] 'A B' red: a b"
        assert done() == ["tell anew"]
        state = await handle.state(Headed)
        assert (state.letters, state.texts) == (50, ["a b", "a b", "more"])
        assert (await handle.status()).states[""].version == 2


def wrong_name(run: RunForm) -> None:
    """Leaves the old names."""


def wrong_type(run: RunForm) -> None:
    to_letters(run)
    run.change_field("headline", len)


def wrong_operand(run: RunForm) -> None:
    to_letters(run)
    run.change_field("letters", int, lambda _: "many")


def wrong_custom(run: RunForm) -> None:
    to_letters(run)
    run.change_field("best", str, len)


def wrong_op(run: RunForm) -> None:
    to_letters(run)
    run.writes["name"].append(FieldWrite("headline", "add", 1))


def no_operand(run: RunForm) -> None:
    run.change_field("words", int)


def wrong_beginning(run: RunForm) -> None:
    to_letters(run)
    run.state["letters"] = "many"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wrong_name, "has no field"),
        (wrong_type, "headline"),
        (wrong_operand, "letters"),
        (wrong_custom, "best"),
        (wrong_op, "headline: it is not written by 'add'"),
        (no_operand, "say what its operands become"),
        (wrong_beginning, "letters"),
    ],
)
async def test_a_state_that_does_not_fit_leaves_the_run_as_it_was(change: Any, said: str) -> None:
    memory, tally = Memory(), Tally()
    old = waiting(tally, count, better, name)
    new = waiting(tally, count, better, name, state=Headed, version="2", last=tell_anew)
    await left(memory, old, tally)
    async with in_memory(memory, workflows=[old, new], migrations=[Migration("flow", "1", "2", change)]) as app:
        before = await app.engine.history("r")
        for dry_run in (True, False):
            with pytest.raises(RipresaError) as raised:
                await app.migrate("r", new, dry_run=dry_run)
            assert raised.value.code == "migration_failed"
            assert said in str(raised.value)
        assert await app.engine.history("r") == before
        assert await (await app.resume("r", old)).result() == "2 words: a b"


@pytest.mark.parametrize("after", [False, True])
async def test_a_migration_of_a_state_that_could_not_be_kept_has_not_happened_or_has(after: bool) -> None:
    memory, tally = Memory(), Tally()
    old = waiting(tally, count, better, name)
    new = waiting(tally, count, better, name, state=Headed, version="2", last=tell_anew)
    await left(memory, old, tally)
    moves = [Migration("flow", "1", "2", to_letters)]
    async with App(Failing(MemoryStore(memory), 1, after=after), workflows=[old, new], migrations=moves) as app:
        with pytest.raises(RipresaError):
            await app.migrate("r", new)
    async with in_memory(memory, workflows=[old, new], migrations=moves) as app:
        if not after:
            await app.migrate("r", new)
        assert (await (await app.resume("r", new)).result()).startswith("<2 words> 20 ['a b', 'more'] 'A B'")


async def test_a_state_may_be_dropped_and_a_run_that_keeps_it_is_refused() -> None:
    def drop(run: RunForm) -> None:
        for name in list(run.state):
            run.drop_field(name)

    memory, tally = Memory(), Tally()
    old = waiting(tally, plain, count)

    @step(name="tell")
    async def say(text: str) -> str:
        return text

    bare = (
        chain(plain, name="flow", version="2").then(plain.with_(name="count")).then(plain.with_(name="wait")).then(say)
    )
    await left(memory, old, tally)
    async with in_memory(memory, workflows=[old, bare], migrations=[Migration("flow", "1", "2", drop)]) as app:
        assert (await app.migrate("r", bare)).done
        assert await (await app.resume("r", bare)).result() == "a b"
    for links, said in (((plain, count), "has no field 'words'"), ((plain, plain), "no state to begin with title")):
        memory, tally = Memory(), Tally()
        old = waiting(tally, *links)
        await left(memory, old, tally)
        async with in_memory(memory, workflows=[old, bare], migrations=[Migration("flow", "1", "2")]) as app:
            with pytest.raises(RipresaError, match=said):
                await app.migrate("r", bare)


async def test_a_durable_function_is_taken_over_with_what_its_steps_wrote() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(text: str) -> str:
        await tally.visit()
        return text

    def made(version: str) -> Any:
        @workflow(name="flow", version=version)
        async def flow(ctx: Context[Report], text: str) -> str:
            add(ctx.to.words, 1)
            await ctx.gather(count(text), better(text))
            await inner(text)
            await wait(text)
            return f"{ctx.state.words} {ctx.state.pages} {ctx.state.best} {version}"

        return flow

    @workflow
    async def inner(ctx: Context[Headed], text: str) -> str:
        return await heads(text)

    @step
    async def heads(text: str) -> str:
        DONE.append("heads")
        current().state(Headed).colour = "green"
        return text

    old, new = made("1"), made("2")
    await left(memory, old, tally)
    async with in_memory(memory, workflows=[old, new], migrations=[Migration("flow", "1", "2")]) as app:
        assert (await app.migrate("r", new)).done
        assert await (await app.resume("r", new)).result() == "3 ['a b'] a b 2"
        assert done() == []


async def test_a_run_whose_journal_fits_as_it_is_is_taken_over_with_its_state() -> None:
    memory, tally = Memory(), Tally()
    old, new = waiting(tally, count, name), waiting(tally, count, name, version="2")
    await left(memory, old, tally)
    async with in_memory(memory, workflows=[old, new]) as app:
        (planned,) = await app.plan(new)
        assert planned.verdict in ("migrate", "pinned")
        await app.migrate("r", new)
        assert await (await app.resume("r", new)).result() == "2 words: a b"
        assert done() == ["tell"]


def test_forms_are_changed_field_by_field() -> None:
    form = RunForm("flow", "1", 1, state={"a": 1}, writes={"s/x": [FieldWrite("a", "set", 2)]})
    form.rename("s", "t")
    assert form.writes == {"t/x": [FieldWrite("a", "set", 2)]}
    form.change_field("b", str)
    form.forget("t")
    assert form.writes == {}
