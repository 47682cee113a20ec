"""Journals and artifacts of runs as MCP resources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from typing_extensions import override

from ..app import App
from ..cli.plain import event_plain, run_plain
from ..ports import RunHead
from ..runtime.values import Values
from .desk import Content, ServedResource, Shelf

RUNS: Final = "ripresa://runs/"
PAGE: Final = 50

LINES: Final = "application/x-ndjson"
FEWEST: Final = 100


def uri_of(run: str) -> str:
    """The URI of a run."""
    return f"{RUNS}{quote(run, safe='')}"


class Records(Shelf):
    """What is recorded of the runs of an app."""

    templates: Sequence[ServedResource] = (
        ServedResource(f"{RUNS}{{run}}", "run", "How a run stands: status, steps, output, totals"),
        ServedResource(f"{RUNS}{{run}}/journal", "journal", "The events of a run, a JSON object on each line", LINES),
        ServedResource(
            f"{RUNS}{{run}}/artifacts/{{name}}", "artifact", "A result file of a run, its newest version", "*/*"
        ),
    )

    def __init__(self, app: App) -> None:
        self.app = app

    @override
    async def page(self, after: str) -> tuple[Sequence[ServedResource], str]:
        found = await self.app.runs(after=after, limit=PAGE)
        return list(map(_listed, found.runs)), found.runs[-1].id if found.more else ""

    @override
    async def read(self, uri: str) -> Content | None:
        if not uri.startswith(RUNS):
            return None
        run, *rest = (unquote(part) for part in uri.removeprefix(RUNS).split("/"))
        match rest:
            case []:
                return await self._run(run)
            case ["journal"]:
                return await self._journal(run)
            case ["artifacts", name]:
                return await self._artifact(run, name)
            case _:
                return None

    async def _run(self, run: str) -> Content:
        handle = await self.app.handle(run)
        read: Any = Values(self.app.store.blob).text
        plain = run_plain(await handle.status(), read, await self.app.store.owner(run))
        return Content(json.dumps(plain, ensure_ascii=False).encode())

    async def _journal(self, run: str) -> Content:
        await self.app.handle(run)
        events = await self.app.engine.history(run)
        lines = [json.dumps(event_plain(each), ensure_ascii=False) for each in events]
        return Content("".join(f"{line}\n" for line in lines).encode(), LINES)

    async def _artifact(self, run: str, name: str) -> Content:
        versions = await self.app.artifacts.versions(name, run=run)
        body = await self.app.artifacts.get(name, run=run)
        return Content(body, versions[-1].media_type)

    @override
    async def complete(self, hole: str, begun: str, others: Mapping[str, str]) -> Sequence[str]:
        if hole == "run":
            page = await self.app.runs(limit=FEWEST)
            return [head.id for head in page.runs if head.id.startswith(begun)]
        if hole == "name" and others.get("run"):
            found = await self.app.artifacts.list(run=others["run"])
            return [each.name for each in found if each.name.startswith(begun)]
        return ()


def _listed(head: RunHead) -> ServedResource:
    return ServedResource(uri_of(head.id), head.id, f"a run of {head.workflow}: {head.status}")
