"""Documents of the Open Workflow Specification as tests write them, and runs of them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from textwrap import dedent
from typing import Any

import pytest

from ripresa import App, IllegalTransition, RunFailed
from ripresa.authoring.document.flow import DocumentFlow
from ripresa.authoring.document.text import document_of
from ripresa.authoring.owf.inbox import EVENT
from ripresa.authoring.owf.problems import problem_of
from ripresa.runtime.documents import load_document
from ripresa.runtime.open_workflow import open_workflow
from ripresa.steps.open_workflow import Surroundings

HEAD = {"dsl": "1.0.3", "namespace": "test", "name": "order", "version": "0.1.0"}


def data_of(text: str, **more: Any) -> dict[str, Any]:
    """The document whose tasks these are, and whose other parts stand beside `do:` or are given."""
    found: Any = document_of(dedent(text), "order.owf.yaml").data
    return {"document": HEAD, **(found if isinstance(found, dict) else {"do": found}), **more}


def load(text: str, surroundings: Surroundings | None = None, **more: Any) -> DocumentFlow:
    return load_document(data_of(text, **more), surroundings=surroundings)


def run(
    text: str, given: Any = None, surroundings: Surroundings | None = None, *, events: Iterable[Any] = (), **more: Any
) -> Any:
    """The output of a document."""
    return asyncio.run(_run(load(text, surroundings, **more), given, events))


async def _run(flow: DocumentFlow, given: Any, events: Iterable[Any]) -> Any:
    async with App("memory:") as app:
        handle = await app.start(flow(given), id="run")
        with suppress(IllegalTransition):  # it may end before the last of them
            for event in events:
                await handle.send(EVENT, event)
        return await handle.result()


def problem(text: str, given: Any = None, surroundings: Surroundings | None = None, **more: Any) -> Mapping[str, Any]:
    """What a document faults with."""
    with pytest.raises(RunFailed) as raised:
        run(text, given, surroundings, **more)
    told = problem_of(raised.value.failure)
    assert told is not None, raised.value
    return told


def wrong(text: str) -> list[str]:
    """What is said about a document, a line for each problem."""
    from pathlib import Path

    from ripresa import InvalidWorkflow

    source = document_of(dedent(text).lstrip("\n"), "order.owf.yaml")
    try:
        open_workflow(source, Path(__file__).parent, None, free=True)
    except InvalidWorkflow as error:
        return [f"{each.where}: {each.message} [{each.code}]" for each in error.problems]
    return []
