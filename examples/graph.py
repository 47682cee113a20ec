"""A graph: steps by dependency. What does not wait for each other runs side by side; conditions leave nodes out.

python examples/graph.py
ripresa run examples/graph.py:order --input '{"article": "lamp", "count": 3}'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, Graph, step


@dataclass
class Order:
    article: str
    count: int = 1


@dataclass
class Offer:
    price: float
    in_stock: int


@step(effect="read")
async def look_up(article: str) -> Offer:
    await asyncio.sleep(0.05)
    return Offer(price=12.5 * len(article), in_stock=2 * len(article))


@step(effect="read")
async def exchange_rate() -> float:
    await asyncio.sleep(0.05)
    return 0.9


@step(effect="pure")
def total(offer: Offer, count: int, rate: float) -> float:
    return round(offer.price * count * rate, 2)


@step
async def ship(article: str, count: int, total: float) -> str:
    return f"{count} x {article} on the way, {total:.2f} to pay"


@step
async def wait_list(article: str) -> str:
    return f"no more {article}s than the stock has; you are on the list"


graph = Graph("order", input=Order)
offer = graph.add(look_up(graph.input.article))
rate = graph.add(exchange_rate())  # waits for nothing: runs beside look_up
price = graph.add(total(offer.out, graph.input.count, rate.out))
enough = offer.out.in_stock >= graph.input.count
shipped = graph.add(ship(graph.input.article, graph.input.count, price.out), when=enough)
listed = graph.add(wait_list(graph.input.article), unless=enough)
order = graph.returns(graph.first(shipped, listed).out)


async def main() -> None:
    async with App() as app:
        print(await app.run(order(Order("lamp", 3))))
        print(await app.run(order(Order("lamp", 100))))


if __name__ == "__main__":
    asyncio.run(main())
