"""A step that a person does: a question with a form, and what is filled in goes on as a value. Durable, for days.

python examples/human.py
ripresa run examples/human.py:restock --input '"lamps"'      # then: ripresa approve RUN --as ann --form '{...}'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, chain, step
from ripresa.steps import human


@dataclass
class Order:
    count: int
    because: str


@step
async def place(order: Order) -> str:
    return f"ordered {order.count} lamps: {order.because}"


restock = chain(human("How many lamps shall we order?", form=Order, timeout="3 days"), name="restock").then(place)


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(restock("lamps"))
        async for recorded in handle.events():
            if type(recorded.event).__name__ == "ApprovalRequested":
                break
        (asked,) = await handle.approvals()
        print(asked.question, asked.about)
        await handle.approve(by="ann", form=Order(7, "the shelf is empty"))
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
