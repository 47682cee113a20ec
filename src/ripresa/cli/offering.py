"""`a2a`: workflows that agents of elsewhere can ask, until Ctrl-C."""

from __future__ import annotations

from contextlib import closing, redirect_stdout
from sys import stderr
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import INTERRUPTED

if TYPE_CHECKING:
    from ..app import App
    from ..authoring.flow import Runnable
    from ..server.ending import Ending
    from .driving import Interrupt
    from .places import Place

Targets = Annotated[
    list[str], typer.Argument(help="file.py:name, package.module:name, or a document", metavar="TARGET...")
]
Http = Annotated[str, typer.Option("--http", help="where to listen: HOST:PORT, or PORT", metavar="HOST:PORT")]
Url = Annotated[str, typer.Option(help="where others reach it, if that is elsewhere", show_default=False)]
Token = Annotated[str, typer.Option(help="the bearer token that is needed: env:NAME or file:PATH", show_default=False)]
Store = Annotated[
    str, typer.Option(help="address of the store [default: RIPRESA_STORE or .ripresa/ripresa.db]", show_default=False)
]


def a2a(targets: Targets, http: Http = "127.0.0.1:8710", url: Url = "", token: Token = "", store: Store = "") -> int:
    """Offer workflows to agents that speak Agent2Agent, and drive what they start, until Ctrl-C."""
    import asyncio

    from .inputs import load
    from .places import Place

    workflows = [load(target) for target in targets]
    with redirect_stdout(stderr):
        return asyncio.run(_offer(Place(store), workflows, http, url, token))


async def _offer(place: Place, workflows: list[Runnable[..., Any]], http: str, url: str, token: str) -> int:
    from ..app import App
    from ..authoring.single import Single
    from ..server.a2a_app import a2a_app
    from ..server.ending import Ending
    from ..server.running import served
    from ..server.serving import address_of, check_open, listening
    from ..steps.secret import Secret
    from .driving import Interrupt
    from .telling import warn

    secret = Secret(token) if token else None
    if secret is not None:
        secret.read()  # one that is missing is told now, not to who asks
    wanted = address_of(http)
    check_open(wanted, secret)
    interrupt = Interrupt()
    with interrupt.heard():
        known: list[Any] = [each.step if isinstance(each, Single) else each for each in workflows]
        async with App(place.store(), workflows=known) as app:
            opened, address = listening(wanted)
            public = url or address.url
            with closing(opened):
                ending = Ending(a2a_app(app, *workflows, url=public, token=secret))
                async with served(ending, opened):
                    for each in workflows:
                        warn(f"{each.name}: {public}/{each.name}/.well-known/agent-card.json")
                    await _work(app, interrupt, ending)
    return INTERRUPTED


async def _work(app: App, interrupt: Interrupt, ending: Ending) -> None:
    """Drive what is due until Ctrl-C, then end what is still waited for. Raises what keeps it from being driven."""
    import asyncio

    working, asked = asyncio.create_task(app.work()), asyncio.create_task(interrupt.asked.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, asked):
            task.cancel()
        await asyncio.wait({working, asked})
        await ending.end()
    if not working.cancelled():
        working.result()
