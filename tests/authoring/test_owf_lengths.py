"""Lengths of time that expressions give, and what a `catch` says that is next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ripresa import App
from ripresa.authoring.draw import draw
from ripresa.authoring.owf.problems import ROOT
from ripresa.steps.open_workflow import Surroundings
from ripresa.testing.clock import ManualClock
from tests.authoring.owf import HEAD, load, problem, run


def slept(text: str, given: Any = None, **more: Any) -> list[float]:
    """The seconds that a run of a document waits, one after the other."""

    async def go() -> list[float]:
        clock = ManualClock()
        async with App("memory:", clock=clock) as app:
            ending = asyncio.ensure_future((await app.start(load(text, **more)(given))).outcome())
            waited: list[float] = []
            while not ending.done():
                jump = asyncio.ensure_future(clock.jump())
                await asyncio.wait((jump, ending), return_when=asyncio.FIRST_COMPLETED)
                if jump.done():
                    waited.append(jump.result() / 1_000_000)
                else:
                    jump.cancel()
            return waited

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("length", "given"),
    [
        ("'${ .n }'", {"n": "PT90S"}),
        ("'${ {minutes: 1, seconds: .n} }'", {"n": 30}),
        ("{minutes: 1, seconds: '${ .n }'}", {"n": 30}),
        ("'PT${ .n }S'", {"n": 90}),
    ],
)
def test_a_wait_is_as_long_as_an_expression_says(length: str, given: Any) -> None:
    assert slept(f"- a: {{wait: {length}}}", given) == [90]


def test_what_gives_no_length_is_a_fault_of_its_task() -> None:
    told = problem("- a: {wait: '${ .n }'}", {"n": "soon"})
    assert (told["type"], told["instance"]) == (f"{ROOT}expression", "/do/0/a")
    assert told["detail"].startswith("the duration is 'soon', must be an ISO 8601 duration")


def test_the_timeout_of_a_task_may_be_an_expression() -> None:
    text = "- a: {input: {from: .a}, timeout: {after: '${ $input.n }'}, wait: PT1H}"
    assert slept(text, {"a": {"n": "PT5S"}}) == [5]
    told = problem("- a: {timeout: {after: '${ .n }'}, set: {x: 1}}", {"n": "PT0S"})
    assert (told["type"], told["detail"]) == (f"{ROOT}expression", "a timeout must be longer than nothing")
    assert run("- a: {timeout: {after: '${ .n }'}, set: {x: 1}}", {"n": "PT9S"}) == {"x": 1}
    assert problem("- a: {timeout: {after: '${ .n }'}, do: [{b: {set: {}}}]}")["instance"] == "/do/0/a"


def test_a_timeout_that_is_used_again_may_look_at_the_variables_of_the_task() -> None:
    use = {"timeouts": {"short": {"after": {"seconds": "${ $n }"}}}}
    text = "- a: {for: {each: n, in: '[1, 2]'}, do: [{t: {try: [{b: {timeout: short, wait: PT1H}}], catch: {}}}]}"
    assert slept(text, use=use) == [1, 2]


def test_the_timeout_of_the_workflow_may_be_an_expression() -> None:
    after: dict[str, Any] = {"timeout": {"after": "${ $workflow.input.most }"}}
    assert slept("- a: {wait: PT1H}", {"most": "PT7S"}, **after) == [7]
    assert problem("- a: {wait: PT1H}", {"most": 3}, **after)["instance"] == "/"


RETRIES = """
- a:
    try: [{b: {raise: {error: {type: 'https://a.b/c', status: 503, detail: PT3S}}}}]
    catch:
      as: fault
      retry: {delay: %s, backoff: {linear: {}}, limit: {attempt: {count: %s}}}
      do: [{c: {set: {gave: up}}}]
"""


def test_retries_are_as_the_error_and_the_data_say() -> None:
    assert slept(RETRIES % ("'${ $fault.detail }'", "'${ .tries }'"), {"tries": 2}) == [3, 6]
    assert slept(RETRIES % ("PT1S", "'${ .tries }'"), {"tries": 0}) == []


def test_limits_of_retries_may_be_expressions() -> None:
    text = """
    - a:
        try: [{b: {wait: PT1H}}]
        catch:
          errors: {with: {status: 408}}
          retry:
            delay: PT2S
            jitter: {from: '${ .least }', to: '${ .least }'}
            limit: {attempt: {duration: '${ .each }'}, duration: '${ .all }'}
    """
    terms = {"each": "PT10S", "all": "PT16S", "least": "PT1S"}
    assert slept(text, terms) == [10, 3, 10]
    assert problem(text, {**terms, "each": "PT0S"})["detail"] == "a timeout must be longer than nothing"


@pytest.mark.parametrize(
    ("retry", "why"),
    [
        ("{limit: {attempt: {count: '${ -1 }'}}}", "gives -1, which is no whole number from 0"),
        ("{limit: {attempt: {count: '${ 1.5 }'}}}", "gives 1.5, which is no whole number from 0"),
        ("{jitter: {from: '${ \"PT2S\" }', to: PT1S}}", "the jitter begins after its end"),
        ("{delay: '${ 3 }'}", "the duration is 3, must be an ISO 8601 duration"),
    ],
)
def test_terms_of_retries_that_are_none_are_a_fault_of_the_task(retry: str, why: str) -> None:
    error = "{type: 'https://a.b/c', status: 503}"
    told = problem(f"- a: {{try: [{{b: {{raise: {{error: {error}}}}}}}], catch: {{retry: {retry}}}}}")
    assert why in told["detail"]
    assert (told["type"], told["instance"]) == (f"{ROOT}expression", "/do/0/a")


def test_an_error_that_is_not_caught_has_no_terms_of_retries() -> None:
    error = "{type: 'https://a.b/c', status: 503}"
    catch = "{errors: {with: {status: 1}}, retry: {delay: '${ 3 }'}}"
    assert problem(f"- a: {{try: [{{b: {{raise: {{error: {error}}}}}}}], catch: {catch}}}")["status"] == 503


# --- what is next after an error


CAUGHT = """
- a:
    try: [{b: {raise: {error: {type: 'https://a.b/c', status: %s}}}}]
    catch: {errors: {with: {status: 503}}, %s}
    output: {as: '{ left: . }'}
    then: normal
- between: {set: {found: between}, then: end}
- normal: {set: {found: normal}, then: end}
- recorded: {set: {found: recorded, data: "${ . }"}, then: end}
"""


def test_a_catch_says_what_is_next() -> None:
    assert run(CAUGHT % (503, "then: recorded"), 1) == {"found": "recorded", "data": {"left": 1}}
    assert run(CAUGHT % (503, "then: continue"), 1) == {"found": "between"}
    assert run(CAUGHT % (503, "then: exit"), 1) == {"left": 1}
    assert run(CAUGHT % (503, "then: end"), 1) == 1
    assert run(CAUGHT % (503, "as: e"), 1) == {"found": "normal"}
    assert problem(CAUGHT % (500, "then: recorded"))["status"] == 500


def test_a_handler_comes_first_and_may_end_the_workflow() -> None:
    handler = "do: [{h: {set: {handled: true}%s}}], then: recorded"
    assert run(CAUGHT % (503, handler % "")) == {"found": "recorded", "data": {"left": {"handled": True}}}
    assert run(CAUGHT % (503, handler % ", then: end")) == {"handled": True}


def test_what_is_next_is_said_of_errors_that_are_not_tried_again_any_more() -> None:
    assert run(CAUGHT % (503, "retry: {limit: {attempt: {count: 1}}}, then: recorded"))["found"] == "recorded"


def test_what_is_next_after_an_error_is_drawn_and_is_structure() -> None:
    said, unsaid = load(CAUGHT % (503, "then: recorded")), load(CAUGHT % (503, "as: e"))
    assert "caught" in draw(said)
    assert said.version != unsaid.version


# --- what else documents say


def test_a_document_that_is_started_by_events_reads_them_as_it_says() -> None:
    on = {"on": {"one": {"with": {"type": "hot"}}}}
    event = {"type": "hot", "data": {"n": 1}}
    assert run("- a: {set: '${ .[0].data }'}", events=[event], schedule=on) == {"n": 1}
    assert run("- a: {set: '${ .[0] }'}", events=[event], schedule={**on, "read": "data"}) == {"n": 1}


def test_the_output_of_a_workflow_may_be_left_out() -> None:
    inner = {"document": {**HEAD, "name": "inner"}, "do": [{"a": {"set": {"x": 1}}}]}
    text = "- a: {run: {workflow: {namespace: test, name: inner, version: latest}, return: %s}}"
    assert run(text % "none", surroundings=Surroundings(workflows=[inner])) is None
    assert run(text % "stdout", surroundings=Surroundings(workflows=[inner])) == {"x": 1}


def test_an_extension_is_not_for_tasks_of_another_form() -> None:
    when = '$task.set | startswith("x")'
    extensions = [{"x": {"extend": "set", "when": when, "before": [{"b": {"set": {"b": 1}, "then": "exit"}}]}}]
    assert run("- a: {set: {x: 1}}", use={"extensions": extensions}) == {"x": 1}
    assert run("- a: {set: x}", use={"extensions": extensions}) == {"b": 1}
