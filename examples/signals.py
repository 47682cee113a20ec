"""An order that events carry from state to state: paid, packed, or given up when nobody pays in time.

ripresa run examples/signals.py:order --input '{"number": 7}' --id order-7
ripresa signal order-7 paid '{"amount": 30}' --id payment-1
ripresa signal order-7 packed '"shelf 3"'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, Context, Signal, step, workflow


@dataclass
class Payment:
    amount: int


paid = Signal("paid", Payment)
packed = Signal("packed", str)


@step
async def reserve(number: int) -> int:
    return 10 * number


@step
async def release(number: int) -> None:
    print(f"order {number} is given up")


@step
async def ship(number: int, place: str) -> str:
    return f"order {number} shipped from {place}"


@workflow
async def order(ctx: Context, number: int) -> str:
    price = await reserve(number)
    received = 0
    while received < price:
        try:
            received += (await ctx.wait_for(paid, timeout="14 days")).amount
        except TimeoutError:
            await release(number)
            return f"order {number} was not paid"
    return await ship(number, await ctx.wait_for(packed))


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(order(7))
        await handle.send(paid, Payment(30), id="payment-1")
        await handle.send(packed, "shelf 3")  # early: it is kept
        await handle.send(paid, Payment(30), id="payment-1")  # the same once more: it does not count
        await handle.send(paid, Payment(40), id="payment-2")
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
