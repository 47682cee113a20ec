"""What an execution says of each step of its document, also of those that are made of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Hook, Library, Skip, WorkflowOrchestrator, step
from ripresa.orchestrator import StepResult, WorkflowResult
from ripresa.testing.fake_model import FakeModel

library = Library()
failing: list[str] = []


@library.type("same")
@step
async def same(value: Any = None) -> Any:
    if failing:
        raise ValueError(failing[0])
    return value


def _skip_with_seven(asked: Any) -> Any:
    return Skip(7)


library.register("left_out", Hook("branch", _skip_with_seven))


@pytest.fixture(autouse=True)
def _nothing_fails() -> None:
    failing.clear()


def document(*steps: Any) -> dict[str, Any]:
    return {"id": "doc", "steps": list(steps)}


def orchestrator(**options: Any) -> WorkflowOrchestrator:
    return WorkflowOrchestrator("memory:", library=library, **options)


async def ran(*steps: Any, input: Any = None, **options: Any) -> WorkflowResult:
    async with orchestrator(**options) as here:
        return await here.execute_workflow(document(*steps), input=input)


def said(result: WorkflowResult) -> dict[str, tuple[str, Any]]:
    return {path: (found.status, found.output) for path, found in result.steps.items()}


async def test_each_kind_of_step_has_its_output() -> None:
    inner = {"id": "each", "type": "sequence", "config": {"steps": ["same", "pass"]}}
    result = await ran(
        {"id": "keep", "type": "pass"},
        {"id": "one", "type": "branch", "config": {"when": "${{ value > 2 }}", "then": {"type": "same", "id": "yes"}}},
        {"id": "both", "type": "parallel", "config": {"branches": [{"type": "same", "id": "a"}, {"type": "pass"}]}},
        {"id": "all", "type": "map", "config": {"step": inner}},
        {"id": "again", "type": "repeat", "config": {"step": "same", "until": True, "at_most": 3}},
        {"id": "moment", "type": "delay", "config": {"length": 0}},
        {"id": "left", "type": "same", "when": False},
        input=3,
    )
    assert result.status == "completed"
    assert said(result) == {
        "keep": ("completed", 3),
        "one": ("completed", 3),
        "one/yes": ("completed", 3),
        "both": ("completed", [3, 3]),
        "both/a": ("completed", 3),
        "both/pass": ("completed", 3),
        "all": ("completed", [3, 3]),
        "all/each[0]": ("completed", 3),
        "all/each[0]/same": ("completed", 3),
        "all/each[0]/pass": ("completed", 3),
        "all/each[1]": ("completed", 3),
        "all/each[1]/same": ("completed", 3),
        "all/each[1]/pass": ("completed", 3),
        "again": ("completed", [3, 3]),
        "again/same[0]": ("completed", [3, 3]),
        "moment": ("completed", [3, 3]),
        "left": ("completed", [3, 3]),
        "left/pass": ("completed", [3, 3]),
    }
    assert [*result.steps][:3] == ["keep", "one", "one/yes"]


async def test_so_has_each_node_of_a_graph() -> None:
    graph = [
        {"id": "no", "type": "same", "when": "${{ input > 5 }}"},
        {"id": "yes", "type": "same", "with": "${{ input }}", "when": "${{ input < 5 }}"},
        {"id": "joined", "type": "first", "config": {"of": ["no", "yes"]}},
        {"id": "neither", "type": "first", "config": {"of": ["no"]}},
    ]
    result = await ran({"id": "graph", "type": "graph", "config": {"steps": graph, "returns": "done"}}, input=1)
    assert said(result) == {
        "graph": ("completed", "done"),
        "graph/no": ("skipped", None),
        "graph/yes": ("completed", 1),
        "graph/joined": ("completed", 1),
        "graph/neither": ("skipped", None),
    }


async def test_one_that_a_hook_left_out_has_what_the_hook_said() -> None:
    graph = [{"id": "maybe", "type": "same", "when": "${{ input > 5 }}"}]
    whole = {"id": "graph", "type": "graph", "config": {"steps": graph, "returns": "${{ steps.maybe.output }}"}}
    result = await ran({**whole, "hooks": ["left_out"]}, input=1)
    assert said(result) == {"graph": ("completed", 7), "graph/maybe": ("skipped", 7)}


async def test_what_is_made_of_steps_counts_their_tokens_and_cost() -> None:
    asks = [{"id": name, "type": "llm", "config": {"prompt": name}} for name in ("first", "second")]
    inner = {"id": "inner", "type": "sequence", "config": {"steps": asks}}
    result = await ran(
        {"id": "outer", "type": "sequence", "config": {"steps": [inner, "same"]}}, models={"*": FakeModel("a", "b")}
    )
    steps = result.steps
    assert steps["outer/inner/first"].tokens > 0
    assert steps["outer"].output == "b"
    for path in ("outer", "outer/inner"):
        assert (steps[path].tokens, steps[path].cost) == (result.tokens, result.cost)


async def test_one_that_failed_says_so_and_completes_when_it_is_resumed() -> None:
    failing.append("no")
    async with orchestrator() as here:
        nested = {"id": "outer", "type": "sequence", "config": {"steps": ["same"]}}
        failed = await here.execute_workflow(document(nested), input=1)
        assert failed.steps["outer"] == StepResult("failed", error=failed.error)
        failing.clear()
        resumed = await here.resume(failed.run_id)
        assert said(resumed) == {"outer": ("completed", 1), "outer/same": ("completed", 1)}
        assert await here.status(failed.run_id) == resumed


async def test_one_that_waits_says_so_and_is_cancelled_with_the_run() -> None:
    waiting = {"id": "for_ann", "type": "wait", "config": {"signal": "go"}}
    async with orchestrator() as here:
        result = await here.execute_workflow(
            document({"id": "outer", "type": "parallel", "config": {"branches": [waiting]}})
        )
        assert said(result) == {"outer": ("running", None), "outer/for_ann": ("waiting", None)}
        cancelled = await here.cancel(result.run_id)
        assert said(cancelled) == {"outer": ("cancelled", None), "outer/for_ann": ("cancelled", None)}


async def test_what_is_undone_as_a_whole_says_so() -> None:
    whole = {"id": "whole", "type": "sequence", "config": {"steps": ["same"]}, "undo": "same"}
    failing_later = {"id": "later", "type": "raises"}
    library_here = Library({**library.entries, "raises": raises})
    async with WorkflowOrchestrator("memory:", library=library_here) as here:
        result = await here.execute_workflow(
            document({"id": "saga", "type": "saga", "config": {"step": [whole, failing_later]}}), input=1
        )
    assert result.status == "failed"
    assert result.steps["saga/whole"].status == "undone"
    assert result.steps["saga"].status == "failed"


@step
async def raises(value: Any) -> Any:
    raise ValueError("no")


async def test_an_orchestrator_that_cannot_read_the_document_says_what_the_journal_says_alone() -> None:
    async with orchestrator() as here:
        result = await here.execute_workflow(
            document({"id": "outer", "type": "sequence", "config": {"steps": ["same"]}}), input=1
        )
        known, here.library = here.library, Library()
        assert said(await here.status(result.run_id)) == {"outer/same": ("completed", 1)}
        here.library = Library({"same": raises_not})  # another structure
        assert said(await here.status(result.run_id)) == {"outer/same": ("completed", 1)}
        here.library = known
        assert said(await here.status(result.run_id))["outer"] == ("completed", 1)


@step
async def raises_not(value: int) -> str:
    return str(value)


async def test_what_was_under_way_when_a_run_was_terminated_is_cancelled(tmp_path: Path) -> None:
    waiting = {"id": "for_ann", "type": "wait", "config": {"signal": "go"}}
    here = WorkflowOrchestrator(f"sqlite:{tmp_path}/store.db", durability="normal")
    result = await here.execute_workflow(document(waiting))
    async with App(f"sqlite:{tmp_path}/store.db", durability="normal") as app:
        await (await app.handle(result.run_id)).terminate("now")
    assert said(await here.status(result.run_id)) == {"for_ann": ("cancelled", None)}
