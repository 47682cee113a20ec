"""Events that a service sends, as a stream: what breaks off goes on after the last event that was stored.

python examples/server_events.py        # against a small service of its own
"""

from __future__ import annotations

import asyncio

from ripresa import App, Retry, step, stream
from ripresa.steps import Request, ServerEvent, http, server_events

LEVELS = ["low", "rising", "high", "falling", "low", "rising"]
stored: list[str] = []
asked_after: list[str] = []


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends what came after the event that it is told of, and breaks off after four."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    last = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("last-event-id")), "0")
    asked_after.append(last)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(int(last), min(int(last) + 4, len(LEVELS))):
        text = f"id: {number + 1}\nevent: tide\ndata: {LEVELS[number]}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))
    if int(last) + 4 >= len(LEVELS):
        writer.write(b"0\r\n\r\n")
    writer.close()


@step
async def store(batch: list[ServerEvent]) -> None:
    stored.extend(event.data for event in batch)


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tides = server_events("GET", f"http://{place}/tides", allow=[place])
    collect = stream(tides, name="collect").batch(2).into(store, retry=Retry(3, wait=0.01))
    tail = http("GET", f"http://{place}/tides", headers={"Last-Event-ID": "4"}, stream="events", allow=[place])
    async with App("memory:") as app:
        result = await app.run(collect(Request()))
        print(result.batches, "batches:", *stored)
        print("asked for what came after", *asked_after)
        print([event.data for event in await app.run(tail())])
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
