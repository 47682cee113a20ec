"""A web service as a step: typed answers, secrets that nobody records, another try when the service says so.

python examples/web_service.py        # against a small service of its own
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass

from ripresa import App, Retry, RunFailed, chain, step
from ripresa.steps import Request, Secret, http


@dataclass
class Tide:
    port: str
    height: float


class Service:
    """Answers every first request with "come back later"."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        if len(self.requests) == 1:
            text = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        else:
            port = head.split(" ", 2)[1].split("/")[2].split("?")[0]
            body = json.dumps({"port": port, "height": 3.5})
            text = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
        writer.write(text.encode())
        writer.close()


@step
async def ask(port: str) -> Request:
    return Request({"port": port}, query={"unit": "m"})


@step
async def tell(tide: Tide) -> str:
    return f"{tide.height} m in {tide.port}"


async def main() -> None:
    os.environ["TIDE_TOKEN"] = "open-sesame"
    service = Service()
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tide = http(
        "GET",
        f"http://{place}/ports/{{port}}/tide",
        returns=Tide,
        auth=Secret("env:TIDE_TOKEN"),
        retry=Retry(3, wait=0.1),
        allow=[place],  # nothing but the public internet is called without it
        name="tide",
    )
    async with App("memory:") as app:
        print(await app.run(chain(ask).then(tide).then(tell)("Oban")))
        print("asked", len(service.requests), "times, with the token:", "open-sesame" in service.requests[0])
        try:
            await app.run(http("GET", name="any")(Request(url="http://169.254.169.254/latest/meta-data")))
        except RunFailed as error:
            print("the inside stays inside:", error.failure.code)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
