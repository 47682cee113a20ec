"""The ready-made steps in documents: what they are given, and what is said where their config is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import App, InvalidConfig, InvalidWorkflow, Library, Maker, load_document
from ripresa.steps.documents import schema_type
from tests.steps.service import Answer, Asked, service

ran = pytest.mark.parametrize


def shell(*command: str, **step: Any) -> dict[str, Any]:
    return {"type": "shell", "config": {"command": list(command)}, **step}


def flow(*steps: Any) -> Any:
    return load_document({"id": "flow", "steps": list(steps)})


@ran(
    ("step", "given", "out"),
    [
        (shell("cat"), "x", "x"),
        (shell("cat"), None, ""),
        (shell("cat", **{"with": "y"}), "x", "y"),
        (shell("echo"), {"args": ["a", "b"]}, "a b\n"),
        ({"type": "python", "config": {"script": "print(input())"}}, "x", "x\n"),
    ],
)
async def test_a_program_is_given_the_value_as_its_input(step: Any, given: Any, out: str) -> None:
    async with App("memory:") as app:
        assert (await app.run(flow(step)(given))).stdout == out


async def test_a_call_is_given_the_value_as_its_request() -> None:
    def told(asked: Asked) -> Answer:
        return Answer(200, asked.target)

    async with service(told) as found, App("memory:") as app:
        config = {"method": "GET", "url": f"{found.url}/ports/{{p}}", "allow": [found.place]}
        filled = flow({"type": "http", "config": config})
        assert (await app.run(filled({"path": {"p": "x"}}))).body == "/ports/x"
        plain = flow({"type": "http", "config": {**config, "url": f"{found.url}/all"}})
        assert (await app.run(plain(None))).body == "/all"


LLM_KEYS = "value, prompt, model, system, temperature, max_tokens, fallback, output, stream, tools, permissions"


@ran(
    ("kind", "config", "message"),
    [
        ("shell", {"command": "ls -l"}, "[0].config.command: is 'ls -l', must be a list of texts: [ls, -l]"),
        ("shell", {"command": ["sleep", 5]}, "[0].config.command: is ['sleep', 5], must be a list of texts"),
        ("a2a_agent", {"url": 5}, "[0].config.url: is 5, must be a text"),
        ("a2a_agent", {"url": "https://x.org", "askz": 1}, "[0].config.askz: is no key here; did you mean asks?"),
        ("a2a_agent", {"url": "https://x.org", "asks": "wait"}, "[0].config.asks: is 'wait', must be"),
        ("a2a_agent", {"url": "https://x.org", "auth": "s3cret"}, "[0].config.auth: the reference of a secret is not"),
        ("a2a_agent", {}, "[0].config: lacks url"),
        ("python", {"script": "1", "args": "a b"}, "[0].config.args: is 'a b', must be a list of texts: [a, b]"),
        ("http", {"method": "GET", "url": 5}, "[0].config.url: is 5, must be a text"),
        ("http", {"method": "GET", "heders": {}}, "[0].config.heders: is no key here; did you mean headers?"),
        ("llm", {"prompt": "x", "zzz": 1}, f"[0].config.zzz: is no key here; there are {LLM_KEYS}"),
        ("shell", {"command": ["ls"], "zzz": 1}, "[0].config.zzz: is no key here; there are command, returns, name, "),
        ("shell", {"comand": ["ls"]}, "[0].config.comand: is no key here; did you mean command?"),
        ("own", {"words": 3}, "[0].config: lacks word"),
        ("own", {"word": "x"}, "[0].config: own: not this word"),
        ("llm", {"promt": "x"}, "[0].config.promt: is no key here; did you mean prompt?"),
        (
            "llm",
            {"prompt": "x", "temperature": float("nan")},
            "[0].config.temperature: takes float | None as temperature",
        ),
        ("llm", {"prompt": "x", "max_tokens": 0}, "[0].config.max_tokens: takes int | None as max_tokens"),
        ("llm", {"prompt": "x", "model": ""}, "[0].config.model: takes str as model"),
        ("llm", {"prompt": "x", "output": {"type": "no"}}, "[0].config.output: takes dict[str, Any]"),
        ("shell", {"command": ["${{ input }}"]}, "[0].config: shell is made when the document is read"),
    ],
)
def test_the_config_of_a_ready_made_step_is_checked_when_it_is_read(kind: str, config: Any, message: str) -> None:
    def own(word: str, **more: Any) -> Any:
        raise ValueError("not this word")

    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": [{"type": kind, "config": config}]}, library=Library({"own": Maker(own)}))
    assert any(f"{problem.where}: {problem.message}".startswith(f"steps{message}") for problem in caught.value.problems)


@ran("more", [{}, {"needs": ["decided"]}])
async def test_a_kind_without_config_is_written_as_its_name_alone(more: Any) -> None:
    decided = {"id": "decided", "type": "branch", "config": {"when": "${{ value == 'x' }}", "then": "pass"}}
    async with App("memory:") as app:
        assert await app.run(flow(decided, "pass")("x")) == "x"
        assert await app.run(flow(decided, {"type": "pass", "id": "on", **more})("x")) == "x"


def test_a_kind_with_config_is_not_taken_for_a_type_of_that_name() -> None:
    with pytest.raises(InvalidWorkflow, match=r"steps\[0\].*there is no step type 'delay' .*write \{type: delay\}"):
        flow("delay")


def test_a_step_that_a_target_makes_is_named_as_the_function() -> None:
    made = flow({"type": "ripresa.steps.documents:shell", "config": {"command": ["cat"]}})
    assert made.node.children[0].name == "_shell_step"


@ran("reference", ["http://127.0.0.1:1/x.json", "file:///etc/hostname"])
def test_a_schema_reaches_for_nothing(reference: str) -> None:
    with pytest.raises(InvalidConfig, match="no JSON Schema"):
        schema_type({"$ref": reference})
