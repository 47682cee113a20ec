"""Interceptors and observers at the border: what they are handed, what they may answer, and how they are bounded."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ripresa import (
    Again,
    App,
    Breaker,
    Cancel,
    Context,
    Continue,
    Graph,
    Handoff,
    Hook,
    Narrow,
    Observed,
    Redirect,
    Replace,
    RunCancelled,
    RunFailed,
    Skip,
    Veto,
    after,
    before,
    best_effort,
    branch,
    case,
    chain,
    choose,
    fallback,
    for_range,
    intercept,
    map_each,
    observe,
    on_error,
    parallel,
    repeat,
    router,
    step,
    workflow,
)
from ripresa.core.codec import EVENTS as RECORDED
from ripresa.core.events import FanOutEnded, HookFailed, HooksSet, Intercepted, RunStarted
from ripresa.core.points import ANSWERS, EVENTS
from ripresa.errors import InvalidConfig, RipresaError
from ripresa.stores.memory import Memory, MemoryStore

from .stage import Counting, Tally, in_memory, journal_of, kinds, leftovers, on_clock, turns


class Page(BaseModel):
    text: str


@step
async def fetch(url: str) -> Page:
    return Page(text=url)


@step
async def size(page: Page) -> int:
    return len(page.text)


@step
def add(a: int, b: int = 1) -> int:
    return a + b


@step
async def fail(value: Any) -> int:
    raise ValueError(f"no {value}")


@step
async def double(value: int) -> int:
    return value * 2


flow = chain(fetch).then(size)


async def ran(call: Any, *hooks: Hook) -> tuple[Any, list[Intercepted]]:
    """The result of a run with these hooks, and what they answered."""
    async with in_memory(hooks=hooks) as app:
        handle = await app.start(call)
        result = await handle.result()
        return result, [event for event in await journal_of(handle) if isinstance(event, Intercepted)]


async def failed(call: Any, *hooks: Hook) -> RunFailed:
    async with in_memory(hooks=hooks) as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(call)
        return caught.value


# --- steps


@pytest.mark.parametrize("awaits", [False, True])
async def test_an_input_is_replaced_by_a_value_of_the_steps_type(awaits: bool) -> None:
    if awaits:

        @before("fetch")
        async def longer(asked: Any) -> Any:
            await asyncio.sleep(0)
            return Replace(asked.input + "!")
    else:

        @before("fetch")
        def longer(asked: Any) -> Any:
            return Replace(asked.input + "!")

    result, answers = await ran(flow("abc"), longer)
    assert result == 4
    assert [(one.hook, one.answer, one.value) for one in answers] == [("longer", "replace", b'"abc!"')]


async def test_what_a_hook_is_handed_is_its_own() -> None:
    seen: list[Any] = []

    @before("size", priority=2)
    def spoil(asked: Any) -> None:
        seen.append((asked.workflow, asked.path, asked.name, asked.point))
        asked.input.text = "spoiled"

    @before("size")
    def look(asked: Any) -> None:
        seen.append(asked.arguments)

    assert (await ran(flow("abc"), look, spoil, before("*etch")(lambda _: None)))[0] == 3
    assert seen == [("chain", "size", "size", "before"), {"page": Page(text="abc")}]


async def test_arguments_of_a_step_with_several_are_replaced_by_name() -> None:
    @before("add")
    def more(asked: Any) -> Replace:
        return Replace({**asked.input, "b": 10})

    assert (await ran(add(1, 2), more))[0] == 11

    @before("add")
    def bad(asked: Any) -> Replace:
        return Replace([1, 2])

    result, answers = await ran(add(1, 2), bad)
    assert (result, answers[0].answer) == (3, "continue")


async def test_each_hook_sees_what_the_one_before_it_replaced() -> None:
    more = [before("double", name=f"h{n}", priority=-n)(lambda asked: Replace(asked.input + 1)) for n in range(3)]
    result, answers = await ran(double(1), *more)
    assert (result, answers[0].hook) == (8, "h0, h1, h2")


async def test_a_step_of_a_graph_is_given_other_arguments() -> None:
    graph = Graph("g", input=int)
    total = graph.returns(graph.add(add(graph.input, graph.input)).out)

    @before("add")
    def other(asked: Any) -> Replace:
        assert asked.arguments == {"a": 2, "b": 2}
        return Replace({"a": 5, "b": asked.arguments["b"]})

    assert (await ran(total(2), other))[0] == 7


async def test_a_step_is_left_out_and_its_result_has_its_type() -> None:
    @before("fetch")
    def cached(asked: Any) -> Skip:
        return Skip(Page(text="12345"))

    assert (await ran(flow("abc"), cached))[0] == 5


async def test_a_value_of_another_type_is_a_failure_of_the_hook() -> None:
    @before("fetch", critical=True)
    def bad(asked: Any) -> Skip:
        return Skip(7)

    error = await failed(flow("abc"), bad)
    assert "hook 'bad' failed" in str(error)
    assert error.failure.code == "hook_failed"
    assert error.failure.path == "fetch"


async def test_a_result_and_an_error_are_replaced() -> None:
    @after("double")
    def more(asked: Any) -> Replace:
        return Replace(asked.output + asked.attempt)

    assert (await ran(double(2), more))[0] == 5

    @on_error
    def zero(asked: Any) -> Replace:
        assert (asked.failure.message, asked.retrying) == ("no 2", False)
        return Replace(0)

    assert (await ran(fail(2), zero))[0] == 0


async def test_a_step_is_tried_again_as_often_as_the_hook_allows() -> None:
    seen: list[int] = []

    @on_error("fail")
    def again(asked: Any) -> Again:
        seen.append(asked.attempt)
        return Again(at_most=3)

    await failed(fail(1), again)
    assert seen == [1, 2, 3]


async def test_a_step_is_tried_again_after_a_while() -> None:
    @after("double")
    def later(asked: Any) -> Again | None:
        return Again("1 minute") if asked.attempt == 1 else None

    async with on_clock() as (app, clock):
        app.hooks.add(later)
        handle = await app.start(double(1))
        await turns(20)
        clock.advance(timedelta(seconds=61))
        assert await handle.result() == 2


async def test_a_run_is_vetoed_or_cancelled_by_a_step() -> None:
    @before("fetch")
    def never(asked: Any) -> Veto:
        return Veto("not here")

    error = await failed(flow("abc"), never)
    assert (error.failure.code, error.failure.message) == ("vetoed", "not here")

    @before("fetch")
    def stop(asked: Any) -> Cancel:
        return Cancel("enough")

    async with in_memory(hooks=[stop]) as app:
        with pytest.raises(RunCancelled, match="enough"):
            await app.run(flow("abc"))


async def test_a_veto_is_not_retried_by_the_steps_own_policy() -> None:
    @before("fetch")
    def never(asked: Any) -> Veto:
        return Veto()

    async with in_memory(hooks=[never]) as app:
        with pytest.raises(RunFailed):
            await app.run(chain(fetch.with_(retry=3))("abc"))


# --- other points


async def test_a_run_begins_and_ends_with_other_values() -> None:
    @intercept("start")
    def longer(asked: Any) -> Replace:
        return Replace(asked.input + "!")

    @intercept("complete")
    async def more(asked: Any) -> Replace:
        return Replace(asked.output * 10)

    assert (await ran(flow("abc"), longer, more))[0] == 40


async def test_a_run_that_fails_completes_instead() -> None:
    @intercept("fail")
    def calm(asked: Any) -> Replace:
        assert asked.failure.path == "fail"
        return Replace(-1)

    result, _ = await ran(chain(double).then(fail)(1), calm)
    assert result == -1


async def test_a_value_is_replaced_between_two_stages() -> None:
    @intercept("stage")
    def shorter(asked: Any) -> Replace | None:
        assert asked.name
        return Replace(Page(text="1")) if asked.stage == "size" else None

    assert (await ran(flow("abc"), shorter))[0] == 1


async def test_a_branch_is_redirected_skipped_and_forbidden() -> None:
    chosen = branch(lambda n: n > 1, double, add, name="choice")

    def choose(answer: Any) -> Hook:
        @intercept("branch", "choice")
        def other(asked: Any) -> Any:
            assert (asked.choice, asked.choices, asked.input) == ("double", ("double", "add"), 5)
            return answer

        return other

    flow_ = chain(double).then(chosen)
    assert (await ran(chain(add).then(chosen)(4), choose(None)))[0] == 10
    assert (await ran(chain(add).then(chosen)(4), choose(Redirect("add"))))[0] == 6
    assert (await ran(chain(add).then(chosen)(4), choose(Skip(0))))[0] == 0
    assert (await failed(chain(add).then(chosen)(4), choose(Veto("no")))).failure.code == "vetoed"
    assert flow_.name


async def test_a_redirection_to_nowhere_is_a_failure_of_the_hook() -> None:
    @intercept("branch")
    def lost(asked: Any) -> Redirect:
        return Redirect("nowhere")

    async with in_memory(hooks=[lost]) as app:
        handle = await app.start(branch(lambda n: n > 1, double, add)(4))
        assert await handle.result() == 8
        (broken,) = [event for event in await journal_of(handle) if isinstance(event, HookFailed)]
        assert (broken.hook, broken.failure.code) == ("lost", "invalid_answer")


async def test_the_condition_of_a_graph_is_decided_otherwise() -> None:
    graph = Graph("g", input=int)
    first = graph.add(double(graph.input))
    graph_flow = graph.returns(graph.add(add(first.out), when=first.out > 100).out)

    @intercept("branch", "add")
    def run(asked: Any) -> Redirect:
        assert (asked.choice, asked.choices) == ("skip", ("run", "skip"))
        return Redirect("run")

    assert (await ran(graph_flow(2), run))[0] == 5


async def test_a_node_with_a_condition_is_left_out_or_stands_for_a_value() -> None:
    graph = Graph("g", input=int)
    first = graph.add(double(graph.input))
    maybe = graph.add(add(first.out), when=first.out > 0)
    graph_flow = graph.returns(graph.add(double(maybe.out)).out)

    async def left_out(answer: Skip) -> Any:
        return await ran(graph_flow(2), Hook("branch", lambda asked: answer, step="add"))

    assert (await left_out(Skip(7)))[0] == 14
    result, answers = await left_out(Skip())
    assert (result, answers[0].answer) == (None, "skip")
    result, answers = await left_out(Skip("seven"))
    assert (result, answers[0].answer) == (10, "continue")  # no value of the step's type


async def test_a_router_is_sent_elsewhere_and_a_choice_of_several_narrowed() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def other(answer: Any) -> Hook:
        def choose_(asked: Any) -> Any:
            seen.append((asked.choice, asked.choices))
            return answer

        return Hook("branch", choose_)

    @step
    async def text(n: int) -> str:
        return str(n)

    routing = router(until=str, at_most=3, name="desk")(case(int, text))
    assert (await ran(chain(double).then(routing)(4), other(None)))[0] == "8"
    assert seen[-1] == ("end", ("text", "end"))
    assert (await ran(chain(double).then(routing)(4), other(Skip("no"))))[0] == "no"
    several = choose(lambda _: ["double", "add"], double, add, name="some")
    assert (await ran(chain(double).then(several)(4), other(None)))[0] == [16, 9]
    assert seen[-1] == ("double, add", ("double", "add"))
    assert (await ran(chain(double).then(several)(4), other(Redirect("add"))))[0] == [9]
    assert (await ran(chain(double).then(several)(4), other(Skip([]))))[0] == []

    @intercept("branch", "desk")
    def astray(asked: Any) -> Redirect | None:
        return Redirect("end") if asked.choice == "text" else None

    result, answers = await ran(chain(double).then(routing)(4), astray)
    assert (result, answers[0].answer) == ("8", "continue")  # 8 is no result of this router


@step
async def sort(n: int) -> Handoff[int] | str:
    return Handoff("close", n, "small")


@step
async def close(n: int) -> Handoff[int] | str:
    return f"closed {n}"


@step
async def argue(n: int) -> Handoff[int] | str:
    return f"argued {n}"


@step
async def file(note: str) -> Handoff[int] | str:
    return f"filed {note}"


async def test_a_handoff_is_redirected_to_whoever_takes_what_is_handed_on() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def other(to: str) -> Hook:
        def choose_(asked: Any) -> Any:
            seen.append((asked.choice, asked.choices))
            return Redirect(to) if asked.choice == "close" else None

        return Hook("branch", choose_)

    desks: Any = router(until=str, at_most=4, name="desks")  # links of different inputs: not what the types promise
    routing = desks(sort, close, argue, file)
    result, answers = await ran(chain(double).then(routing)(2), other("argue"))
    assert result == "argued 4"
    assert (answers[0].answer, answers[0].detail) == ("redirect", "argue")
    assert seen[0] == ("close", ("sort", "close", "argue"))  # a note is text, and a handoff is no result
    assert seen[1][0] == "end"
    for nowhere in ("end", "file"):
        async with in_memory(hooks=[other(nowhere)]) as app:
            handle = await app.start(chain(routing)(4))
            assert await handle.result() == "closed 4"
            failed = [each.failure for each in await journal_of(handle) if isinstance(each, HookFailed)]
            assert [each.code for each in failed] == ["invalid_answer"]


async def test_the_result_of_handoffs_is_handed_on_instead_of_being_returned() -> None:
    @intercept("branch")
    def once_more(asked: Any) -> Redirect | None:
        if asked.choice == "end" and asked.input == "closed 2":
            assert asked.choices == ("file", "end")
            return Redirect("file")
        return None

    desks: Any = router(until=str, at_most=4, name="desks")  # links of different inputs: not what the types promise
    routing = desks(sort, close, argue, file)
    assert (await ran(chain(double).then(routing)(1), once_more))[0] == "filed closed 2"


async def test_the_nodes_of_a_graph_side_by_side_are_asked_about_told_of_and_summed_up() -> None:
    graph = Graph("pair", input=int)
    left = graph.add(double(graph.input))
    right = graph.add(add(graph.input), when=graph.input > 1)
    pair = graph.returns((left.out, right.out))
    seen: list[Any] = []
    told: list[str] = []

    def fork(asked: Any) -> Any:
        seen.append((asked.count, asked.window, asked.input))
        return Narrow(1)

    def taken(told_of: Any) -> None:
        told.append(f"{told_of.path}: {told_of.event.condition} {told_of.event.choice}")

    hooks = [Hook("fork", fork), Hook("join", lambda asked: Replace((asked.output[0], 0))), observe("branch")(taken)]
    async with in_memory(hooks=hooks) as app:
        handle = await app.start(chain(pair)(4))
        assert await handle.result() == (8, 0)
        found = (await handle.fan_outs())["pair"]
        assert list(found.branches) == ["double", "add"]
        assert found.summary == FanOutEnded("pair", 2, 0, 0)
    assert seen == [(2, 2, 4)]
    assert told == ["pair/add: input > 1 run"]


async def test_another_alternative_is_taken() -> None:
    @intercept("fallback")
    def last(asked: Any) -> Redirect:
        assert (asked.choice, asked.choices) == ("double", ("fail", "double", "add"))
        return Redirect("add")

    assert (await ran(fallback(fail, double, add)(4), last))[0] == 5


async def test_loops_are_asked_about_at_each_of_their_points() -> None:
    seen: list[tuple[str, Any, int]] = []

    def look(asked: Any) -> Any:
        seen.append((asked.point, asked.value, asked.index))
        if asked.point == "iterated" and asked.value > 4:
            return Redirect("end")
        return Replace(asked.value + 1) if asked.point == "loop_end" else None

    hooks = [Hook(point, look) for point in ("loop_start", "iteration", "iterated", "loop_end")]
    result, _ = await ran(repeat(double, until=lambda n: n > 100, at_most=9)(1), *hooks)
    assert result == 9
    assert seen == [
        ("loop_start", 1, 0),
        ("iteration", 1, 0),
        ("iterated", 2, 0),
        ("iteration", 2, 1),
        ("iterated", 4, 1),
        ("iteration", 4, 2),
        ("iterated", 8, 2),
        ("loop_end", 8, 3),
    ]


async def test_an_iteration_is_left_out() -> None:
    @step
    async def total(sum: int, n: int) -> int:
        return sum + n

    @intercept("iteration")
    def odd(asked: Any) -> Skip | None:
        return Skip() if asked.index == 1 else Skip(100) if asked.index == 2 else None

    assert (await ran(for_range(total, 0, 4)(0), odd))[0] == 103


async def test_a_fan_out_is_narrowed_and_its_results_replaced() -> None:
    tally = Tally(open=True)

    @step
    async def visit(n: int) -> int:
        await tally.visit()
        return n

    @intercept("fork")
    def narrow(asked: Any) -> Narrow:
        assert (asked.count, asked.window, asked.input) == (4, 4, [1, 2, 3, 4])
        return Narrow(2)

    @intercept("join")
    def reverse(asked: Any) -> Replace:
        return Replace(asked.output[::-1])

    result, _ = await ran(map_each(visit, concurrency=4)([1, 2, 3, 4]), narrow, reverse)
    assert (result, tally.most) == ([4, 3, 2, 1], 2)


async def test_steps_of_durable_functions_are_asked_about() -> None:
    @before("double")
    def more(asked: Any) -> Replace:
        return Replace(asked.input + 1)

    @workflow
    async def twice(ctx: Context, n: int) -> int:
        return sum(await ctx.gather(double(n), double(n))) + await chain(double)(n)

    assert (await ran(twice(1), more))[0] == 12


# --- where hooks stand


async def test_global_hooks_come_first_before_and_last_after() -> None:
    order: list[str] = []

    def noting(name: str, point: str, **options: Any) -> Hook:
        return Hook(point, lambda _: order.append(name), **options)

    hooked = double.with_(hooks=[noting("step", "before"), noting("step", "after")])
    flow_ = chain(hooked).with_hooks(noting("flow", "before"), noting("flow", "after"))
    hooks = [
        noting("low", "before", priority=-1),
        noting("named", "before", step="double", priority=-1),
        noting("global", "before"),
        noting("high", "before", priority=1),
        noting("mine", "before", workflow="chain"),
        noting("global", "after"),
        noting("named", "after", step="double"),
        noting("other", "before", workflow="another"),
    ]
    await ran(flow_(1), *hooks)
    assert order == [
        "high", "global", "low", "mine", "flow", "step", "named", "named", "step", "flow", "global",
    ]  # fmt: skip


async def test_hooks_of_a_flow_concern_what_is_inside_it_alone() -> None:
    seen: list[str] = []
    inner = chain(double).with_hooks(Hook("before", lambda asked: seen.append(asked.path)))
    await ran(chain(add).then(inner.named("inner")).then(double)(1))
    assert seen == ["inner/double"]


async def test_hooks_of_steps_and_flows_of_durable_functions_are_found_as_they_are_called() -> None:
    seen: list[str] = []
    look = Hook("before", lambda asked: seen.append(asked.path))
    hooked, inner = double.with_(hooks=[look]), chain(add).with_hooks(look)

    @workflow
    async def both(ctx: Context, n: int) -> int:
        await double(n)
        return await hooked(n) + await inner(n)

    async with in_memory() as app:
        handle = await app.start(both(1))
        assert await handle.result() == 4
        assert "double#2" in seen
        assert "chain/add" in seen
        assert "HooksSet" in kinds(await journal_of(handle))


async def test_hooks_of_a_durable_function_itself() -> None:
    seen: list[str] = []

    @workflow
    async def alone(ctx: Context, n: int) -> int:
        return await double(n)

    hooked = alone.with_hooks(Hook("before", lambda asked: seen.append(asked.path)))
    async with in_memory() as app:
        assert await app.run(hooked(1)) == 2
        assert await app.run(alone(1)) == 2
    assert seen == ["double"]


async def test_hooks_are_added_and_taken_away_while_a_run_is_under_way() -> None:
    tally = Tally()

    @step
    async def wait(n: int) -> int:
        await tally.visit()
        return n

    async with in_memory() as app:
        handle = await app.start(chain(wait).then(double).then(add)(1))
        await tally.reach(1)
        remove = app.hooks.add(before("double")(lambda asked: Replace(10)))
        gone = app.hooks.add(before("add")(lambda asked: Veto()))
        gone()
        gone()
        assert len(app.hooks) == 1
        tally.open()
        assert await handle.result() == 21
        remove()
        assert (await app.run(double(1))) == 2
        assert kinds(await journal_of(handle)).count("HooksSet") == 3


async def test_a_run_records_where_hooks_stand_and_one_without_hooks_nothing() -> None:
    async with in_memory() as app:
        handle = await app.start(double(1))
        await handle.result()
        started = (await journal_of(handle))[0]
        assert isinstance(started, RunStarted)
        assert started.hooks == ()
        app.hooks.add(before("double")(lambda asked: None), observe("stage")(lambda seen: None))
        handle = await app.start(double(1))
        await handle.result()
        started = (await journal_of(handle))[0]
        assert isinstance(started, RunStarted)
        assert started.hooks == ("before double", "observe:stage *")


async def test_a_nested_hook_is_recorded_by_the_names_below_it() -> None:
    inner = chain(double).with_hooks(Hook("before", lambda asked: None), Hook("branch", lambda asked: None))
    async with in_memory() as app:
        handle = await app.start(chain(add).then(inner.named("inner"))(1))
        await handle.result()
        started = (await journal_of(handle))[0]
        assert isinstance(started, RunStarted)
        assert started.hooks == ("before double", "before inner", "branch double", "branch inner")


# --- replay and resume


async def test_what_a_hook_answered_is_not_asked_again_when_the_run_is_resumed() -> None:
    memory, asked = Memory(), list[str]()

    @before
    async def look(event: Any) -> Replace:
        asked.append(event.path)
        return Replace(event.input * 10)

    tally = Tally()

    @step
    async def stuck(n: int) -> int:
        await tally.visit()
        return n

    two = chain(double).then(stuck)
    async with in_memory(memory, hooks=[look]) as app:
        handle = await app.start(two(1), id="r")
        await tally.reach(1)
    tally.open()
    async with in_memory(memory, hooks=[look], workflows=[two]) as app:
        handle = await app.resume("r")
        assert await handle.result() == 200
    assert asked == ["double", "stuck"]


async def test_a_hook_that_was_being_asked_is_asked_again() -> None:
    memory, tally = Memory(), Tally()

    @before
    async def slow(event: Any) -> Replace:
        await tally.visit()
        return Replace(5)

    async with in_memory(memory, hooks=[slow]) as app:
        await app.start(chain(double)(1), id="r")
        await tally.reach(1)
    assert tally.now == 0
    tally.open()
    async with in_memory(memory, hooks=[slow]) as app:
        handle = await app.resume("r", chain(double))
        assert await handle.result() == 10
    assert tally.entered == 2


async def test_a_run_that_waits_for_a_hook_goes_on_without_it_where_it_does_not_stand() -> None:
    memory, tally = Memory(), Tally()

    @before
    async def slow(event: Any) -> None:
        await tally.visit()

    async with in_memory(memory, hooks=[slow]) as app:
        await app.start(chain(double)(1), id="r")
        await tally.reach(1)
    async with in_memory(memory) as app:
        handle = await app.resume("r", chain(double))
        assert await handle.result() == 2
        events = await journal_of(handle)
        assert HooksSet in map(type, events)


async def test_the_answer_of_a_hook_that_waits_is_durable_before_the_step_runs() -> None:
    store: Any = Counting(MemoryStore())
    written: list[int] = []

    @step
    async def look(n: int) -> int:
        written.append(len(store.batches))
        return n

    async def ask(event: Any) -> None:
        await asyncio.sleep(0)

    for hooks, expected in (([], [1]), ([before(lambda event: None)], [1]), ([before(ask)], [2])):
        store.batches.clear()
        written.clear()
        async with App(store, hooks=hooks) as app:
            await app.run(look(1))
        assert written == expected


# --- bounds


async def test_a_hook_that_takes_too_long_is_left_out() -> None:
    @before(timeout=30)
    async def slow(event: Any) -> Veto:
        await asyncio.Event().wait()
        return Veto()

    async with on_clock() as (app, clock):
        app.hooks.add(slow)
        handle = await app.start(double(1))
        await turns(20)
        clock.advance(timedelta(seconds=31))
        assert await handle.result() == 2
        (broken,) = [event for event in await journal_of(handle) if isinstance(event, HookFailed)]
        assert (broken.failure.code, broken.failure.message) == ("timeout", "hook 'slow' took longer than 30.0 s")


async def test_a_plain_hook_with_a_timeout_runs_in_a_thread() -> None:
    def raising(event: Any) -> None:
        raise TimeoutError("its own")

    result, answers = await ran(double(1), before(timeout=30)(raising), before(timeout=30)(lambda _: Replace(4)))
    assert (result, answers[0].answer) == (8, "replace")

    async def later() -> Replace:
        return Replace(3)

    result, _ = await ran(double(1), before(timeout=30)(lambda _: later()))
    assert result == 6


async def test_a_hook_that_keeps_failing_is_left_out_for_a_while() -> None:
    calls: list[int] = []

    @before(breaker=Breaker(2, "1 minute"))
    def broken(event: Any) -> None:
        calls.append(event.input)
        if event.input < 7:
            raise ValueError

    async with on_clock() as (app, clock):
        app.hooks.add(broken)
        for n in range(5):
            await app.run(double(n))
        assert calls == [0, 1]
        clock.advance(timedelta(minutes=1))
        await app.run(double(5))
        await app.run(double(6))
        assert calls == [0, 1, 5]
        clock.advance(timedelta(minutes=1))
        for n in (7, 8):
            await app.run(double(n))
        assert calls == [0, 1, 5, 7, 8]


async def test_a_critical_hook_that_is_left_out_fails_what_it_stands_at() -> None:
    @before(critical=True, breaker=Breaker(1))
    def broken(event: Any) -> None:
        raise ValueError("gone")

    async with in_memory(hooks=[broken]) as app:
        for message in ("hook 'broken' failed: ValueError: gone", "kept failing"):
            with pytest.raises(RunFailed, match=message):
                await app.run(double(1))


async def test_a_hook_without_a_breaker_is_always_called() -> None:
    calls: list[int] = []

    @before(breaker=None)
    def broken(event: Any) -> None:
        calls.append(1)
        raise ValueError

    async with in_memory(hooks=[broken]) as app:
        for _ in range(7):
            await app.run(double(1))
    assert len(calls) == 7


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), asyncio.CancelledError()])
@pytest.mark.parametrize("awaits", [False, True])
async def test_whatever_a_hook_raises_is_data(error: BaseException, awaits: bool) -> None:
    def broken(event: Any) -> None:
        raise error

    async def broken_later(event: Any) -> None:
        raise error

    async with in_memory(hooks=[before(broken_later if awaits else broken)]) as app:
        handle = await app.start(double(1))
        assert await handle.result() == 2
        assert kinds(await journal_of(handle)).count("HookFailed") == 1


async def test_a_plain_hook_that_gives_something_to_await_is_told_so() -> None:
    async def forgotten() -> None: ...

    def gives_future(event: Any) -> Any:
        return asyncio.get_running_loop().create_future()

    async with in_memory(hooks=[before(lambda event: forgotten()), before(gives_future)]) as app:
        handle = await app.start(double(1))
        await handle.result()
        broken = [event for event in await journal_of(handle) if isinstance(event, HookFailed)]
        assert [one.failure.code for one in broken] == ["invalid_answer", "invalid_answer"]


@pytest.mark.parametrize("answer", ["yes", Redirect("x"), Narrow(0), Again("soon")])
async def test_an_answer_that_makes_no_sense_is_a_failure_of_the_hook(answer: Any) -> None:
    point = "fork" if isinstance(answer, Narrow) else "after" if isinstance(answer, Again) else "before"
    async with in_memory(hooks=[Hook(point, lambda _: answer)]) as app:
        handle = await app.start(map_each(double)([1]))
        assert await handle.result() == [2]
        assert "HookFailed" in kinds(await journal_of(handle))


async def test_a_cancelled_run_does_not_wait_for_its_hooks() -> None:
    tally = Tally()

    @before
    async def slow(event: Any) -> None:
        await tally.visit()

    async with in_memory(hooks=[slow]) as app:
        handle = await app.start(double(1))
        await tally.reach(1)
        await handle.cancel("enough")
        with pytest.raises(RunCancelled):
            await handle.result()
        await turns(3)
        assert tally.now == 0
        assert not [task for task in leftovers() if "hooks" in task.get_name()]


async def test_a_hook_that_swallows_its_cancellation_holds_nobody_up_and_is_not_heard() -> None:
    tally, stop, heard = Tally(), asyncio.Event(), asyncio.Event()

    @before
    async def deaf(event: Any) -> Veto:
        try:
            await tally.visit()
        except asyncio.CancelledError:
            await stop.wait()
        heard.set()
        return Veto()

    async with in_memory(hooks=[deaf]) as app:
        handle = await app.start(double(1))
        await tally.reach(1)
        await handle.cancel()
        with pytest.raises(RunCancelled):
            await handle.result()
        await turns(3)
        stop.set()
        await heard.wait()
        await turns(3)
        assert "Intercepted" not in kinds(await journal_of(handle))


async def test_variables_that_a_hook_sets_stay_with_it() -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="")
    seen: list[str] = []

    @step
    async def look(n: int) -> int:
        seen.append(variable.get())
        return n

    def leak(event: Any) -> None:
        variable.set("leaked")

    await ran(look(1), before(leak))
    assert seen == [""]


# --- observers


async def test_observers_are_told_of_what_is_durable_at_their_point() -> None:
    store: Any = Counting(MemoryStore())
    seen: list[Any] = []

    @observe("after")
    def note(event: Observed[Any]) -> None:
        seen.append((event.path, event.event.output, event.seq, event.workflow, len(store.batches)))

    @observe("event", "size", breaker=None)
    async def later(event: Observed[Any]) -> None:
        await asyncio.sleep(0)
        seen.append((event.point, event.path))

    async with App(store, hooks=[note, later]) as app:
        await app.run(flow("abc"))
    assert ("fetch", b'{"text":"abc"}', 3, "chain", 2) in seen
    assert ("before", "size") in seen
    assert ("after", "size") in seen


async def test_observers_are_told_of_points_that_leave_no_other_event() -> None:
    seen: list[tuple[str, str, int]] = []

    def note(event: Any) -> None:
        seen.append((event.point, event.event.name, event.event.index))

    hooks = [observe(point)(note) for point in ("stage", "loop_start", "iterated")]
    await ran(chain(double).then(repeat(add, until=lambda n: True, at_most=1, name="more"))(1), *hooks)
    assert ("stage", "double", 0) in seen
    assert [place[0] for place in seen].count("iterated") == 1


async def test_an_observer_that_fails_is_an_event_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    @observe("after", "fetch")
    def broken(event: Any) -> None:
        raise ValueError("no disk")

    caplog.set_level("DEBUG")
    async with in_memory(hooks=[broken]) as app:
        handle = await app.start(flow("hush-hush"))
        assert await handle.result() == 9
        (found,) = [event for event in await journal_of(handle) if isinstance(event, HookFailed)]
        assert (found.hook, found.point, found.critical) == ("broken", "after", False)
        assert "no disk" in found.failure.message
    assert "an observer failed" in caplog.text
    said = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("ripresa")).lower()
    assert "hush" not in said


async def test_a_critical_observer_fails_the_run() -> None:
    @observe("after", "fetch", critical=True)
    def audit(event: Any) -> None:
        raise ValueError("no disk")

    error = await failed(chain(fetch).then(size).then(double)("abc"), audit)
    assert error.failure.code == "hook_failed"
    assert "critical hook 'audit' failed" in error.failure.message


async def test_observers_that_fail_of_each_others_failures_come_to_an_end() -> None:
    def broken(event: Any) -> None:
        raise ValueError

    hooks = [Hook("event", broken, observes=True, breaker=None, name=name) for name in "ab"]
    async with in_memory(hooks=hooks) as app:
        handle = await app.start(double(1))
        await handle.result()
        assert kinds(await journal_of(handle)).count("HookFailed") <= 8


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("awaits", [False, True])
async def test_what_an_observer_of_the_end_raises_is_kept(awaits: bool, critical: bool) -> None:
    told: list[str] = []

    def broken(seen: Observed) -> None:
        raise ValueError("no disk")

    async def broken_later(seen: Observed) -> None:
        await turns(5)
        raise ValueError("no disk")

    @observe("hook")
    def see(seen: Observed) -> None:
        told.append(type(seen.event).__name__)

    both = chain(double).then(fail)
    fails = observe("fail", critical=critical)(broken_later if awaits else broken)
    memory = Memory()
    async with in_memory(memory, hooks=[fails, see]) as app:
        handle = await app.start(both(1), id="r")
        assert (await handle.outcome()).status == "failed"
    async with in_memory(memory) as app:
        handle = await app.handle("r", both)
        assert (await handle.status()).status == "failed"
        *_, taken, kept = await journal_of(handle)
        assert isinstance(kept, HookFailed)
        assert (type(taken).__name__, kept.critical, kept.point) == ("RunTaken", critical, "fail")
        assert (await (await app.resume("r", both)).outcome()).status == "failed"  # and it can be taken up again
        assert await (await handle.fork(set={"double": 3}, id="f")).outcome()
    assert told == ["HookFailed"]


async def test_a_run_that_goes_on_meanwhile_is_told_what_an_observer_of_its_end_raised() -> None:
    tally, gate = Tally(), asyncio.Event()

    @observe("fail", critical=True)
    async def late(seen: Observed) -> None:
        await gate.wait()
        raise ValueError("no disk")

    @step
    async def again(value: int) -> int:
        await tally.visit()
        if tally.entered == 1:
            raise ValueError("once")
        return value

    async with in_memory(hooks=[late]) as app:
        tally.open()
        handle = await app.start(chain(again)(1), id="r")
        assert (await handle.outcome()).status == "failed"
        tally._gate.clear()  # pyright: ignore[reportPrivateUsage]
        handle = await app.resume("r", chain(again))
        await tally.reach(2)
        gate.set()
        await turns(9)
        tally.open()
        assert await handle.result() == 1
        (broken,) = [event for event in await journal_of(handle) if isinstance(event, HookFailed)]
        assert not broken.critical  # it failed at an end that was none


async def test_what_an_observer_raises_about_a_run_that_is_owned_elsewhere_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = asyncio.Event()

    @observe("complete")
    async def late(seen: Observed) -> None:
        await gate.wait()
        raise ValueError("no disk")

    memory = Memory()
    async with in_memory(memory, hooks=[late]) as app, in_memory(memory) as other:
        handle = await app.start(double(1), id="r")
        await handle.result()
        assert await other.engine.store.claim("r")
        gate.set()
        await turns(9)
        assert "not in the journal" in caplog.text
        assert "HookFailed" not in kinds(await journal_of(handle))


async def test_a_hook_that_is_taken_away_is_not_waited_for_and_not_heard() -> None:
    asked: list[str] = []
    gate = asyncio.Event()

    @before(priority=2)
    async def stubborn(about: Any) -> Veto:
        asked.append("stubborn")
        try:
            await gate.wait()
        except asyncio.CancelledError:
            asked.append("let go")
        return Veto("too late")

    @before(priority=1)
    async def gone_too(about: Any) -> Veto:
        raise AssertionError("it is not there any more")

    @before
    async def bigger(about: Any) -> Replace:
        asked.append("bigger")
        return Replace(about.input + 1)

    async with in_memory(hooks=[bigger]) as app:
        removes = [app.hooks.add(stubborn), app.hooks.add(gone_too)]
        handle = await app.start(double(1))
        while not asked:
            await turns(1)
        for remove in reversed(removes):
            remove()
        assert await handle.result() == 4
    assert asked == ["stubborn", "let go", "bigger"]


async def test_an_observer_that_keeps_failing_is_left_out() -> None:
    calls: list[int] = []

    @observe("after", breaker=Breaker(1))
    def broken(event: Any) -> None:
        calls.append(1)
        raise ValueError

    await ran(chain(double).then(double).then(double)(1), broken)
    assert len(calls) == 1


async def test_an_observer_that_cannot_keep_up_fails_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import ripresa.runtime.hooks as border

    monkeypatch.setattr(border, "_QUEUE", 1)
    tally = Tally()

    @observe("event", timeout=3600)
    async def slow(event: Any) -> None:
        await tally.visit()

    async with in_memory(hooks=[slow]) as app:
        assert await app.run(chain(double).then(double)(1)) == 4
    assert tally.now == 0


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError()])
async def test_an_async_observer_may_raise_anything(error: BaseException) -> None:
    seen: list[int] = []

    @observe("event", breaker=None)
    async def broken(event: Any) -> None:
        seen.append(event.seq)
        raise error

    async with in_memory(hooks=[broken]) as app:
        assert await app.run(double(1)) == 2
    assert len(seen) > 2


async def test_scopes_end_at_the_points_of_their_status() -> None:
    seen: list[str] = []

    @workflow
    async def inner(ctx: Context, n: int) -> int:
        return await (fail(n) if n else double(n))

    hook = Hook("event", lambda one: seen.append(f"{one.point} {type(one.event).__name__}"), observes=True)
    async with in_memory(hooks=[hook]) as app:
        for n in (0, 1):
            await (await app.start(best_effort(inner, inner)(n))).outcome()
    assert {"complete ScopeEnded", "fail ScopeEnded"} <= set(seen)


async def test_a_rollback_is_observed_and_hooks_that_came_since_stand_in_what_is_repeated() -> None:
    seen: list[str] = []
    async with in_memory(hooks=[observe("rollback")(lambda event: seen.append(event.point))]) as app:
        handle = await app.start(chain(double).then(double).then(add)(1))
        assert await handle.result() == 5
        app.hooks.add(before("add")(lambda asked: Replace({"a": 5})))
        await handle.rollback("double")
        assert await handle.result() == 6
    assert seen == ["rollback"]


async def test_no_request_answers_for_a_hook() -> None:
    from ripresa.ports import Request
    from ripresa.runtime.requests import decode_request

    for kind in ("intercepted", "Intercepted", "hook"):
        with pytest.raises(RipresaError):
            decode_request(Request(1, "r", kind, b'{"path":"a","point":"before","answer":"continue"}'), 0)


def test_every_point_of_an_event_names_one_that_there_is() -> None:
    named = [name for names in EVENTS.values() for name in names]
    coming = set(EVENTS["compensation"])  # of scopes that undo what they did
    assert set(named) - coming <= set(RECORDED)
    twice = {name for name in named if named.count(name) > 1}
    assert twice == {"StepUndone", "UndoFailed"}  # of compensation, and of their own points
    assert set(ANSWERS) <= set(EVENTS)


def test_every_cell_of_the_table_in_the_documentation_is_true() -> None:
    lines = Path("docs/hooks.md").read_text(encoding="utf-8").partition("### Every point, every answer")[2].splitlines()
    head, _, *rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    told = {
        row[0]: {word for word, cell in zip(head, row, strict=True) if cell == "yes"} for row in rows[: len(ANSWERS)]
    }
    assert told == {point: {"continue", *legal} for point, legal in ANSWERS.items()}


@pytest.mark.parametrize("kind", [Again, Cancel, Narrow, Redirect, Replace, Skip, Veto])
@pytest.mark.parametrize("point", ANSWERS)
def test_an_answer_is_refused_where_it_makes_no_sense(point: str, kind: type[Any]) -> None:
    def answers(asked: Any) -> Any:
        raise AssertionError("nobody is asked")

    answers.__annotations__["return"] = kind | None
    if kind.__name__.lower() in ANSWERS[point]:
        Hook(point, answers)
        return
    with pytest.raises(InvalidConfig) as caught:
        Hook(point, answers)
    word = kind.__name__.lower()
    assert f"fn answers {word}, but at {point!r} it may answer continue" in caught.value.message


def test_what_a_hook_says_it_answers_is_not_read_where_it_cannot_be() -> None:
    def unknown(asked: "Nowhere") -> "Nothing":  # type: ignore[name-defined]  # noqa: F821
        return None

    def anything(asked: Any) -> Again | Cancel | Continue | Narrow | Redirect | Replace | Skip | Veto:
        return Continue()

    async def late(asked: Any) -> Veto:
        return Veto()

    for fn in (unknown, anything, late):
        assert Hook("cancel", fn).point == "cancel"


async def test_observers_of_a_nested_flow_are_told_of_what_is_inside_it() -> None:
    seen: list[str] = []
    note = observe("after")(lambda event: seen.append(event.path))
    inner = chain(double).with_hooks(note)

    @workflow
    async def two(ctx: Context, n: int) -> int:
        return await double(n)

    await ran(chain(add).then(inner.named("inner"))(1))
    assert seen == ["inner/double"]
    await ran(chain(add).then(chain(two).with_hooks(note).named("other"))(1))
    assert "other/two/double" in seen


async def test_a_question_that_nobody_waits_for_any_more_is_not_put() -> None:
    asked: list[str] = []

    @before
    def never(event: Any) -> Veto:
        asked.append(event.path)
        return Veto()

    await failed(chain(parallel(double, add))(1), never)
    assert asked == ["parallel/double"]


async def test_nobody_is_let_go_where_no_hook_stands() -> None:
    from types import SimpleNamespace

    from ripresa.core.commands import Intercept, Withdraw
    from ripresa.runtime.hooks import ask

    ask(SimpleNamespace(hooks=None), Withdraw("a"))  # type: ignore[arg-type]
    ask(SimpleNamespace(hooks=object(), stopping=True), Intercept("a", "before"))  # type: ignore[arg-type]


async def test_a_loop_ends_with_a_value_that_another_hook_replaced() -> None:
    hooks = [
        Hook("iterated", lambda _: Replace(7), priority=1),
        Hook("iterated", lambda _: Redirect("end"), breaker=None),
        Hook("loop_end", lambda _: Continue(), breaker=None),
    ]
    assert (await ran(repeat(double, until=lambda n: n > 100, at_most=9)(1), *hooks))[0] == 7


async def test_ctrl_c_in_a_hook_is_not_data() -> None:
    from ripresa.runtime.hooks import _is_not_its_own

    hook = Hook("before", lambda _: None)
    assert _is_not_its_own(hook, KeyboardInterrupt())
    assert not _is_not_its_own(hook, SystemExit())


# --- options


def test_every_bad_option_is_named() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Hook("nowhere", 7, step=" ", workflow="", priority=1.5, timeout=0)  # type: ignore[arg-type]
    for option in ("point", "fn", "step", "workflow", "priority", "timeout"):
        assert f"{option} is" in caught.value.message
    with pytest.raises(InvalidConfig) as caught:
        Hook(["before"], max, timeout="soon", critical="yes", breaker=3, observes=1, name=" x")  # type: ignore[arg-type]
    for option in ("point", "timeout", "critical", "breaker", "observes", "name"):
        assert f"{option} is" in caught.value.message
    with pytest.raises(InvalidConfig, match=r"failures is 0.*; reset is -1"):
        Breaker(0, -1)
    with pytest.raises(InvalidConfig, match="can only observe"):
        Hook("pause", lambda _: None)
    with pytest.raises(InvalidConfig, match="is no hook"):
        App("memory:", hooks=[lambda _: None])  # type: ignore[list-item]
    with pytest.raises(InvalidConfig, match="is no hook"):
        flow.with_hooks(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="hooks has 7"):
        step(hooks=[7])(lambda: None)  # type: ignore[list-item]


def gives(asked: Any) -> Any:
    yield asked


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda: None, "too many positional arguments"),
        (lambda asked, other: None, "missing a required argument: 'other'"),
        (gives, "gives a generator"),
        (add, "its call would be a part of the run"),
        (chain(add), "its call would be a part of the run"),
    ],
)
def test_what_cannot_be_asked_is_no_hook(fn: Any, why: str) -> None:
    with pytest.raises(InvalidConfig, match=why):
        Hook("before", fn)
    with pytest.raises(InvalidConfig, match="priority is 'high'"):
        Hook("event", fn, observes=True, priority="high")  # type: ignore[arg-type]


def test_a_hook_can_be_called_as_the_function_that_it_is() -> None:
    @before("fetch")
    def never(event: Any) -> Veto:
        return Veto("no")

    assert never("anything") == Veto("no")
    assert never.name == "never"
    assert Hook("before", max).name == "max"
    assert isinstance(Continue(), Continue)


async def test_an_engine_can_be_closed_before_its_app() -> None:
    async with in_memory() as app:
        await app.run(chain(add)(1))
        await app.engine.close()
