"""An agent made with the real SDK of Agent2Agent, on the loopback interface, that does what it is told and counts."""

# ruff: noqa: ASYNC110

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from a2a.helpers import (
    new_data_part,
    new_raw_part,
    new_task_from_user_message,
    new_text_message,
    new_text_part,
    new_url_part,
)
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette
from starlette.middleware import Middleware

BINDINGS = {"JSONRPC": "/rpc", "HTTP+JSON": "/rest"}


class Worker(AgentExecutor):
    """Does what the first word of a message says."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.cancelled: list[str] = []
        self.working = asyncio.Event()
        self.released = asyncio.Event()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        said = context.get_user_input()
        self.sent.append(said)
        word = said.partition(" ")[0]
        if word == "chat":
            await event_queue.enqueue_event(new_text_message("hello", context_id=context.context_id))
            return
        task = context.current_task or new_task_from_user_message(context.message)
        if context.current_task is None:
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await getattr(self, f"_{word}", self._work)(updater, said)

    async def _work(self, updater: TaskUpdater, said: str) -> None:
        await updater.start_work(updater.new_agent_message([new_text_part("on it")]))
        await updater.add_artifact([new_text_part("It is ")], artifact_id="a", name="answer")
        await updater.add_artifact([new_text_part("done")], artifact_id="a", name="answer", append=True)
        await updater.complete()

    async def _data(self, updater: TaskUpdater, said: str) -> None:
        await updater.add_artifact([new_data_part({"port": "Oban", "height": 3, "days": [1.5]})])
        await updater.complete()

    async def _files(self, updater: TaskUpdater, said: str) -> None:
        parts = [
            new_raw_part(b"high", "text/plain", "../tide.txt"),
            new_raw_part(b"low", "text/plain", "tide.txt"),
            new_url_part("https://example.com/map.png", "image/png"),
        ]
        await updater.add_artifact(parts, name="..")
        await updater.complete()

    async def _ask(self, updater: TaskUpdater, said: str) -> None:
        await updater.requires_input(updater.new_agent_message([new_text_part("Which port?")]))

    async def _login(self, updater: TaskUpdater, said: str) -> None:
        await updater.requires_auth(updater.new_agent_message([new_text_part("Who are you?")]))

    async def _fail(self, updater: TaskUpdater, said: str) -> None:
        if len(self.sent) > 1 and "once" in said:
            return await self._work(updater, said)
        return await updater.failed(updater.new_agent_message([new_text_part("no wind; sesame")]))

    async def _reject(self, updater: TaskUpdater, said: str) -> None:
        await updater.reject()

    async def _raise(self, updater: TaskUpdater, said: str) -> None:
        raise RuntimeError("out of order")

    async def _wait(self, updater: TaskUpdater, said: str) -> None:
        await updater.start_work()
        self.working.set()
        await self.released.wait()
        await self._work(updater, said)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        self.cancelled.append(context.task_id)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class Remote:
    """A running agent: where it is, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.place = f"127.0.0.1:{port}"
        self.url = f"http://{self.place}"
        self.worker = Worker()
        self.asked: list[tuple[str, str, dict[str, str]]] = []


class Noting:
    """Notes each request, answers some with a status alone, and loses what others were answered with."""

    def __init__(self, app: Any, remote: Remote, refusals: dict[str, int], lost: list[str]) -> None:
        self.app, self.remote, self.refusals, self.lost = app, remote, refusals, lost

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.remote.asked.append((scope["method"], scope["path"], headers))
        status = self.refusals.get(scope["path"])
        if self.lost and scope["path"] == self.lost[0]:
            self.lost.pop(0)

            async def nowhere(message: Any) -> None:
                return None

            await self.app(scope, receive, nowhere)
            return await answer(send, 502)
        if status is None:
            return await self.app(scope, receive, send)
        return await answer(send, status, (b"retry-after", b"7"))


async def answer(send: Any, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"sesame"})


@asynccontextmanager
async def remote(
    *,
    binding: str = "JSONRPC",
    streaming: bool = True,
    refusals: dict[str, int] | None = None,
    lost: list[str] | None = None,
    elsewhere: str = "",
    port: int = 0,
) -> AsyncIterator[Remote]:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    found = Remote(listening.getsockname()[1])
    card = AgentCard(
        name="Tides",
        description="knows the tides",
        version="1",
        supported_interfaces=[
            AgentInterface(
                url=f"{elsewhere or found.url}{BINDINGS[binding]}", protocol_binding=binding, protocol_version="1.0"
            )
        ],
        capabilities=AgentCapabilities(streaming=streaming),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="tides", name="tides", description="tells the tide", tags=["sea"])],
    )
    handler = DefaultRequestHandler(found.worker, InMemoryTaskStore(), card)
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/rpc"),
        *create_rest_routes(handler, path_prefix="/rest"),
    ]
    app = Starlette(
        routes=routes, middleware=[Middleware(Noting, remote=found, refusals=refusals or {}, lost=lost or [])]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.001)
        yield found
    finally:
        found.worker.released.set()
        server.should_exit = True
        await serving
        listening.close()
