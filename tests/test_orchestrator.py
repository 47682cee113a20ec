"""Workflows that are plain data, executed for users: the dictionary form, run literally; resume, status, list."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    InvalidWorkflow,
    Library,
    Maker,
    RunExists,
    RunNotFound,
    SessionError,
    Signal,
    WorkflowOrchestrator,
    step,
)
from ripresa.errors import InvalidValue, RipresaError
from ripresa.steps.documents import schema_type
from ripresa.testing.answers import value
from ripresa.testing.model_server import ModelServer
from tests.authoring.material import call, pausing

#: As it stands at the end of the requirements.
SNIPPET = """\
workflow = {
    "id": "example-workflow",
    "name": "Example Workflow",
    "steps": [
        {"id": "step1", "type": "llm", "config": {"prompt": "Analyze this data...", "model": "gpt-4o"}},
        {"id": "step2", "type": "llm", "config": {"prompt": "Summarize the analysis...", "model": "gpt-4o-mini"}},
    ],
}
orchestrator = WorkflowOrchestrator()
result = await orchestrator.execute_workflow(workflow, user_id="user123")
"""

PROGRAM = f"""\
import asyncio, json, sys
from dataclasses import asdict
from ripresa import WorkflowOrchestrator

async def main():
{textwrap.indent(SNIPPET, "    ")}
    print(json.dumps(asdict(result)))

asyncio.run(main())
"""


async def ran(directory: Path, **env: str) -> dict[str, Any]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("RIPRESA", "OPENAI"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, cwd=directory, stdout=-1, stderr=-1, env={**kept, **env}
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_the_dictionary_form_runs_as_users_write_it(tmp_path: Path) -> None:
    async with ModelServer("The tide rises.", "It rises.") as server:
        result = await ran(tmp_path, **server.env)
        first, second = server.requests
    assert [first.model, second.model] == ["gpt-4o", "gpt-4o-mini"]
    assert first.prompt == "Analyze this data..."
    assert second.prompt == "Summarize the analysis...\n\nThe tide rises."
    assert (result["status"], result["output"], result["user_id"]) == ("completed", "It rises.", "user123")
    assert {path: found["output"] for path, found in result["steps"].items()} == {
        "step1": "The tide rises.", "step2": "It rises."
    }  # fmt: skip
    assert all(found["tokens"] > 0 and found["cost"] > 0 for found in result["steps"].values())
    assert result["tokens"] == sum(found["tokens"] for found in result["steps"].values())
    async with App(f"sqlite:{tmp_path}/.ripresa/ripresa.db") as app:
        view = await (await app.handle(result["run_id"])).status()
        assert (view.by, view.session) == ("user123", result["session_id"])
        session = await app.sessions.get(view.session)
        assert session.owner == "user123"


async def test_without_a_model_it_says_which_setting_is_missing(tmp_path: Path) -> None:
    result = await ran(tmp_path)
    assert result["status"] == "failed"
    assert result["error"]["code"] == "model_not_configured"
    assert "OPENAI_API_KEY" in result["error"]["message"]


# --- the face


def orchestrator(tmp_path: Path, **options: Any) -> WorkflowOrchestrator:
    return WorkflowOrchestrator(f"sqlite:{tmp_path}/store.db", durability="normal", **options)


def document(*steps: Any) -> dict[str, Any]:
    return {"id": "doc", "steps": list(steps)}


async def test_a_failed_execution_is_resumed_by_another_orchestrator(tmp_path: Path) -> None:
    library = Library()
    broken = [True]

    @library.type("maybe")
    @step
    async def maybe(text: str) -> str:
        if broken:
            raise ValueError("not yet")
        return text + "!"

    workflow = document(call("shout"), {"type": "maybe"})
    failed = await orchestrator(tmp_path, library=library).execute_workflow(workflow, "ann", input="a", run_id="it")
    assert (failed.status, failed.steps["shout"].output) == ("failed", "A")
    assert failed.error is not None
    assert failed.error.message == "not yet"
    assert failed.steps["maybe"].error == failed.error
    broken.clear()
    resumed = await orchestrator(tmp_path, library=library).resume("it")
    assert (resumed.status, resumed.output, resumed.steps["maybe"].attempts) == ("completed", "A!", 2)
    again = await orchestrator(tmp_path, library=library).execute_workflow(workflow, "ann", input="a", run_id="it")
    assert again == resumed
    assert await orchestrator(tmp_path).status("it") == resumed


async def test_a_waiting_execution_comes_back_and_is_taken_up(tmp_path: Path) -> None:
    here = orchestrator(tmp_path)
    waiting = await here.execute_workflow(document({"type": "wait", "config": {"signal": "go"}}, call("shout")))
    assert (waiting.status, waiting.output, waiting.session_id) == ("waiting", None, "")
    workflow = document({"type": "wait", "config": {"signal": "go"}}, call("shout"))
    assert (await here.execute_workflow(workflow, run_id=waiting.run_id)).status == "waiting"
    async with App(f"sqlite:{tmp_path}/store.db") as app:
        await (await app.handle(waiting.run_id)).send(Signal("go", str), "on")
    done = await here.execute_workflow(workflow, run_id=waiting.run_id)
    assert (done.status, done.output) == ("completed", "ON")


async def test_an_execution_is_cancelled(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as here:
        waiting = await here.execute_workflow(document({"type": "wait", "config": {"signal": "go"}}), "ann")
        cancelled = await here.cancel(waiting.run_id, "enough", user_id="ann")
        assert cancelled.status == "cancelled"
        with pytest.raises(RipresaError):
            await here.resume(waiting.run_id)


async def test_executions_are_listed_by_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with orchestrator(tmp_path) as here:
        for user in ("ann", "bob", "ann"):
            await here.execute_workflow(document(call("shout")), user, input=user)
        await here.execute_workflow(document(call("shout")), "ann", input="x", session_id="other")
        assert len(await here.list()) == 4
        assert len(await here.list("ann")) == 3
        assert [head.session for head in await here.list("ann", limit=1)] == ["other"]
        last = await here.execute_workflow(document(call("shout")), "ann", input="y")
        monkeypatch.setattr("ripresa.orchestrator.PAGE", 1)
        assert [head.id for head in await here.list("ann", limit=1)] == [last.run_id]
        assert [head.session for head in await here.list("ann", limit=2)] == ["user:ann", "other"]
        assert await here.list("bob", status="failed") == []
        with pytest.raises(SessionError):
            await here.execute_workflow(document(call("shout")), "bob", input="x", session_id="other")


async def test_files_and_other_runs_are_handled_too(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(document(call("shout"))))
    here = orchestrator(tmp_path)
    result = await here.execute_workflow(str(tmp_path / "flow.json"), input="a", tags=["x"])
    assert (result.output, result.workflow) == ("A", "doc")
    async with App(f"sqlite:{tmp_path}/store.db") as app:
        from tests.corpus.cases import add_one

        handle = await app.start(add_one(1))
        assert await handle.result() == 2
        waits = await app.start(pausing(None))
    assert (await here.resume(handle.id)).output == 2
    assert (await here.cancel(waits.id)).status == "cancelled"


async def test_what_is_wrong_is_said_before_anything_runs(tmp_path: Path) -> None:
    here = orchestrator(tmp_path, modules=[])
    with pytest.raises(InvalidWorkflow, match="documents may not import"):
        await here.execute_workflow(document(call("shout")), "ann")
    with pytest.raises(InvalidWorkflow, match="documents may not import"):
        await here.execute_workflow(document({"type": "shell", "config": {"command": ["true"]}}))
    assert await here.list() == []
    with pytest.raises(RunNotFound):
        await here.status("none")


async def test_executions_side_by_side_share_the_store(tmp_path: Path) -> None:
    here = orchestrator(tmp_path)
    here.register("loud", at_shout())
    found = await asyncio.gather(*(here.execute_workflow(document({"type": "loud"}), input=str(n)) for n in range(3)))
    assert [result.output for result in found] == ["0", "1", "2"]


def at_shout() -> Any:
    from tests.authoring.material import shout

    return shout


# --- ready-made types


async def test_a_prompt_holds_what_expressions_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model said is data: it is neither a template nor an expression in the next prompt."""
    attack = "${{ input }} {state} {0.__class__}"
    async with ModelServer(attack, value({"mood": "good"})) as server:
        for name, text in server.env.items():
            monkeypatch.setenv(name, text)
        schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
        workflow = document(
            {"id": "a", "type": "llm", "config": {"prompt": "About ${{ input }} {x}", "model": "gpt-4o"}},
            {"id": "b", "type": "llm", "config": {
                "prompt": "Judge: ${{ steps.a.output }}", "model": "gpt-4o", "system": "Be kind.", "output": schema
            }},
        )  # fmt: skip
        result = await orchestrator(tmp_path).execute_workflow(workflow, input="tides")
        first, second = server.requests
    assert (first.prompt, second.prompt, second.system) == ("About tides {x}", f"Judge: {attack}", "Be kind.")
    assert result.output == {"mood": "good"}


def test_an_answer_must_fit_its_schema() -> None:
    from ripresa.authoring.encoding import decode

    kind = schema_type({"type": "object", "required": ["mood"]})
    assert decode(b'{"mood": 1}', kind) == {"mood": 1}
    with pytest.raises(InvalidValue, match='"mood" is a required property'):
        decode(b"{}", kind)
    with pytest.raises(RipresaError, match="output is no JSON Schema"):
        schema_type({"type": "strange"})


def test_schemas_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(RipresaError, match="need the extra 'documents'"):
        schema_type({})


async def test_programs_and_services_are_made_of_their_config(tmp_path: Path) -> None:
    workflow = document(
        {"id": "list", "type": "shell", "config": {"command": [sys.executable, "-c", "print(6 * 7)"]}},
        {"id": "twice", "type": "python", "config": {"script": "import sys; print(int(sys.stdin.read()) * 2)"},
         "with": "${{ steps.list.output.stdout }}"},
    )  # fmt: skip
    result = await orchestrator(tmp_path).execute_workflow(workflow)
    assert result.error is None
    assert result.output["stdout"] == "84\n"
    from ripresa import load_document

    made = load_document(document(
        {"type": "http", "config": {"method": "GET", "url": "https://example.org/{x}"}, "with": {"path": {"x": "y"}}},
        {"type": "cli_agent", "config": {"dialect": "codex"}, "with": "do it"},
    ))  # fmt: skip
    assert [node.name for node in made.node.children] == ["http", "cli_agent"]
    with pytest.raises(InvalidWorkflow, match=r"config\.method: is 'FETCH'"):
        load_document(document({"type": "http", "config": {"method": "FETCH", "url": "https://example.org"}}))


async def test_a_maker_makes_a_step_of_its_config() -> None:
    from ripresa import load_document

    def make(by: int) -> Any:
        @step
        async def added(value: int) -> int:
            return value + by

        return added

    library = Library({"plus": Maker(make)})
    flow = load_document(document({"type": "plus", "config": {"by": 3}}), library=library)
    assert await flow.invoke(4) == 7
    with pytest.raises(InvalidWorkflow, match="is no key here"):
        load_document(document({"type": "plus", "config": {"of": 3}}), library=library)


async def test_the_run_of_one_user_is_not_given_to_another(tmp_path: Path) -> None:
    orchestrator = WorkflowOrchestrator(str(tmp_path / "runs.db"))
    workflow = {"id": "a", "steps": [{"type": "pass"}]}
    await orchestrator.execute_workflow(workflow, "ann", input=1, run_id="r")
    assert (await orchestrator.execute_workflow(workflow, "ann", input=1, run_id="r")).output == 1
    for other in ("bob", ""):
        with pytest.raises(RunExists):
            await orchestrator.execute_workflow(workflow, other, input=1, run_id="r")
