"""The typed state that the steps of a run share: what they read, what they write, and what is refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from ripresa import (
    Again,
    App,
    Context,
    Graph,
    Limits,
    Replace,
    RipresaError,
    RunFailed,
    after,
    branch,
    chain,
    current,
    map_each,
    on_error,
    parallel,
    repeat,
    step,
    workflow,
)
from ripresa.core.events import StateChanged, StateMerged, StepCompleted
from ripresa.core.merge import read
from ripresa.core.values import LARGE, text_of
from ripresa.core.view import view_of
from ripresa.errors import InvalidConfig, InvalidValue, InvalidWorkflow
from ripresa.reducers import add, append, extend, last_write, merge, reducer, union
from ripresa.reducers import max as greatest
from ripresa.reducers import min as least
from tests.runtime.stage import all_of, in_memory


@dataclass
class Report:
    post: str | None = None
    scores: Annotated[list[float], append] = field(default_factory=list[float])
    total: Annotated[int, add] = 0
    best: Annotated[float | None, greatest] = None
    title: Annotated[str, last_write] = ""


@step
async def score(value: int) -> int:
    to = current().to(Report)
    append(to.scores, value / 2)
    add(to.total, value)
    greatest(to.best, float(value))
    return value


@step
def tell(value: object) -> str:
    report = current().state(Report)
    return f"{report.post} {report.scores} {report.total} {report.best} {report.title}"


@step
async def write(text: str) -> str:
    report = current().state(Report)
    report.post = text
    assert report.post == text
    return text


async def state_of(flow: Any, value: Any) -> dict[str, Any]:
    """The state that readers see at the end."""
    async with in_memory() as app:
        handle = await app.start(flow(value))
        await handle.outcome()
        view = view_of(await all_of(handle))
        assert view.state is not None
        return {name: read(held, text_of).decode() for name, held in view.state.fields.items()}


async def failure_of(flow: Any, value: Any) -> Any:
    async with in_memory() as app:
        with pytest.raises(RunFailed) as raised:
            await app.run(flow(value))
    return raised.value.failure


# --- what is read and written


async def test_steps_share_a_state() -> None:
    flow = chain(write).then(tell).with_state(Report)
    assert await flow("news") == "news [] 0 None "


async def test_steps_side_by_side_contribute_and_the_next_sees_it() -> None:
    flow = chain(map_each(score)).then(tell).with_state(Report)
    assert await flow([1, 2, 4]) == "None [0.5, 1.0, 2.0] 7 4.0 "


async def test_a_view_is_of_its_step_alone() -> None:
    @step
    async def first(text: str) -> str:
        current().state(Report).title = text
        return current().state(Report).title

    @step
    async def second(text: str) -> str:
        before = current().state(Report).title
        current().state(Report).title = text.upper()
        return before

    flow = chain(parallel(first, second)).then(tell).with_state(Report)
    assert await flow("a") == "None [] 0 None A"
    assert await parallel(first, second).with_state(Report)("a") == ("a", "")


async def test_a_failed_attempt_leaves_nothing() -> None:
    @step(retry=2)
    async def flaky(value: int) -> int:
        add(current().to(Report).total, 1)
        if current().attempt == 1:
            raise ValueError("no")
        return value

    assert (await state_of(chain(flaky).with_state(Report), 1))["total"] == "1"


async def test_a_run_that_fails_keeps_what_was_written() -> None:
    @step
    async def fails(text: str) -> str:
        current().state(Report).title = text
        raise ValueError("no")

    assert await state_of(chain(write).then(fails).with_state(Report), "a") == {
        "post": '"a"',
        "scores": "[]",
        "total": "0",
        "best": "null",
        "title": '""',
    }


async def test_conditions_read_the_state() -> None:
    def enough(value: int) -> bool:
        return current().state(Report).total >= 5

    flow = chain(repeat(score, until=enough, at_most=9)).then(branch(enough, tell, score)).with_state(Report)
    assert await flow(2) == "None [1.0, 1.0, 1.0] 6 2.0 "


async def test_a_condition_cannot_write() -> None:
    def bad(value: int) -> bool:
        current().state(Report).post = "x"
        return True

    found = await failure_of(repeat(score, until=bad, at_most=2).with_state(Report), 1)
    assert (found.code, "Report.post cannot be written by a condition" in found.message) == ("usage", True)


async def test_what_a_condition_knows_of_itself() -> None:
    seen: list[Any] = []

    def look(value: int) -> bool:
        here = current()
        here.progress(1)
        seen.extend((here.path, here.attempt, here.deadline, here.cancelled, here.workflow, here.idempotency_key))
        with pytest.raises(StopIteration):
            here.call(score, 1).send(None)
        return True

    async with in_memory() as app:
        with pytest.raises(RunFailed, match="condition cannot call"):
            await app.run(repeat(score, until=look, at_most=2).with_state(Report)(1))
    assert seen[:-1] == ["", 1, None, False, "repeat"]


# --- graphs


def graph() -> Any:
    g = Graph("report", input=int, state=Report)
    one = g.add(score(g.input))
    other = g.add(score(g.input))
    g.state.title = "fixed"
    written = g.add(write("text"), after=[one])
    g.state.title = written.out
    add(g.state.total, one.out)
    append(g.state.scores, 9.0)
    said = g.add(tell(g.state.scores), after=[one, other, written])
    return g.returns((said.out, g.state.total, g.state.title))


async def test_a_graph_reads_and_writes_its_state() -> None:
    assert await graph()(4) == ("text [2.0, 2.0, 9.0] 8 4.0 ", 12, "text")


async def test_conditions_of_a_graph_read_the_state() -> None:
    g = Graph("g", input=int, state=Report)
    one = g.add(score(g.input))
    left = g.add(write("big"), when=g.state.total > 5, after=[one])
    right = g.add(write("small"), unless=g.state.total > 5, after=[one])
    flow = g.returns(g.first(left, right).out)
    assert [await flow(value) for value in (5, 6)] == ["small", "big"]


async def test_nodes_map_over_the_state() -> None:
    class Pages(TypedDict, total=False):
        urls: list[str]

    @step
    async def find(topic: str) -> list[str]:
        return [topic, topic.upper()]

    @step
    async def size(url: str) -> int:
        return len(url)

    g = Graph("g", input=str, state=Pages)
    g.state["urls"] = g.add(find(g.input)).out
    sizes = g.map(size, g.state["urls"])
    assert await g.returns(sizes.out)("ab") == [2, 2]


async def test_nodes_that_do_not_wait_for_each_other_may_not_replace_one_field() -> None:
    g = Graph("g", input=str, state=Report)
    a = g.add(write(g.input), name="a")
    b = g.add(write(g.input), name="b")
    found = await failure_of(g.returns((a.out, b.out)), "x")
    assert found.code == "state_conflict"
    assert "Report.post was replaced by branches that do not see each other: a, b" in found.message
    h = Graph("h", input=str, state=Report, conflicts="last_write")
    a = h.add(write(h.input), name="a")
    b = h.add(write("last"), name="b")
    assert (await state_of(h.returns((a.out, b.out)), "x"))["post"] == '"last"'


def test_what_a_graph_cannot_write_is_said_where_it_is_written() -> None:
    g = Graph("g", input=int, state=Report)
    one = g.add(score(g.input))
    g.state.psot = one.out  # type: ignore[attr-defined]
    append(g.state.total, 1)  # type: ignore[arg-type]
    g.state.post = one.out  # type: ignore[assignment]
    g.state.post = score(1)  # type: ignore[assignment]
    with pytest.raises(InvalidWorkflow) as caught:
        g.returns(one.out)
    advice = "declare it in the annotation of the field; a reducer of your own is called in a step"
    assert [str(problem) for problem in caught.value.problems] == [
        "g/state.psot: Report has no field 'psot', it has post, scores, total, best, title [no_state]",
        f"g/state.total: has add: it cannot be written by append in a graph ({advice}) [usage]",
        "g/state.post: takes str | None as post, is given int (score) [type_mismatch]",
        "g/state.post#2: is given the call <call score(1)>, not its value [type_mismatch]",
    ]
    plain = Graph("plain", input=int)
    assert repr(plain.state) == "<state of plain>"
    plain.state.x = 1  # type: ignore[attr-defined]
    with pytest.raises(RipresaError, match="has no state") as refused:
        plain.returns(plain.input)
    assert (refused.value.code, refused.value.where) == ("no_state", "plain/state.x")
    with pytest.raises(RipresaError, match="needs a field of the state"):
        append(plain.input, 1)  # type: ignore[arg-type]
    assert not hasattr(g.state, "__wrapped__")


# --- what is refused


async def test_a_bad_value_is_refused_where_it_is_assigned() -> None:
    @step
    async def bad(value: int) -> int:
        with pytest.raises(InvalidValue, match=r"bad: Report.post: .*string") as raised:
            current().state(Report).post = 3  # type: ignore[assignment]
        assert raised.value.code == "invalid_field"
        append(current().to(Report).scores, "x")  # type: ignore[misc]
        return value

    found = await failure_of(chain(bad).with_state(Report), 1)
    assert found.code == "invalid_field"
    assert found.message.startswith("bad: Report.scores") or "number" in found.message


async def test_the_constraints_of_a_model_hold_for_each_write() -> None:
    class Limits(BaseModel):
        share: float = Field(default=0.5, ge=0, le=1)
        names: Annotated[set[str], union] = Field(default_factory=set)

    @step
    async def halve(value: int) -> int:
        limits = current().state(Limits)
        limits.share /= 2
        union(current().to(Limits).names, {"a"})
        with pytest.raises(InvalidValue, match=r"Limits\.share"):
            limits.share = 1.5
        return value

    assert await state_of(chain(halve).then(halve.with_(name="again")).with_state(Limits), 1) == {
        "share": "0.125",
        "names": '["a"]',
    }


async def test_a_value_that_is_changed_in_place_is_an_error_not_a_loss() -> None:
    @step
    async def careless(value: int) -> int:
        current().state(Report).scores.append(1.0)
        return value

    found = await failure_of(chain(careless).with_state(Report), 1)
    assert (found.code, "Report.scores was changed in place" in found.message) == ("usage", True)


async def test_only_the_declared_reducer_may_be_used() -> None:
    @step
    async def wrong(value: int) -> int:
        extend(current().to(Report).scores, [1.0])
        return value

    @step
    async def none(value: int) -> int:
        add(current().to(Report).title, 1)  # type: ignore[type-var]
        return value

    assert (
        "Report.scores has the reducer append, not extend"
        in (await failure_of(chain(wrong).with_state(Report), 1)).message
    )
    assert "Report.title has no reducer, not add" in (await failure_of(chain(none).with_state(Report), 1)).message


async def test_a_state_that_is_not_there_is_said() -> None:
    class Other(BaseModel):
        pass

    @step
    async def other(value: int) -> int:
        current().state(Other)
        return value

    found = await failure_of(chain(other).with_state(Report), 1)
    assert (found.code, "the state here is Report, not Other" in found.message) == ("no_state", True)
    assert (await failure_of(chain(score), 1)).code == "no_state"
    with pytest.raises(RipresaError, match="outside a run"):
        await score(1)
    with pytest.raises(RipresaError, match="outside a run"):
        await tell(1)
    g = Graph("g", input=int, state=Report)
    said = g.add(tell(g.state.total))
    assert await g.returns(said.out)(1) == "None [] 0 None "


async def test_a_field_that_was_never_set_has_no_value() -> None:
    class Found(TypedDict, total=False):
        urls: Annotated[list[str], extend]
        seen: Annotated[dict[str, int], merge]
        least: Annotated[int, least]

    @step
    async def look(value: str) -> str:
        found, to = current().state(Found), current().to(Found)
        assert "urls" not in found
        assert repr(found) == "<state Found>"
        assert repr(to) == "<fields of Found>"
        assert not hasattr(found, "__wrapped__")
        assert not hasattr(to, "__wrapped__")
        with pytest.raises(RipresaError, match=r"Found\.urls was never set"):
            found["urls"]
        with pytest.raises(AttributeError, match="Found has no field 'x'"):
            found["x"]  # type: ignore[typeddict-item]
        extend(to["urls"], [value])
        merge(to["seen"], {value: 1})
        least(to["least"], 4)
        found["least"] = 3
        assert found["urls"] == [value]
        return value

    assert await state_of(chain(look).with_state(Found), "a") == {
        "urls": '["a"]',
        "seen": '{"a":1}',
        "least": "3",
    }


def test_a_class_that_can_be_no_state_is_refused_with_all_its_faults() -> None:
    @dataclass
    class Bad:
        a: Annotated[int, append]
        b: Annotated[str, add]
        c: Annotated[int, add] = 0

    with pytest.raises(InvalidConfig, match=r"a has the reducer append, which takes list\[Any\], not int; b has"):
        chain(tell).with_state(Bad)
    for kind in (int, Report(), "Report"):
        with pytest.raises(InvalidConfig, match="must be a pydantic model, a dataclass or a TypedDict"):
            chain(tell).with_state(kind)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="conflicts is 'never'"):
        chain(tell).with_state(Report, conflicts="never")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="conflicts is 'never'"):
        Graph("g", input=int, state=Report, conflicts="never")  # type: ignore[call-overload]
    assert repr(append) == "append"


# --- a reducer of one's own


@reducer
def longer(value: str | None, operand: str) -> str:
    return max(value or "", operand, key=len)


@dataclass
class Words:
    word: Annotated[str, longer] = ""


async def test_a_reducer_of_ones_own_is_called_once_and_what_it_made_is_recorded() -> None:
    @step
    async def offer(word: str) -> str:
        longer(current().to(Words).word, word)
        return current().state(Words).word

    async with in_memory() as app:
        handle = await app.start(chain(offer).then(offer).with_state(Words)("abc"))
        assert await handle.result() == "abc"
        writes = [item.event.writes for item in await all_of(handle) if isinstance(item.event, StepCompleted)]
    assert [(w.op, w.value, w.operand) for found in writes for w in found] == [("custom", b'"abc"', b'"abc"')] * 2
    with pytest.raises(InvalidConfig, match="takes"):
        reducer(lambda: 1)  # type: ignore[arg-type, misc]


@reducer
def joined(value: str, operand: str) -> str:
    return f"{value}{operand}"


@dataclass
class Line:
    text: Annotated[str, joined] = ">"


@step
async def speak(word: str) -> str:
    joined(current().to(Line).text, word)
    return current().state(Line).text


@pytest.mark.parametrize("policy", [{}, {"on_error": "fail_slow"}])
async def test_a_reducer_of_ones_own_merges_what_stands_side_by_side(policy: dict[str, Any]) -> None:
    flow = chain(map_each(map_each(speak), **policy)).with_state(Line)
    async with in_memory() as app:
        handle = await app.start(flow([["a", "b"], ["c"], ["d", "e"]]))
        assert await handle.result() == [[">a", ">b"], [">c"], [">d", ">e"]]
        assert await handle.state(Line) == Line(">abcde")
        merged = [item.event.writes for item in await all_of(handle) if isinstance(item.event, StateMerged)]
    assert [(w.field, w.op, w.value) for found in merged for w in found] == [
        ("text", "custom", b'">ab"'),
        ("text", "custom", b'">de"'),
        ("text", "custom", b'">abcde"'),
    ]


async def test_a_reducer_of_ones_own_merges_what_a_node_of_a_graph_waited_for() -> None:
    g = Graph("g", input=str, state=Line)
    one, two = g.add(speak("a")), g.add(speak("b"))
    three = g.add(speak("c"), after=[one, two])
    g.add(speak("d"))
    flow = g.returns(three.out)
    async with in_memory() as app:
        handle = await app.start(flow("x"))
        assert await handle.result() == ">abc"
        assert await handle.state(Line) == Line(">abcd")


async def test_a_reducer_that_raises_at_a_join_fails_the_fork() -> None:
    @reducer
    def fragile(value: str, operand: str) -> str:
        if value:
            raise ValueError("no more")
        return operand

    @dataclass
    class Once:
        text: Annotated[str, fragile] = ""

    @step
    async def say(word: str) -> None:
        fragile(current().to(Once).text, word)

    with pytest.raises(ValueError, match="no more"):
        await chain(map_each(say)).with_state(Once)(["a", "b"])


async def test_a_replaced_field_is_what_the_reducer_goes_on_from_where_the_last_one_has_it() -> None:
    @dataclass
    class Last:
        text: Annotated[str, joined, last_write] = ">"

    @step
    async def either(word: str) -> None:
        if word.isupper():
            current().state(Last).text = word
        else:
            joined(current().to(Last).text, word)

    flow = chain(map_each(either)).with_state(Last)
    async with in_memory() as app:
        for words, expected in (("abC", "C"), ("aBc", "Bc"), ("Abc", "Abc"), ("AB", "B")):
            handle = await app.start(flow(list(words)))
            await handle.result()
            assert await handle.state(Last) == Last(expected)


def test_a_reducer_of_ones_own_must_fit_its_field() -> None:
    @dataclass
    class Bad:
        n: Annotated[int, longer] = 0

    with pytest.raises(InvalidConfig, match="n has the reducer longer, which takes str"):
        chain(tell).with_state(Bad)


# --- what it costs, and what survives


async def test_a_step_costs_what_it_wrote_and_nothing_without_a_state() -> None:
    big = "x" * 2 * LARGE

    @step
    async def grow(value: int) -> int:
        append(current().to(Report).scores, 1.0)
        return value

    async with in_memory() as app:
        handle = await app.start(chain(write).with_state(Report)(big))
        await handle.result()
        done = [item.event for item in await all_of(handle) if isinstance(item.event, StepCompleted)]
        assert len(text_of(done[0].writes[0].value)) < 100  # by reference
        many = await app.start(chain(map_each(grow)).with_state(Report)([1] * 50))
        await many.result()
        changed = [item.event for item in await all_of(many) if isinstance(item.event, StateChanged)]
        assert [len(event.writes) for event in changed] == [50]


async def test_a_run_that_is_taken_up_goes_on_with_its_state(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'runs.db'}"
    broken = True

    @step
    async def fails(value: Any) -> Any:
        if broken:
            raise ValueError("not yet")
        return value

    flow = chain(map_each(score)).then(fails).then(tell).with_state(Report)
    async with App(store) as app:
        handle = await app.start(flow([2, 4]), id="r")
        with pytest.raises(RunFailed):
            await handle.result()
    broken = False
    async with App(store) as app:
        resumed = await app.resume("r", flow)
        assert await resumed.result() == "None [1.0, 2.0] 6 4.0 "


async def test_conditions_that_are_data_read_the_state() -> None:
    from ripresa import Condition

    g = Graph("g", input=int, state=Report)
    one = g.add(score(g.input))
    left = g.add(write("big"), when=Condition.equals("state.total", 6), after=[one])
    right = g.add(write("small"), unless=Condition.equals("state.total", 6), after=[one])
    strange = g.add(write("never"), when=Condition.exists("state.nothing") | Condition.exists("session.x"), after=[one])
    flow = g.returns(g.first(strange, left, right).out)
    assert [await flow(value) for value in (5, 6)] == ["small", "big"]
    seen = repeat(score, until=Condition.equals("state.total", 4) & Condition.succeeded("score"), at_most=9)
    assert await seen.with_state(Report)(2) == 2


@dataclass
class Counted:
    total: int = 0
    seen: int = 0


async def test_a_journaled_call_reads_and_writes_the_state_under_the_limits_of_its_run() -> None:
    async def doubled() -> int:
        state = current().state(Counted)
        state.total = 2 * state.total
        return state.total

    @step
    async def calls(value: int) -> int:
        current().state(Counted).total = value
        found = await current().call(doubled)
        state = current().state(Counted)
        state.seen = state.total + state.total
        return found

    async with in_memory() as app:
        handle = await app.start(chain(calls).with_state(Counted)(3), limits=Limits(steps=2))
        assert await handle.result() == 6
        assert await handle.state(Counted) == Counted(6, 12)


# --- hooks


@step
async def once(value: int) -> int:
    add(current().to(Report).total, value)
    if current().attempt > 1:
        raise ValueError("no")
    return value


@workflow
async def scored(ctx: Context[Report], value: int) -> int:
    return await once(value)


@workflow
async def kept(ctx: Context[Report], value: int) -> int:
    return await score(value)


def in_graph(node: Any) -> Any:
    graph = Graph("graph", input=int, state=Report)
    return graph.returns(graph.add(node(graph.input)).out)


@pytest.mark.parametrize("flow", [chain(once).with_state(Report), in_graph(once), scored], ids=["chain", "graph", "fn"])
async def test_what_a_step_wrote_is_gone_when_it_is_done_again_and_a_hook_gives_its_result(flow: Any) -> None:
    @after("once")
    def again(asked: Any) -> Again | None:
        return Again() if asked.attempt == 1 else None

    @on_error("once")
    def instead(asked: Any) -> Replace:
        return Replace(0)

    async with in_memory(hooks=[again, instead]) as app:
        handle = await app.start(flow(5))
        assert await handle.result() == 0
        assert (await handle.state(Report)).total == 0


@pytest.mark.parametrize("flow", [chain(score).with_state(Report), in_graph(score), kept], ids=["chain", "graph", "fn"])
async def test_what_a_step_wrote_counts_when_a_hook_takes_its_result(flow: Any) -> None:
    @after("score")
    def other(asked: Any) -> Replace:
        return Replace(1)

    async with in_memory(hooks=[other]) as app:
        handle = await app.start(flow(5))
        assert await handle.result() == 1
        assert (await handle.state(Report)).total == 5
