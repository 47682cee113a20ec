"""`signal`, `approvals`, `approve`: what is sent to runs from the command line, and what people are asked."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from .. import exchange
from ..app import App
from ..approvals import Answer, OpenApproval, cast, delegate, find
from ..client import Handle
from ..core.durations import seconds
from ..core.events import SignalReceived, SignalRefused
from ..core.lifecycle import TERMINAL
from ..errors import InvalidConfig, InvalidValue, RipresaError
from ..exchange import Asking
from ..runtime.bodies import encode_signal
from .exits import COMPLETED, WAITING
from .inputs import read_input
from .places import Place
from .plain import approval_plain
from .running import LOOK, PATIENCE, code_of, driven, head_of
from .telling import Teller, form_option, print_json, warn


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as it stands on the command line."""

    run: str
    name: str
    value: str = "null"
    id: str = ""
    by: str = ""


def signal(place: Place, sent: Sent, target: str, *, quiet: bool) -> int:
    """Send a signal; without an owner, this process takes the run up and sees what follows.

    Raises `RunNotFound`, `IllegalTransition` for a run that has ended, `InvalidValue`.
    """
    value = read_input(sent.value, "VALUE")
    head = asyncio.run(head_of(place, sent.run))
    id = sent.id or uuid4().hex
    body = encode_signal(sent.name, value, id, sent.by)
    if asyncio.run(_left(place, sent, id, body)):
        return COMPLETED
    workflow = code_of(head, target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.resume(sent.run, workflow)
        if not await app.engine.inbox.signal(sent.run, body, id):
            warn(f"run {sent.run} was sent a signal of this id before")
        return [handle]

    return driven(place, begin, Teller(place, quiet=quiet))


async def _left(place: Place, sent: Sent, id: str, body: bytes) -> bool:
    """Leave the signal for the run's owner and see it taken up; False if there is none."""
    async with place.app() as app:
        if await app.store.owner(sent.run) is None:
            return False
        seq = len(await app.engine.history(sent.run))
        if not await app.engine.inbox.signal(sent.run, body, id):
            warn(f"run {sent.run} was sent a signal of this id before")
            return True
        found = await _answer(app, sent.run, seq, id)
        if isinstance(found, SignalRefused):
            raise InvalidValue(found.failure.message, op="signal", where=sent.name)
        warn(f"run {sent.run} has it" if found else f"sent; run {sent.run} will take it up")
    return True


async def _answer(app: App, run: str, seq: int, id: str) -> SignalReceived | SignalRefused | None:
    """What the run's owner made of the signal, None if nothing within `PATIENCE`."""
    for _ in range(round(PATIENCE / LOOK)):
        for recorded in await app.engine.history(run, seq):
            seq = recorded.seq
            if isinstance(recorded.event, SignalReceived | SignalRefused) and recorded.event.id == id:
                return recorded.event
        await asyncio.sleep(LOOK)
    return None


def update(place: Place, sent: Sent, target: str, *, timeout: str, quiet: bool) -> int:
    """Send an update and print its answer; without an owner, this process takes the run up and sees what follows.

    Raises what `Handle.update` raises; where no answer came it says how the same update is asked about again.
    """
    limit = seconds(timeout, "--timeout")
    if not limit:
        raise InvalidConfig(f"--timeout is {timeout!r}, must be a length of time above 0", op="--timeout")
    asking = Asking(sent.run, sent.name, read_input(sent.value, "VALUE"), sent.id or uuid4().hex, sent.by)
    try:
        return _updated(place, sent, asking, target, limit, quiet=quiet)
    except RipresaError as error:
        if error.code in ("update_timeout", "update_unanswered"):
            again = place.command("update", sent.run, sent.name, "--id", asking.id, "--", sent.value)
            error.hint = f"this gets its answer, and does not count twice: {again}"
        raise


def _updated(place: Place, sent: Sent, asking: Asking, target: str, limit: float, *, quiet: bool) -> int:
    head = asyncio.run(head_of(place, sent.run))
    if asyncio.run(_asked(place, asking, limit, has_ended=head.status in TERMINAL)):
        return COMPLETED
    workflow, out = code_of(head, target), sys.stdout

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.resume(sent.run, workflow)
        with redirect_stdout(out):
            await _ask(app, handle, asking, limit)
        return [handle]

    code = driven(place, begin, Teller(place, quiet=quiet))
    return COMPLETED if code == WAITING else code


async def _asked(place: Place, asking: Asking, limit: float, *, has_ended: bool) -> bool:
    """Ask whoever drives the run, or one that has ended for the answer that it gave; False if there is neither."""
    async with place.app() as app:
        if not has_ended and await app.store.owner(asking.run) is None:
            return False
        await _ask(app, await app.handle(asking.run), asking, limit)
    return True


async def _ask(app: App, handle: Handle[Any], asking: Asking, limit: float) -> None:
    answer = await exchange.update(app.engine, asking, lambda seq: handle.events(after=seq), None, limit)
    print(answer.decode(), flush=True)


# --- approvals


@dataclass(frozen=True, slots=True)
class Vote:
    """An answer to an approval as it stands on the command line; with `to` a delegation."""

    run: str
    name: str
    by: str
    granted: bool = True
    form: str = "null"
    comment: str = ""
    roles: tuple[str, ...] = ()
    digest: str = ""
    to: str = ""


def approvals(place: Place, *, as_json: bool) -> int:
    """Print what people are asked, over all runs."""
    found = [] if place.is_empty else asyncio.run(_open(place))
    if as_json:
        print_json([approval_plain(each) for each in found])
    elif not found:
        warn(f"nobody is asked anything in {place.shown}")
    for each in found if not as_json else ():
        asked = ", ".join(each.assignees) or "anybody"
        print(f"{each.run}  {each.path}  {each.question}  asked: {asked}  {len(each.votes)} of {each.quorum}")
        print(f"  about {each.digest}: {json.dumps(each.about, ensure_ascii=False)}")
        if each.form:
            print(f"  form: {each.form}")
        options = ("--as", "NAME", *form_option(each.form), "--digest", each.digest)
        print(f"  {place.command('approve', each.run, each.path, *options)}")
    return COMPLETED


async def _open(place: Place) -> list[OpenApproval]:
    async with place.app() as app:
        return await app.approvals()


def approve(place: Place, vote: Vote, target: str, *, quiet: bool) -> int:
    """Answer an approval; without an owner, this process takes the run up and sees what follows.

    Without a digest the answer is bound to what is asked now, which is printed.

    Raises `RunNotFound`, `RipresaError` with `not_available`, `vote_refused`.
    """
    form = read_input(vote.form, "--form")
    answer = Answer(vote.by, vote.roles, vote.granted, form, vote.comment, vote.digest)
    head = asyncio.run(head_of(place, vote.run))
    asked, taken = asyncio.run(_answered(place, vote, answer))
    if taken:
        return COMPLETED
    workflow = code_of(head, target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.resume(vote.run, workflow)
        await _sent(app, asked, vote, answer)
        return [handle]

    code = driven(place, begin, Teller(place, quiet=quiet))
    return COMPLETED if code == WAITING else code


async def _answered(place: Place, vote: Vote, answer: Answer) -> tuple[OpenApproval, bool]:
    """Say what is answered, leave the answer for the run's owner and see what it comes to; False if there is none."""
    async with place.app() as app:
        asked = await find(app.engine, vote.run, vote.name)
        if not vote.digest and not vote.to:
            warn(f"{asked.question} about {asked.digest}: {json.dumps(asked.about, ensure_ascii=False)}")
        if await app.store.owner(vote.run) is None:
            return asked, False
        taken = await _sent(app, asked, vote, answer)
        warn("it counts" if taken else f"left; run {vote.run} will take it up")
    return asked, True


async def _sent(app: App, asked: OpenApproval, vote: Vote, answer: Answer) -> bool:
    if vote.to:
        return await delegate(app.engine, asked, answer, vote.to, None)
    return await cast(app.engine, asked, answer, None)
