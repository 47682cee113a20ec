"""Many runs at once: chosen by a filter, asked one after another, and reported together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .authoring.options import bad_count, bad_kind, bad_names, refuse
from .core.durations import microseconds_of
from .core.lifecycle import ACTIVE, LISTED, LIVE, TERMINAL, WAITING
from .errors import RipresaError
from .ports import RunFilter, RunHead
from .retention import bury

if TYPE_CHECKING:
    from .app import App

PAGE: Final = 200
"""Runs that are read, and asked, at a time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run that could not be asked, and why."""

    run: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a request to many runs: the ids of those that took it, and those that did not."""

    done: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Selection:
    """The runs of an app that a filter chooses; see `App.select`. Nothing is read before it is asked for.

    A request goes to every run by itself: one that refuses keeps no other from it. Without a status of its own the
    filter stands for the runs that a request makes sense for: all unfinished ones, or the failed ones for `retry`.
    """

    def __init__(self, app: App, where: RunFilter) -> None:
        self._app = app
        self._where = where

    async def __aiter__(self) -> AsyncIterator[RunHead]:
        async for page in self._pages(()):
            for head in page:
                yield head

    async def count(self) -> int:
        """How many there are now."""
        return sum([len(page) async for page in self._pages(())])

    async def cancel(self, reason: str = "", *, by: str = "") -> Report:
        """Ask each to stop and clean up. One that nobody drives is taken up here for it."""
        return await self._each(LIVE, lambda head: self._handled(head, "cancel", reason=reason, by=by))

    async def terminate(self, reason: str = "", *, by: str = "") -> Report:
        """Kill each: nothing is cleaned up."""
        return await self._each(LIVE, lambda head: self._handled(head, "terminate", reason=reason, by=by))

    async def pause(self, reason: str = "", *, by: str = "") -> Report:
        """Let each start nothing new."""
        return await self._each(("running", WAITING), lambda head: self._handled(head, "pause", reason=reason, by=by))

    async def resume(self, *, by: str = "") -> Report:
        """Take up each that nobody drives, and let those that are paused go on. They run on after this returns."""
        return await self._each(ACTIVE, lambda head: self._resume(head, by))

    async def retry(self, *, by: str = "") -> Report:
        """Take up each that failed, from its first unfinished steps. They run on after this returns."""
        return await self._each(("failed",), lambda head: self._resume(head, by))

    async def prune(
        self, *, ended_before: datetime | None = None, archive: Path | None = None, by: str = "", reason: str = ""
    ) -> Report:
        """Remove those that have ended (before a moment), with all that is their own; a tombstone stays of each.

        With `archive` each is written to a file in that folder first, from which `App.restore` brings it back. Values
        that nothing names any more are removed a day later: see `App.sweep`.
        """
        limit = None if ended_before is None else microseconds_of(ended_before)
        heads = [
            head
            async for page in self._pages(tuple(TERMINAL))
            for head in page
            if limit is None or head.updated_at < limit
        ]
        done: list[str] = []
        refused: list[Refusal] = []
        now = self._app.engine.clock.now()
        for head in heads:
            refusal = await _asked(
                head, lambda each: bury(self._app.store, each, now, by=by, reason=reason, archive=archive)
            )
            if refusal is None:
                done.append(head.id)
            else:
                refused.append(refusal)
        return Report(tuple(done), tuple(refused))

    async def _handled(self, head: RunHead, action: str, **options: str) -> None:
        handle = await self._app.handle(head.id)
        await getattr(handle, action)(**options)

    async def _resume(self, head: RunHead, by: str) -> None:
        if head.status == "paused":
            await (await self._app.handle(head.id)).resume(by=by)
        elif head.status in TERMINAL or not await self._app.engine.is_driven(head.id):
            await self._app.resume(head.id)

    async def _each(self, statuses: tuple[str, ...], ask: Callable[[RunHead], Awaitable[None]]) -> Report:
        done: list[str] = []
        refused: list[Refusal] = []
        async for page in self._pages(statuses):
            for head, refusal in zip(page, await asyncio.gather(*(_asked(head, ask) for head in page)), strict=True):
                if refusal is None:
                    done.append(head.id)
                else:
                    refused.append(refusal)
        return Report(tuple(done), tuple(refused))

    async def _pages(self, statuses: tuple[str, ...]) -> AsyncIterator[tuple[RunHead, ...]]:
        """The chosen runs, newest first; those that begin meanwhile are not among them."""
        where: Any = replace(self._where, status=self._where.status or statuses, limit=PAGE)
        more = True
        while more:
            page = await self._app.store.list_runs(where)
            more = page.more
            if page.runs:
                yield page.runs
                where = replace(where, after=page.runs[-1].id)


async def _asked(head: RunHead, ask: Callable[[RunHead], Awaitable[None]]) -> Refusal | None:
    try:
        await ask(head)
    except RipresaError as error:
        return Refusal(head.id, error.code, error.message)
    return None


def where_of(
    status: str | Iterable[str],
    workflow: str,
    tag: str,
    created_after: datetime | None,
    created_before: datetime | None,
    **page: Any,
) -> RunFilter:
    """The filter for runs with one of these statuses, of this workflow, with this tag, begun in this time.

    `page` says `after` which run of which `session` it begins, and its `limit`. Raises `InvalidConfig` that names
    every field with a value that it cannot have.
    """
    listed = isinstance(status, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]
    statuses: tuple[str, ...] = ()
    if listed:
        statuses = (status,) if isinstance(status, str) and status else tuple(status)
    texts = {"workflow": workflow, "tag": tag, **{name: it for name, it in page.items() if name != "limit"}}
    refuse(
        "runs",
        bad_names(statuses, "status", LISTED) if listed else f"status is {status!r}, must be a text or several",
        *(bad_kind(text, name, str, "a text") for name, text in texts.items()),
        bad_kind(created_after, "created_after", (datetime, type(None)), "a datetime"),
        bad_kind(created_before, "created_before", (datetime, type(None)), "a datetime"),
        bad_count(page["limit"], "limit") if page else None,
    )
    return RunFilter(statuses, workflow, tag, _moment(created_after), _moment(created_before), **page)


def _moment(value: datetime | None) -> int:
    if value is None:
        return 0
    return microseconds_of(value)
