"""Webhooks out and in: two apps that tell each other, signed, once each.

python examples/webhooks.py
"""

from __future__ import annotations

import asyncio
import os

from ripresa import App, Call, RipresaError, step
from ripresa.steps import Endpoint, Incoming, Secret, WebhookEvent, send_webhook

KEY = Secret("env:SHOP_KEY")


@step
async def sell(order: int) -> int:
    send_webhook("warehouse", "order.paid", {"order": order})
    return order


@step
async def ship(order: int) -> str:
    return f"order {order} is on its way"


def then(event: WebhookEvent) -> Call[str] | None:
    return ship(event.data["order"]) if event.type == "order.paid" else None


class Warehouse:
    """Takes requests, as any web framework would."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.incoming = Incoming("shop", KEY, then)
        self.told: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int({name.lower(): text for name, text in headers.items()}["content-length"]))
        status = "204 No Content"
        try:
            received = await self.incoming.receive(self.app, headers, body)
            self.told.append(received.run or "of no interest")
            await self.incoming.receive(self.app, headers, body)  # it comes twice: that changes nothing
            await self.incoming.receive(self.app, headers, body + b" ")
        except RipresaError as error:
            print("somebody else's:", error.code)
        writer.write(f"HTTP/1.1 {status}\r\nconnection: close\r\n\r\n".encode())
        writer.close()


async def main() -> None:
    os.environ["SHOP_KEY"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with App("memory:") as stock:
        warehouse = Warehouse(stock)
        server = await asyncio.start_server(warehouse.answer, "127.0.0.1", 0)
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        endpoint = Endpoint("warehouse", f"http://{place}/", KEY, events=("run.completed",), allow=(place,))
        async with App("memory:", webhooks=[endpoint]) as shop:
            await shop.run(sell(7))
            while len(warehouse.told) < 2:  # noqa: ASYNC110 - it looks
                await asyncio.sleep(0.01)
        runs = (await stock.runs()).runs
        print(await (await stock.handle(runs[0].id)).result(), "- runs:", len(runs))
        print("then:", warehouse.told[1])
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
