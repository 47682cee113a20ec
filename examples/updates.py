"""An auction whose bids are updates: each gets an answer that is recorded, or is refused with the reason.

ripresa run examples/updates.py:auction --input 100 --id lot-3
ripresa update lot-3 bid '{"name": "ann", "amount": 120}'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, Context, RipresaError, Update, step, workflow


@dataclass
class Bid:
    name: str
    amount: int


@dataclass
class Standing:
    leader: str
    amount: int
    left: int


bid = Update("bid", Bid, Standing)


@step
async def announce(bid: Bid) -> str:
    return f"sold to {bid.name} for {bid.amount}"


@workflow
async def auction(ctx: Context, least: int) -> str:
    best = Bid("nobody", least)
    for left in (2, 1, 0):
        offer = await ctx.next_update(bid)
        while offer.value.amount <= best.amount:
            await offer.refuse(f"{best.name} has said {best.amount}")
            offer = await ctx.next_update(bid)
        best = offer.value
        await offer.answer(Standing(best.name, best.amount, left))
    return await announce(best)


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(auction(100))
        first = await handle.update(bid, Bid("ann", 120), id="ann-1")
        again = await handle.update(bid, Bid("ann", 120), id="ann-1")  # sent again: it counts once
        print(first)
        print(again)
        try:
            await handle.update(bid, Bid("bob", 110))
        except RipresaError as error:
            print(f"{error.code}: {error.message}")
        await handle.update(bid, Bid("bob", 130))
        await handle.update(bid, Bid("ann", 150))
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
