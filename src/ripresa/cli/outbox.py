"""`outbox` and `outbox resend`: what runs have sent that is not delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import COMPLETED, NOT_FOUND

if TYPE_CHECKING:
    from ..app import App
    from ..ports import Outgoing

outbox = typer.Typer(rich_markup_mode=None, help="List what runs have sent that is not delivered.")

Store = Annotated[
    str, typer.Option(help="address of the store [default: RIPRESA_STORE or .ripresa/ripresa.db]", show_default=False)
]


@outbox.callback(invoke_without_command=True)
def about_outbox(
    context: typer.Context,
    run: Annotated[str, typer.Option(help="only what this run sent", show_default=False)] = "",
    given_up: Annotated[bool, typer.Option("--given-up", help="only what is not tried any more")] = False,
    store: Store = "",
    json: Annotated[bool, typer.Option("--json", help="print JSON on standard output")] = False,
) -> int:
    """List what runs have sent that is not delivered, oldest first."""
    if context.invoked_subcommand is not None:
        return COMPLETED
    from ..undelivered import undelivered
    from .places import Place
    from .sharing import within

    place = Place(store)

    async def work(app: App) -> int:
        _show([each async for each in undelivered(app.store, run, given_up=given_up)], place.shown, as_json=json)
        return COMPLETED

    if place.is_empty:
        _show([], place.shown, as_json=json)
        return COMPLETED
    return within(place, work)


@outbox.command("resend")
def resend_given_up(
    run: Annotated[str, typer.Argument(help="only what this run sent", show_default=False)] = "",
    number: Annotated[int, typer.Option(min=0, help="only this one", show_default=False)] = 0,
    store: Store = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print errors only")] = False,
) -> int:
    """Let what was given up be tried anew, by any app or worker over the store."""
    from ..undelivered import resend
    from .places import Place
    from .sharing import within
    from .telling import warn

    place = Place(store)

    async def work(app: App) -> int:
        count = await resend(app.store, app.engine.clock.now(), run, number)
        if not quiet or not count:
            again = f"{count} will be sent again; if nothing is at work: {place.command('worker')}"
            warn(again if count else f"nothing was given up in {place.shown}")
        return COMPLETED if count or not number else NOT_FOUND

    if place.is_empty:
        warn(f"nothing was given up in {place.shown}")
        return NOT_FOUND if number else COMPLETED
    return within(place, work)


def _show(found: list[Outgoing], where: str, *, as_json: bool) -> None:
    from ..ports import NEVER
    from .plain import moment, parcel_plain
    from .sharing import print_table
    from .telling import print_json

    if as_json:
        plain: list[dict[str, Any]] = [
            {"number": each.number, "run": each.run, **parcel_plain(each), "at": moment(each.at)} for each in found
        ]
        print_json(plain)
        return
    rows = [
        (
            str(each.number),
            each.run,
            each.path,
            each.kind,
            each.target,
            "given up" if each.due == NEVER else "waits",
            str(each.tries),
            each.error,
        )
        for each in found
    ]
    head = ("NUMBER", "RUN", "STEP", "KIND", "TO", "STATE", "TRIES", "LAST ERROR")
    print_table(head, rows, f"nothing waits to be delivered in {where}")
