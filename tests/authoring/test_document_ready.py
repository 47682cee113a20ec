"""The ready-made steps in documents: what they are given, and what is said where their config is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import App, load_document
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
