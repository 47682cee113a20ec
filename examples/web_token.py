"""A web service that wants a token: asked for by OAuth 2.0, held until it expires, got anew when it is refused.

python examples/web_token.py        # against a small authority and service of its own
"""

from __future__ import annotations

import asyncio
import json
import os

from ripresa import App, map_each
from ripresa.steps import OIDC, Request, Secret, http


class Service:
    """Gives out tokens at /token, and tides to who shows the newest of them."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens = 0

    def answer(self, path: str, headers: str) -> tuple[int, object]:
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "token_endpoint": f"{self.url}/token"}
        if path == "/token":
            self.tokens += 1
            return 200, {"access_token": f"secret-{self.tokens}", "token_type": "Bearer", "expires_in": 3600}
        if f"Bearer secret-{self.tokens}\r\n" in headers:
            return 200, {"port": path.strip("/"), "height": 3.5}
        return 401, {"error": "not the newest token"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0")
        await reader.readexactly(int(length))
        status, said = self.answer(head.split(" ", 2)[1], head)
        body = json.dumps(said)
        writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        writer.close()


async def main() -> None:
    os.environ["TIDES_SECRET"] = "open-sesame"
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    service.url = f"http://{place}"
    auth = OIDC(service.url, client="ripresa", secret=Secret("env:TIDES_SECRET"), scopes=("tides.read",))
    tide = http("GET", f"{service.url}/{{port}}", auth=auth, allow=[place], name="tide")
    async with App("memory:") as app:
        answers = await app.run(map_each(tide)([Request({"port": port}) for port in ("Oban", "Brest", "Naples")]))
        print([answer.json()["port"] for answer in answers], "with", service.tokens, "token")
        service.tokens += 1  # the one that is held is good no longer
        print((await app.run(tide(Request({"port": "Cadiz"})))).status, "with the next one:", service.tokens)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
