"""A step that books a seat, tells the run that waits for it, starts the ticket and queues a letter: all, or nothing.

python examples/outbox.py
"""

from __future__ import annotations

import asyncio
import json

from ripresa import App, Context, Retry, Signal, chain, current, step, workflow
from ripresa.ports import Outgoing

booked = Signal("booked", int)
posted = asyncio.Event()


@workflow
async def traveller(ctx: Context) -> int:
    return await ctx.wait_for(booked)


@step
async def print_ticket(seat: int) -> str:
    return f"ticket for seat {seat}"


@step(retry=Retry(2, 0))
async def book(seat: int) -> str:
    context = current()
    context.send("ann", booked, seat)
    context.queue("letter", {"seat": seat}, target="ann@example.org")
    ticket = context.start(print_ticket(seat))
    if context.attempt == 1:
        raise ConnectionError("the line was cut")  # what this attempt has sent never leaves
    return ticket


async def post(letter: Outgoing) -> None:
    """Delivers letters; the id is the same however often it is called."""
    print("letter to", letter.target, json.loads(letter.body))
    posted.set()


async def main() -> None:
    async with App("memory:", senders={"letter": post}) as app:
        ann = await app.start(traveller(), id="ann")
        ticket = await app.run(chain(book)(7))
        print("ann sits on", await ann.result())
        print(await app.run(print_ticket(7), id=ticket))
        await posted.wait()


if __name__ == "__main__":
    asyncio.run(main())
