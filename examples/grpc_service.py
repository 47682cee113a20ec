"""A gRPC service as a step: its .proto file says what is called, messages are plain data.

python examples/grpc_service.py        # against a small service of its own
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ripresa import App, RunFailed, chain, step
from ripresa.steps import grpc

PROTO = """
syntax = "proto3";
package tides;
service Tides {
  rpc Find (Ask) returns (Tide);
  rpc Next (Ask) returns (stream Tide);
}
message Ask { string port = 1; int32 many = 2; }
message Tide { string port = 1; double metres = 2; }
"""


@dataclass
class Tide:
    port: str
    metres: float


def service(proto: str) -> Any:
    """A service of its own: with the messages that the step compiles, too."""
    from ripresa.steps.protos import services_in

    library: Any = import_module("grpc")
    find, following = (services_in(proto, ()).method(f"tides.Tides/{name}") for name in ("Find", "Next"))

    async def answer_find(ask: Any, context: Any) -> Any:
        if ask.port == "Zurich":
            await context.abort(library.StatusCode.NOT_FOUND, "no tides there")
        return find.gives(port=ask.port, metres=3.5)

    async def answer_next(ask: Any, context: Any) -> Any:
        for number in range(ask.many):
            yield find.gives(port=ask.port, metres=number)

    one, many = library.unary_unary_rpc_method_handler, library.unary_stream_rpc_method_handler
    methods = {
        "Find": one(answer_find, find.takes.FromString, find.gives.SerializeToString),
        "Next": many(answer_next, following.takes.FromString, following.gives.SerializeToString),
    }
    server = library.aio.server()
    server.add_generic_rpc_handlers((library.method_handlers_generic_handler("tides.Tides", methods),))
    return server


@step
async def ask(port: str) -> dict[str, Any]:
    return {"port": port}


async def main(folder: Path) -> None:
    proto = folder / "tides.proto"
    proto.write_text(PROTO)
    server = service(str(proto))
    place = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    find = grpc(
        place, "tides.Tides/Find", proto=proto, returns=Tide, tls=False, allow=[place], deadline=20, effect="read"
    )
    following = grpc(place, "tides.Tides/Next", proto=proto, tls=False, allow=[place], most=10, effect="read")
    async with App("memory:") as app:
        print(await app.run(chain(ask).then(find)("Oban")))
        print(json.dumps(await app.run(following({"port": "Brest", "many": 2}))))
        try:
            await app.run(find({"port": "Zurich"}))
        except RunFailed as error:
            print(error.failure.code, "NOT_FOUND" in error.failure.message)
    await server.stop(None)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(main(Path(scratch)))
