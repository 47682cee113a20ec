"""The typed state of durable functions: fibers, joins, children, and what a rebuilt function sees."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from ripresa import App, Context, Retry, RipresaError, RunFailed, chain, current, step, workflow
from ripresa.errors import InvalidConfig, InvalidValue
from ripresa.reducers import add, append, reducer
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory


@dataclass
class Report:
    post: str | None = None
    scores: Annotated[list[float], append] = field(default_factory=list[float])
    total: Annotated[int, add] = 0


@step
async def score(value: int) -> int:
    append(current().to(Report).scores, float(value))
    add(current().to(Report).total, value)
    return current().state(Report).total


@step
async def post(text: str) -> str:
    before = current().state(Report).post
    current().state(Report).post = text
    return f"{before}"


@step
async def fails(value: int) -> int:
    add(current().to(Report).total, 1000)
    raise ValueError(value)


async def outcome(flow: Any, *args: Any, **options: Any) -> tuple[Any, Report]:
    async with in_memory() as app:
        handle = await app.start(flow(*args), **options)
        result = await handle.outcome()
        return result.value if result.error is None else result.error, await handle.state(Report)


async def test_a_function_and_its_calls_share_a_state() -> None:
    @workflow
    async def publish(ctx: Context[Report], text: str) -> list[Any]:
        assert ctx.state.post is None
        ctx.state.post = "draft"
        before = await post(text)
        add(ctx.to.total, 5)
        seen = await score(3)
        ctx.state.total += 100
        return [before, ctx.state.post, seen, ctx.state.total]

    value, state = await outcome(publish, "final")
    assert value == ["draft", "final", 8, 108]
    assert state == Report("final", [3.0], 108)


async def test_things_side_by_side_are_apart_and_join_in_their_own_order() -> None:
    @workflow
    async def gathering(ctx: Context[Report], slow: bool) -> list[Any]:
        async def fiber(number: int) -> int:
            append(ctx.to.scores, float(number))
            if slow and number == 0:
                await ctx.sleep(0.001)
            await score(10 + number)
            assert ctx.state.scores[-2:] == [float(number), float(10 + number)]
            return ctx.state.total

        totals = await ctx.gather(fiber(0), score(5), fiber(1))
        mapped = await ctx.map(fiber, [2, 3])
        return [*totals, *mapped, *await ctx.map(score, [7, 8])]

    expected = Report(None, [0.0, 10.0, 5.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0, 7.0, 8.0], 66)
    for slow in (False, True):
        value, state = await outcome(gathering, slow)
        assert value == [10, 5, 11, 38, 39, 58, 59]
        assert state == expected


async def test_fibers_in_fibers_join_from_the_inside_out() -> None:
    @workflow
    async def nested(ctx: Context[Report]) -> list[float]:
        async def inner(number: int) -> None:
            append(ctx.to.scores, float(number))
            await score(number)

        async def outer(number: int) -> list[float]:
            append(ctx.to.scores, float(number))
            await ctx.gather(inner(number + 1), inner(number + 2))
            return ctx.state.scores

        first, _ = await ctx.gather(outer(10), outer(20))
        return first

    value, state = await outcome(nested)
    assert value == [10.0, 11.0, 11.0, 12.0, 12.0]
    assert state.scores == [10.0, 11.0, 11.0, 12.0, 12.0, 20.0, 21.0, 21.0, 22.0, 22.0]


async def test_a_loser_of_a_race_and_a_failed_call_leave_nothing() -> None:
    @workflow
    async def racing(ctx: Context[Report]) -> int:
        async def slow() -> int:
            append(ctx.to.scores, 1.0)
            await ctx.sleep(1000)
            return 0

        await ctx.race(slow(), score(5))
        with pytest.raises(ValueError, match="7"):
            await ctx.gather(score(6), fails(7))
        with pytest.raises(ValueError, match="8"):
            await fails(8)
        return ctx.state.total

    assert await outcome(racing) == (5, Report(None, [5.0], 5))


async def test_a_conflict_is_raised_where_things_are_joined_and_can_be_caught() -> None:
    @workflow
    async def at_odds(ctx: Context[Report]) -> str:
        with pytest.raises(RipresaError) as raised:
            await ctx.gather(post("a"), post("b"))
        assert raised.value.code == "state_conflict"
        return raised.value.message

    value, state = await outcome(at_odds)
    assert "Report.post was replaced by branches that do not see each other: post, post#2" in value
    assert state.post is None

    @workflow(conflicts="last_write")
    async def in_order(ctx: Context[Report]) -> str | None:
        await ctx.gather(post("a"), post("b"))
        return ctx.state.post

    assert await outcome(in_order) == ("b", Report("b"))


async def test_a_child_has_a_state_of_its_own_unless_it_shares() -> None:
    @workflow
    async def own(ctx: Context[Report], value: int) -> int:
        await score(value)
        return ctx.state.total

    @workflow(shares_state=True)
    async def sharing(ctx: Context[Report], value: int) -> int:
        await score(value)
        return ctx.state.total

    @workflow
    async def blind(ctx: Context, value: int) -> str:
        try:
            return str(await score(value))
        except RipresaError as error:
            return error.code

    @workflow
    async def parent(ctx: Context[Report]) -> list[Any]:
        await score(1)
        found: list[Any] = [await own(10), await sharing(100), await blind(1000), ctx.state.total]
        await ctx.gather(sharing(2), sharing(3))
        return found

    value, state = await outcome(parent)
    assert value == [10, 101, "no_state", 101]
    assert state.total == 106
    assert (await outcome(sharing, 4))[0] == 4
    assert await chain(own).with_state(Report)(3) == 3


async def test_a_function_without_a_state_has_none() -> None:
    @workflow
    async def none(ctx: Context) -> None:
        ctx.state  # noqa: B018

    with pytest.raises(RipresaError, match="'none' declares no state"):
        await none()
    with pytest.raises(InvalidConfig, match="has no state to begin with"):
        async with in_memory() as app:
            await app.start(none(), state={"x": 1})
    with pytest.raises(InvalidConfig, match="conflicts is 'never'"):
        workflow(conflicts="never")(none.fn)  # type: ignore[call-overload]
    async with in_memory() as app:
        handle = await app.start(none())
        await handle.outcome()
        with pytest.raises(RipresaError, match="has no state"):
            await handle.state()


async def test_a_run_may_be_given_what_its_state_begins_with() -> None:
    @workflow
    async def give(ctx: Context[Report]) -> int:
        return await score(1)

    assert await outcome(give, state=Report("x", [9.0], 5)) == (6, Report("x", [9.0, 1.0], 6))
    assert await outcome(give, state={"total": 2}) == (3, Report(None, [1.0], 3))
    for wrong, message in (({"totl": 1}, "no field totl"), ({"total": "x"}, "Report.total"), (3, "must be a Report")):
        with pytest.raises(InvalidValue, match=message) as raised:
            await outcome(give, state=wrong)
        assert raised.value.code == "invalid_field"


async def test_a_value_that_a_function_changes_in_place_is_an_error() -> None:
    @workflow
    async def careless(ctx: Context[Report]) -> int:
        ctx.state.scores.append(1.0)
        return await score(1)

    error, _ = await outcome(careless)
    assert isinstance(error, RunFailed)
    assert "Report.scores was changed in place" in str(error)


async def test_a_function_that_begins_anew_keeps_its_state() -> None:
    @workflow
    async def again(ctx: Context[Report], left: int) -> int:
        await score(left)
        if left:
            add(ctx.to.total, 100)
            ctx.restart(left - 1)
        return ctx.state.total

    assert await outcome(again, 2) == (203, Report(None, [2.0, 1.0, 0.0], 203))


async def test_a_reopened_function_sees_what_it_saw_and_writes_once() -> None:
    broken = True

    @step
    async def flaky(value: int) -> int:
        if broken:
            raise ValueError("not yet")
        add(current().to(Report).total, value)
        return value

    @workflow
    async def repaired(ctx: Context[Report]) -> list[Any]:
        ctx.state.total += 1

        async def fiber(number: int) -> int:
            add(ctx.to.total, number)
            await flaky(number)
            return ctx.state.total

        await score(10)
        try:
            found = list(await ctx.gather(fiber(100), fiber(200)))
        except ValueError:
            ctx.state.post = "sorry"
            add(ctx.to.total, 5000)
            await post("amends")
            raise
        return [*found, ctx.state.total]

    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(repaired(), id="r")
        with pytest.raises(RunFailed):
            await handle.result()
        assert await handle.state(Report) == Report("amends", [10.0], 5011)
    broken = False
    async with in_memory(memory) as app:
        resumed = await app.resume("r", repaired)
        assert await resumed.result() == [211, 411, 611]
        assert await resumed.state(Report) == Report(None, [10.0], 611)


async def test_the_view_of_another_process_is_the_same(tmp_path: Path) -> None:
    @workflow
    async def publish(ctx: Context[Report]) -> int:
        ctx.state.post = "x" * 10_000
        await ctx.gather(score(1), score(2))
        return ctx.state.total

    store = f"sqlite:{tmp_path / 'runs.db'}"
    async with App(store) as app:
        await app.run(publish(), id="r")
    async with App(store) as app:
        handle = await app.handle("r")
        assert await handle.state(Report) == Report("x" * 10_000, [1.0, 2.0], 3)
        assert (await handle.state())["total"] == 3


@reducer
def longer(value: str, operand: str) -> str:
    return max(value, operand, key=len)


@dataclass
class Words:
    word: Annotated[str, longer] = ""


async def test_a_reducer_of_ones_own_merges_what_stands_side_by_side() -> None:
    @step
    async def offer(word: str) -> str:
        longer(current().to(Words).word, word)
        return current().state(Words).word

    @workflow
    async def choosing(ctx: Context[Words]) -> str:
        await offer("ab")
        await ctx.gather(offer("abcd"), offer("x"), offer("abc"))
        return ctx.state.word

    async with in_memory() as app:
        assert await app.run(choosing()) == "abcd"


# --- scopes of compensation


async def test_a_state_goes_back_with_the_scope_of_compensation_that_failed() -> None:
    taken: list[int] = []

    @step(effect="reversible")
    async def take(number: int) -> int:
        append(current().to(Report).scores, float(number))
        return number

    @take.undo
    async def give_back(number: int) -> None:
        taken.append(number)

    @step
    async def fail() -> None:
        raise ValueError("no")

    @workflow
    async def trip(ctx: Context[Report], undoes: bool) -> list[object]:
        ctx.state.post = "before"
        append(ctx.to.scores, 1.0)
        try:
            async with ctx.saga():
                ctx.state.post = "inside"
                if undoes:
                    await ctx.gather(take(2), take(3))
                await fail()
        except Exception:
            pass
        found: list[object] = [ctx.state.post, list(ctx.state.scores)]
        append(ctx.to.scores, 4.0)
        await take(5)
        async with ctx.saga():
            ctx.state.post = "kept"
        return [*found, ctx.state.post, list(ctx.state.scores)]

    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(trip(True), id="r")
        assert await handle.result() == ["before", [1.0], "kept", [1.0, 4.0, 5.0]]
        assert (await handle.state(Report)).scores == [1.0, 4.0, 5.0]
        assert sorted(taken) == [2, 3]
        assert await app.run(trip(False)) == ["before", [1.0], "kept", [1.0, 4.0, 5.0]]


async def test_a_scope_that_fails_in_a_fiber_takes_back_what_the_fiber_wrote() -> None:
    @workflow
    async def both(ctx: Context[Report]) -> str:
        async def tries(name: str) -> None:
            append(ctx.to.scores, 1.0)
            try:
                async with ctx.saga():
                    ctx.state.post = name
                    await score(5)
                    append(ctx.to.scores, 2.0)
                    raise ValueError(name)
            except ValueError:
                append(ctx.to.scores, 3.0)

        await ctx.gather(tries("a"), tries("b"))
        return f"{ctx.state.post} {ctx.state.scores} {ctx.state.total}"

    async with in_memory() as app:
        assert await app.run(both()) == "None [1.0, 3.0, 1.0, 3.0] 0"


async def test_what_a_journaled_call_wrote_is_written_by_the_attempt_that_is_handed_its_result() -> None:
    made: list[int] = []

    async def inner(number: int) -> int:
        append(current().to(Report).scores, float(number))
        return number

    async def outer(number: int) -> int:
        made.append(number)
        current().state(Report).post = f"n{number}"
        await current().call(inner, number)
        return number

    @step(retry=Retry(3, 0))
    async def works(number: int) -> str:
        await current().call(outer, 1)
        await current().call(outer, 2)
        append(current().to(Report).scores, 9.0)
        if current().attempt < 3:
            raise ValueError("again")
        return f"{current().state(Report).post} {current().state(Report).scores}"

    async with in_memory() as app:
        handle = await app.start(chain(works).with_state(Report)(0))
        assert await handle.result() == "n2 [1.0, 2.0, 9.0]"
        found = await handle.state(Report)
    assert made == [1, 2]
    assert (found.post, found.scores) == ("n2", [1.0, 2.0, 9.0])
