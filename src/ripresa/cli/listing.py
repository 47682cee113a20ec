"""Looks into the store: runs, one run with its steps, its events; as tables for readers, as JSON for programs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from typing import Any, cast

from ..advice import mending
from ..app import App
from ..authoring.flow import Runnable
from ..client import Handle
from ..core.events import Failure, Recorded
from ..core.lifecycle import ACTIVE, LISTED, TERMINAL, WAITING
from ..core.limits import AMOUNTS, Limits
from ..core.replay import lineage
from ..core.usage import used_in
from ..core.view import HookWait, RunView
from ..errors import RipresaError
from ..interactions import sequence_diagram
from ..ports import NEVER, Outgoing, RunFilter, RunHead
from ..runtime.results import not_found
from ..runtime.values import Values
from .exits import COMPLETED, UserCodeFailed
from .places import Place
from .plain import (
    amount,
    event_plain,
    head_plain,
    interaction_plain,
    is_left,
    limits_plain,
    parcel_plain,
    run_plain,
    value,
)
from .screen import picture
from .telling import print_json, process_of, told_failure, warn
from .tree import duration, place_at, told_answer

SHOWN = 100
"""How many characters of an input or output `show` prints."""


def list_runs(place: Place, where: RunFilter, *, as_json: bool) -> int:
    """Print runs, newest first. Raises `RipresaError(usage)` for a status that there is not."""
    unknown = [status for status in where.status if status not in LISTED]
    if unknown:
        raise RipresaError(
            f"there is no status {', '.join(unknown)}", code="usage", where="--status", hint=", ".join(LISTED)
        )
    heads, more = ([], False) if place.is_empty else asyncio.run(_heads(place, where))
    if as_json:
        print("[" + ",\n ".join(json.dumps(head_plain(head, owner)) for head, owner in heads) + "]")
    elif not heads:
        warn(f"no runs in {place.shown}{': it is not there, the first run makes it' if place.is_empty else ''}")
    else:
        _print_heads(heads)
        if more:
            warn(f"older ones: {place.command('runs', '--limit', str(where.limit * 10))}")
    return COMPLETED


async def _heads(place: Place, where: RunFilter) -> tuple[list[tuple[RunHead, str | None]], bool]:
    async with place.app() as app:
        page = await app.store.list_runs(replace(where, limit=max(where.limit, 1)))
        return [(head, await _owner(app, head)) for head in page.runs], page.more


async def _owner(app: App, head: RunHead) -> str | None:
    return await app.store.owner(head.id) if head.status in ACTIVE else None


def _print_heads(heads: list[tuple[RunHead, str | None]]) -> None:
    rows = [("RUN", "WORKFLOW", "STATUS", "PROCESS", "STARTED", "TOOK", "ERROR", "TAGS")]
    for head, owner in heads:
        status = f"{head.status} (left)" if is_left(head.status, owner) else head.status
        took = duration(max(head.updated_at - head.created_at, 0)) if head.status in TERMINAL else ""
        process, started = process_of(owner) if owner else "", _clock(head.created_at)
        tags = " ".join(tag.lstrip("?") for tag in head.tags)
        rows.append(
            (
                head.id,
                head.workflow,
                status,
                process,
                started,
                took,
                head.error,
                tags,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _clock(microseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(microseconds / 1_000_000))


# --- one run


def show_run(place: Place, run: str, *, as_json: bool, steps: bool) -> int:
    """Print everything about a run; with `steps` what each was given, if its code is here. Raises `RunNotFound`."""
    return asyncio.run(_show(place, run, as_json, given_to_steps(place, run) if steps else None))


async def _show(place: Place, run: str, as_json: bool, given: Given | None) -> int:
    refuse_empty(place, run)
    async with place.app() as app:
        handle: Handle[Any] = await app.handle(run)
        view, read = await handle.status(), Values(app.store.blob).text
        owner = await app.store.owner(run)
        waiting = await app.store.outgoing_of(run) if view.sent else ()
        history = lineage(await app.engine.history(run))
        limits, used = used_in(item.event for item in history)
        inputs = await given(app, history) if given is not None else {}
        if as_json:
            limited = {"limits": limits_plain(limits), "used": used}
            told: dict[str, Any] = (
                run_plain(view, read, owner) | limited | {"outbox": [parcel_plain(each) for each in waiting]}
            )
            for step in told["steps"] if given is not None else ():
                step["input"] = inputs.get(step["path"])
            print_json(told)
            return COMPLETED
        for name, text in _facts(view, read, owner):
            print(f"{name + ':':<10} {text}")
        if limits:
            print(f"{'limits:':<10} {_told_limits(limits, used, view)}")
        if given is not None:
            _print_steps(view, read, inputs)
        else:
            _print_tree(view)
        for line in (*_told_rules(view), *map(_told_parcel, waiting)):
            print(line)
        for line in told_undoing(view.undone, view.not_undone, view.undo_skipped):
            print(line)
        if view.left:
            print(f"its process has gone; take it up again with: {place.command('resume', run)}")
        if view.failure is not None and view.status == "failed":
            for line in told_failure(view.failure):
                print(line)
            print(f"  hint: {mending(view.failure, view.id, partial(place.command, 'resume'))}")
    return COMPLETED


Given = Callable[[App, list[Recorded]], Awaitable[dict[str, Any]]]
"""Gives what each step of a run was given, by path; nothing, and a line that says why, if that cannot be known."""


def given_to_steps(place: Place, run: str) -> Given:
    """What finds it: inputs are not recorded, they follow from the code, which is loaded before an event loop runs."""
    from ..runtime.comparing import inputs
    from .running import code_of, head_of

    head, why = asyncio.run(head_of(place, run)), ""
    code: Runnable[..., Any] | None = None
    try:
        code = code_of(head, "")
    except RipresaError as error:
        why = error.message
    except UserCodeFailed as error:
        why = f"its code cannot be imported: {error.__cause__}"

    async def given(app: App, line: list[Recorded]) -> dict[str, Any]:
        reason = why
        if code is not None:
            try:
                with redirect_stdout(sys.stderr):  # durable functions are gone through again
                    return {path: json.loads(text) for path, text in inputs(app.engine, head, code, line).items()}
            except RipresaError as error:
                reason = error.message
        warn(f"what steps were given is not shown: {' '.join(reason.split())}")
        return {}

    return given


def show_interactions(place: Place, run: str, *, as_json: bool, diagram: bool) -> int:
    """Print who sent what to whom in a run: lines, a diagram or JSON. Raises `RunNotFound`."""
    return asyncio.run(_interactions(place, run, as_json, diagram))


async def _interactions(place: Place, run: str, as_json: bool, diagram: bool) -> int:
    refuse_empty(place, run)
    async with place.app() as app:
        handle: Handle[Any] = await app.handle(run)
        found = await handle.interactions()
    if as_json:
        print("[" + ",\n ".join(json.dumps(interaction_plain(each)) for each in found) + "]")
    elif diagram:
        print(sequence_diagram(found), end="")
    else:
        for each in found:
            print(each)
    return COMPLETED


def _told_rules(view: RunView) -> Iterator[str]:
    """What the rules about results said."""
    for path, results in view.validations.items():
        for result in results:
            said = "kept" if result.passed else f"{result.severity}: {result.message}"
            yield f"rule {result.rule} of {path or view.workflow}: {said}"


def told_undoing(undone: Iterable[str], failed: Mapping[str, Failure], skipped: Collection[str]) -> Iterator[str]:
    """What was undone, what only counts as such because a hook says so, and what was not."""
    for path in dict.fromkeys(undone):
        yield f"undone: {path}" + (" (skipped: a hook says that it counts as undone)" if path in skipped else "")
    for path, failure in failed.items():
        yield f"not undone: {path}: {failure.message}"


def _told_parcel(parcel: Outgoing) -> str:
    """Something that was sent and is not delivered."""
    how = "given up" if parcel.due == NEVER else "not delivered yet"
    tries = f", {parcel.tries} tries: {parcel.error}" if parcel.tries else ""
    return f"sent by {parcel.path}: {parcel.kind} {parcel.target} ({parcel.id}), {how}{tries}"


def refuse_empty(place: Place, run: str) -> None:
    """Raise `RunNotFound` where looking would have to create a store."""
    if place.is_empty:
        raise not_found(run)


def _facts(view: RunView, read: Any, owner: str | None) -> list[tuple[str, str]]:
    status = WAITING if view.waiting and owner is None else view.status
    status = f"{view.status} (left)" if view.left else status
    found = [
        ("run", view.id),
        ("workflow", f"{view.workflow} (version {view.version})"),
        ("status", status + (f": {view.reason}" if view.reason else "")),
        ("progress", f"{view.completed} of {view.total} steps ({view.percent:.0f}%)"),
        ("limit", f"the limit of {view.limit} is reached" if view.limit else ""),
        ("used", _used(view)),
        ("files", " ".join(view.files)),
        ("waits for", "; ".join(map(_told_wait, view.asked.values()))),
        ("hooks", "; ".join(told_answer(each) for each in view.answers if not place_at(each.path))),
        ("started", _clock(view.created_at)),
        ("updated", _clock(view.updated_at)),
        ("forked from", f"{view.origin}, after event {view.forked_at}" if view.origin else ""),
        ("started by", view.parent and f"run {view.parent}"),
        ("children", ", ".join(f"{run} ({status})" for run, status in view.children.items())),
        ("target", view.target),
        ("tags", " ".join(view.tags)),
        ("session", view.session),
        ("started by", view.by),
        ("driven by", f"process {process_of(owner)}" if owner else ""),
        ("deadline", _clock(view.deadline) if view.deadline else ""),
        ("input", short(value(view.input, read))),
        ("output", short(value(view.output, read)) if view.output is not None else ""),
    ]
    return [(name, text) for name, text in found if text]


def _told_wait(wait: HookWait) -> str:
    """A hook that the run waits for."""
    return f"hook {wait.hook} ({wait.point} of {place_at(wait.path) or 'the run'}) since {_clock(wait.since)}"


def _told_limits(limits: Limits, used: Mapping[str, float], view: RunView) -> str:
    """What a run may use, and what is used of it."""
    now = {**used, "wall_time": view.duration / 1_000_000}
    told = [
        f"{name} {amount(now[name])} of {amount(most)}"
        if name in (*AMOUNTS, "wall_time") and name in now
        else f"{name} {amount(most)}"
        for name, most in limits_plain(limits).items()
        if name != "on_exceeded"
    ]
    return ", ".join([*told, f"then {limits.on_exceeded}"])


def _used(view: RunView) -> str:
    used = [
        f"{view.tokens} tokens" if view.tokens else "",
        _cost(view),
        f"{view.artifacts} artifacts" if view.artifacts else "",
        f"{view.sent} sent" if view.sent else "",
        f"{view.statements} statements" if view.statements else "",
        f"{len(view.interactions)} interactions" if view.interactions else "",
    ]
    took = duration(view.duration) if view.ended else ""
    return ", ".join(filter(None, (took, *used)))


def _cost(view: RunView) -> str:
    """The cost as far as it is known, and whether it is."""
    known = f"cost ${amount(view.cost)}" if view.cost else ""
    if not view.unpriced:
        return known
    return f"{known or 'cost unknown'} ({view.unpriced} uses of models at a price that nobody knows)"


def short(found: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def _print_tree(view: RunView) -> None:
    from rich.console import Console

    now = time.time_ns() // 1000
    width = None if sys.stdout.isatty() else 200
    console = Console(file=sys.stdout, highlight=False, width=width)
    console.print(picture(view, now))


def _print_steps(view: RunView, read: Any, inputs: Mapping[str, Any]) -> None:
    for step in view.steps.values():
        took = duration(step.ended_at - step.scheduled_at) if step.ended_at else ""
        tried = f"attempt {step.attempt}" if step.attempt > 1 else ""
        given = f"given {short(inputs[step.path])}" if inputs.get(step.path, {}) != {} else ""
        output = short(value(step.output, read)) if step.output is not None else ""
        why = f"{step.failure.code}: {step.failure.message}" if step.failure and step.status != "completed" else ""
        hooks = "; ".join(told_answer(each) for each in view.answers if each.path == step.path)
        print("  ".join(filter(None, (step.status, step.path, took, tried, given, output, why, hooks))))


# --- events


def print_events(place: Place, run: str, *, follow: bool, as_json: bool) -> int:
    """Print what the journal says; with `follow` until the run ends or nobody drives it. Raises `RunNotFound`."""
    return asyncio.run(_events(place, run, follow, as_json))


async def _events(place: Place, run: str, follow: bool, as_json: bool) -> int:
    refuse_empty(place, run)
    async with place.app() as app:
        handle: Handle[Any] = await app.handle(run)
        if follow:
            async for recorded in handle.events():
                _print_event(recorded, as_json)
            return COMPLETED
        journal = await app.engine.history(run)
        if as_json:
            print("[" + ",\n ".join(json.dumps(event_plain(recorded)) for recorded in journal) + "]")
        else:
            for recorded in journal:
                _print_event(recorded, False)
    return COMPLETED


def _print_event(recorded: Recorded, as_json: bool) -> None:
    found = event_plain(recorded)
    if as_json:
        print(json.dumps(found), flush=True)
        return
    at = time.strftime("%H:%M:%S", time.localtime(recorded.at / 1_000_000))
    nothing: tuple[Any, ...] = ("", [], None)
    told = {key: fact for key, fact in found.items() if key not in ("seq", "at", "event") and fact not in nothing}
    path = told.pop("path", "")
    facts = "  ".join(f"{key}={_fact(fact)}" for key, fact in told.items())
    millis = recorded.at // 1000 % 1000
    print(f"{recorded.seq:>5}  {at}.{millis:03}  {found['event']:<16} {path}  {facts}".rstrip(), flush=True)


def _fact(found: Any) -> str:
    if isinstance(found, dict) and "message" in found:
        failure = cast("dict[str, str]", found)
        return f"{failure['code']}: {failure['message'].partition(chr(10))[0]}"
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
