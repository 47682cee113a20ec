"""Workflows offered to agents of elsewhere, asked by the real SDK's client and by our own step."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers import get_data_parts, get_text_parts, new_data_part, new_raw_part, new_text_part
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from ripresa import App, Context, InvalidConfig, RipresaError, Signal, chain, current, step, workflow
from ripresa.authoring.single import runnable_of
from ripresa.core.view import RunView
from ripresa.server.a2a_app import a2a_app
from ripresa.server.a2a_tasks import Question, Seen
from ripresa.server.described import Described, described
from ripresa.server.running import served
from ripresa.server.serving import Address, address_of, check_open, listening
from ripresa.steps import AgentRequest, Secret, a2a_agent


@dataclass
class Port:
    name: str
    days: int = 1


@dataclass
class Note:
    text: str


released: dict[str, asyncio.Event] = {}
said = Signal("said", str)


@step
async def measure(port: Port) -> dict[str, Any]:
    """Measures the tide."""
    current().progress(1, 2, "measuring")
    current().write("it ")
    current().write("rises")
    current().save_artifact("tide.txt", f"{port.name}: high", media_type="text/plain")
    if port.name == "nowhere":
        raise ValueError("there is no sea")
    return {"port": port.name, "days": port.days}


@step
async def shout(text: str) -> str:
    return text.upper()


@step
async def hang(text: str) -> str:
    await released.setdefault(text, asyncio.Event()).wait()
    return text


@workflow
async def asks(ctx: Context, topic: str) -> str:
    """Asks before it publishes."""
    if not (await ctx.approval("Publish?", topic, name="publish")).granted:
        return "not published"
    note = await ctx.approval("Under which title?", form=Note)
    word = await ctx.wait_for(said)
    return f"{topic}, {note.form.text if note.form else ''}, {word}"


class Served:
    def __init__(self, app: App, address: Address, http: httpx.AsyncClient) -> None:
        self.app, self.address, self.http = app, address, http
        self.place = f"{address.host}:{address.port}"

    async def client(self, path: str = "", **options: Any) -> Client:
        card = await A2ACardResolver(self.http, self.address.url + path).get_agent_card()
        return ClientFactory(ClientConfig(httpx_client=self.http, **options)).create(card)


@asynccontextmanager
async def offered(*workflows: Any, token: Secret | None = None) -> AsyncIterator[Served]:
    opened, address = listening(Address())
    async with App("memory:") as app:
        application = a2a_app(app, *workflows, url=address.url, token=token)
        async with served(application, opened), httpx.AsyncClient() as http:
            yield Served(app, address, http)


def message(*parts: str | Part, **more: Any) -> Message:
    made = [new_text_part(each) if isinstance(each, str) else each for each in parts]
    return Message(**{"message_id": str(uuid4()), "role": Role.ROLE_USER, "parts": made, **more})


async def sent(client: Client, *parts: str | Part, now: bool = False, **more: Any) -> list[StreamResponse]:
    request = SendMessageRequest(
        message=message(*parts, **more), configuration=SendMessageConfiguration(return_immediately=now)
    )
    return [each async for each in client.send_message(request)]


async def task_of(client: Client, *parts: str | Part, **more: Any) -> Task:
    return (await sent(client, *parts, **more))[-1].task


async def begun(client: Client, *parts: str | Part, **more: Any) -> Task:
    """The task as it stands at first; what follows is not listened to."""
    stream = client.send_message(SendMessageRequest(message=message(*parts, **more)))
    async for first in stream:
        return first.task
    raise AssertionError


def texts(task: Task) -> list[str]:
    return [text for each in task.artifacts for text in get_text_parts(each.parts)]


def question(task: Task) -> str:
    assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    return get_text_parts(task.status.message.parts)[0]


async def test_a_card_tells_what_a_workflow_takes_and_gives() -> None:
    async with offered(measure) as found:
        for path in ("", "/measure"):
            card = await A2ACardResolver(found.http, found.address.url + path).get_agent_card()
            assert (card.name, card.description) == ("measure", "Measures the tide.")
            assert card.skills[0].name == "measure"
            assert '"name"' in card.skills[0].description
            assert dict(card.capabilities.extensions[0].params)["input"]["properties"]["name"]["type"] == "string"
            assert card.capabilities.streaming
            assert not card.capabilities.push_notifications
            assert not card.security_schemes


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_a_message_starts_a_run_and_its_task_has_what_came_of_it(binding: str) -> None:
    async with offered(measure) as found:
        client = await found.client(streaming=False, supported_protocol_bindings=[binding])
        task = await task_of(client, new_data_part({"name": "Oban", "days": 3}), context_id="c-1")
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert get_data_parts(task.artifacts[0].parts) == [{"port": "Oban", "days": 3}]
        assert (task.artifacts[1].name, task.artifacts[1].parts[0].raw) == ("tide.txt", b"Oban: high")
        assert task.context_id == "c-1"
        assert task.history[0].role == Role.ROLE_USER
        view = await (await found.app.handle(task.id)).status()
        assert (view.session, view.by) == ("a2a:measure:c-1", "a2a")
        again = await task_of(client, '{"name": "Oban"}', context_id="c-1")
        assert get_data_parts(again.artifacts[0].parts) == [{"port": "Oban", "days": 1}]


async def test_a_stream_tells_how_far_it_is_and_what_came_of_it() -> None:
    @step
    async def draft(topic: str) -> str:
        await released.setdefault(topic, asyncio.Event()).wait()
        current().progress(1, 2, "half of it")
        for word in ("it ", "rises"):
            current().write(word)
            await asyncio.sleep(0)
        current().save_artifact("tide.txt", topic)
        return "it rises"

    async with offered(draft) as found:
        client = await found.client()
        news: list[StreamResponse] = []
        async for each in client.send_message(SendMessageRequest(message=message("drafted"))):
            released.setdefault("drafted", asyncio.Event()).set()
            news.append(each)
    assert news[0].task.status.state == TaskState.TASK_STATE_WORKING
    told = [text for each in news for text in get_text_parts(each.status_update.status.message.parts)]
    assert told == ["half of it", "draft is done"]
    given = [each.artifact_update.artifact for each in news if each.HasField("artifact_update")]
    assert [each.name for each in given[-2:]] == ["output", "tide.txt"]
    assert "".join(text for each in given[:-2] for text in get_text_parts(each.parts)) == "it rises"
    assert news[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def test_the_same_message_starts_nothing_again() -> None:
    async with offered(shout) as found:
        client = await found.client(streaming=False)
        first, second = [await task_of(client, "tide", message_id="m-1") for _ in range(2)]
        assert first.id == second.id
        assert texts(second) == ["TIDE"]
        assert len((await found.app.runs()).runs) == 1
        with pytest.raises(InvalidParamsError, match="used for something else"):
            await task_of(client, "ebb", message_id="m-1")


async def test_a_run_that_failed_is_a_task_that_failed() -> None:
    async with offered(measure) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, new_data_part({"name": "nowhere"}))
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert "there is no sea" in get_text_parts(task.status.message.parts)[0]


async def test_what_a_run_asks_is_answered_by_messages() -> None:
    async with offered(asks) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, "tides")
        assert question(task) == "Publish?"
        assert get_data_parts(task.status.message.parts)[0]["approval"] == "publish"
        here = {"task_id": task.id, "context_id": task.context_id}
        for unclear in ("perhaps", new_data_part({"granted": "yes"})):
            with pytest.raises(InvalidParamsError, match="not clear"):
                await task_of(client, unclear, **here)
        with pytest.raises(InvalidParamsError, match="another context"):
            await task_of(client, "yes", task_id=task.id, context_id="other")
        assert question(await task_of(client, "Yes.", **here)) == "Under which title?"
        with pytest.raises(InvalidParamsError):
            await task_of(client, "yes", **here)
        with pytest.raises(InvalidParamsError):
            await task_of(client, new_data_part({"text": 3}), **here)
        assert "'said'" in question(await task_of(client, new_data_part({"text": "Ebb"}), **here))
        task = await task_of(client, "now", **here)
        assert texts(task) == ["tides, Ebb, now"]
        with pytest.raises(UnsupportedOperationError, match="does not ask"):
            await task_of(client, "more", **here)


NOT_YET = new_data_part({"granted": False, "comment": "not yet", "approval": "publish"})


@pytest.mark.parametrize("answer", ["no", NOT_YET])
async def test_an_answer_may_reject(answer: str | Part) -> None:
    async with offered(asks) as found:
        client = await found.client()
        first = await sent(client, "tides")
        id = first[0].task.id
        assert question(await client.get_task(GetTaskRequest(id=id))) == "Publish?"
        await sent(client, answer, task_id=id)
        assert texts(await client.get_task(GetTaskRequest(id=id))) == ["not published"]


async def test_the_same_answer_again_answers_nothing_else() -> None:
    @workflow
    async def pays(ctx: Context, topic: str) -> str:
        first = await ctx.approval("Publish?", topic, name="publish")
        second = await ctx.approval("Pay?", topic, name="pay")
        word = await ctx.wait_for(said)
        return f"{first.granted} {second.granted} {word}"

    async with offered(pays) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, "tides")
        for _ in range(3):  # whose answers were lost, say
            assert question(await task_of(client, "yes", task_id=task.id, message_id="m-1")) == "Pay?"
        for other in ("nobody", ["pay"], "publish"):
            with pytest.raises(InvalidParamsError, match="not clear"):
                await task_of(client, new_data_part({"approval": other, "granted": True}), task_id=task.id)
        for _ in range(2):
            assert "'said'" in question(await task_of(client, "no", task_id=task.id, message_id="m-2"))
        for _ in range(2):
            assert texts(await task_of(client, "now", task_id=task.id, message_id="m-3")) == ["True False now"]


async def test_an_answer_that_did_not_count_does_not_count_for_what_is_asked_next() -> None:
    @workflow
    async def narrow(ctx: Context, topic: str) -> str:
        await ctx.approval("Publish?", topic, assignees=["ann"])
        return await ctx.wait_for(said)

    async with offered(narrow) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, "tides")
        with pytest.raises(InvalidParamsError, match="not among those"):
            await task_of(client, "yes", task_id=task.id, message_id="m-1")
        await (await found.app.handle(task.id)).approve(by="ann")
        with pytest.raises(InvalidParamsError, match="not among those"):
            await task_of(client, "yes", task_id=task.id, message_id="m-1")
        assert texts(await task_of(client, "now", task_id=task.id)) == ["now"]


async def test_a_signal_that_nobody_waits_for_is_refused() -> None:
    async with offered(asks) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, "tides")
        for name in ("zzz", "said", ["said"]):
            with pytest.raises(InvalidParamsError, match="not clear"):
                await task_of(client, new_data_part({"signal": name, "value": "1"}), task_id=task.id)


async def test_a_signal_is_named_where_it_is_sent() -> None:
    @workflow
    async def two(ctx: Context, topic: str) -> str:
        async def other() -> str:
            return await ctx.wait_for(Signal("other", str))

        return "".join(await ctx.gather(ctx.wait_for(said), ctx.wait_for(Signal("other", str))))

    async with offered(two) as found:
        client = await found.client(streaming=False)
        task = await task_of(client, "x")
        with pytest.raises(InvalidParamsError, match="not clear"):
            await task_of(client, "a", task_id=task.id)
        task = await task_of(client, new_data_part({"signal": "other", "value": "b"}), task_id=task.id)
        assert "'said'" in question(task)
        assert texts(await task_of(client, "a", task_id=task.id)) == ["ab"]


async def test_a_task_is_looked_at_listed_followed_and_cancelled() -> None:
    async with offered(hang, shout) as found:
        client = await found.client("/hang")
        task = await begun(client, "one", context_id="c")
        other = await begun(client, "two")
        assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        assert (await client.get_task(GetTaskRequest(id=task.id, history_length=0))).history == []
        listed = await client.list_tasks(ListTasksRequest())
        assert [each.id for each in listed.tasks] == [other.id, task.id]
        page = await client.list_tasks(ListTasksRequest(page_size=1))
        assert ([each.id for each in page.tasks], page.total_size) == ([other.id], 0)
        after = await client.list_tasks(ListTasksRequest(page_size=1, page_token=page.next_page_token))
        assert ([each.id for each in after.tasks], after.next_page_token) == ([task.id], "")
        assert [each.id for each in (await client.list_tasks(ListTasksRequest(context_id="c"))).tasks] == [task.id]
        following = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(following)).task.id == task.id
        released["one"].set()
        news = [each async for each in following]
        assert news[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        with pytest.raises(UnsupportedOperationError):
            await anext(client.subscribe(SubscribeToTaskRequest(id=task.id)))
        cancelled = await client.cancel_task(CancelTaskRequest(id=other.id))
        assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=other.id))
        done = ListTasksRequest(status=TaskState.TASK_STATE_COMPLETED, include_artifacts=True)
        assert [texts(each) for each in (await client.list_tasks(done)).tasks] == [["one"]]
        working = ListTasksRequest(status=TaskState.TASK_STATE_WORKING)
        assert not (await client.list_tasks(working)).tasks


async def test_runs_of_others_are_no_tasks() -> None:
    async with offered(shout, measure) as found:
        client = await found.client("/shout", streaming=False)
        mine = await found.app.start(shout("a"), id="mine")
        await mine.result()
        measuring = await found.client("/measure", streaming=False)
        task = await task_of(measuring, new_data_part({"name": "Oban"}))
        for id in ("mine", task.id, "none"):
            with pytest.raises(TaskNotFoundError):
                await client.get_task(GetTaskRequest(id=id))
            with pytest.raises(TaskNotFoundError):
                await task_of(client, "x", task_id=id)
        assert not (await client.list_tasks(ListTasksRequest())).tasks


@pytest.mark.parametrize(
    ("parts", "more", "error"),
    [
        ([new_raw_part(b"x")], {}, ContentTypeNotSupportedError),
        ([new_data_part(1), new_data_part(2)], {}, ContentTypeNotSupportedError),
        (["no JSON"], {}, InvalidParamsError),
        ([new_data_part({"nam": "x"})], {}, InvalidParamsError),
        ([new_data_part({"name": "x"})], {"context_id": "a b"}, InvalidParamsError),
        ([new_data_part({"name": "x"})], {"message_id": "a\nb"}, InvalidParamsError),
        ([], {}, InvalidParamsError),
    ],
)
async def test_what_cannot_be_taken_is_refused(parts: list[Any], more: dict[str, Any], error: type[A2AError]) -> None:
    async with offered(measure) as found:
        client = await found.client(streaming=False)
        with pytest.raises(error):
            await task_of(client, *parts, **more)
        assert not (await found.app.runs()).runs


async def test_what_is_not_there_is_refused() -> None:
    async with offered(shout) as found:
        client = await found.client(streaming=False)
        request = SendMessageRequest(message=message("x"))
        request.configuration.task_push_notification_config.CopyFrom(
            TaskPushNotificationConfig(url="https://a.example")
        )
        with pytest.raises(PushNotificationNotSupportedError):
            await anext(client.send_message(request))
        with pytest.raises(InvalidParamsError):
            await client.list_tasks(ListTasksRequest(page_size=1000))
        with pytest.raises(InvalidParamsError, match="of no list"):
            await client.list_tasks(ListTasksRequest(page_token="garbage"))
        task = await task_of(client, "x")
        rpc = f"{found.address.url}/shout/rpc"
        for method, error in (
            ("CreateTaskPushNotificationConfig", PushNotificationNotSupportedError),
            ("GetTaskPushNotificationConfig", PushNotificationNotSupportedError),
            ("ListTaskPushNotificationConfigs", PushNotificationNotSupportedError),
            ("DeleteTaskPushNotificationConfig", PushNotificationNotSupportedError),
            ("GetExtendedAgentCard", ExtendedAgentCardNotConfiguredError),
        ):
            params = {"taskId": task.id, "id": "x", "url": "https://a.example"}
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = await found.http.post(rpc, json=asked, headers={"A2A-Version": "1.0"})
            assert answer.json()["error"]["message"] == error.message


async def test_our_own_step_asks_our_own_server() -> None:
    async with offered(asks) as found, App("memory:") as app:
        remote = a2a_agent(found.address.url, name="remote", allow=[found.place], asks="return", poll=0.01)
        first = await app.run(remote("tides"))
        assert first.wants == "Publish?"
        second = await app.run(remote(AgentRequest("no", task=first.task, context=first.context)))
        assert (second.text, second.wants) == ("not published", "")


async def test_a_file_that_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.server.a2a_tasks.LARGEST", 3)
    async with offered(measure) as found:
        task = await task_of(await found.client(streaming=False), new_data_part({"name": "Oban"}))
    assert texts(task) == ["tide.txt: 10 bytes, too many to stand here"]


async def test_a_run_that_takes_long_to_stop_is_told_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.server.a2a._PATIENCE", 0)
    async with offered(hang) as found:
        client = await found.client()
        task = await begun(client, "slow")
        told = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert told.status.state in (TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_CANCELED)


def test_a_workflow_is_described_by_its_function_and_its_types() -> None:
    found = described(runnable_of(asks))
    assert (found.description, found.input, found.output) == (
        "Asks before it publishes.",
        {"type": "string"},
        {"type": "string"},
    )

    @step
    async def odd(find: Callable[[], int]) -> Any:
        return find

    assert described(chain(odd).named("odd")) == Described("odd", "1", "The workflow odd.", {}, {})


def test_a_run_that_was_created_is_a_task_that_was_submitted() -> None:
    assert Seen(RunView(), Question((), ()), "c").state == TaskState.TASK_STATE_SUBMITTED


# --- who may ask


async def test_with_a_token_nobody_else_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "sesame")
    async with offered(shout, token=Secret("env:TOKEN")) as found, App("memory:") as app:
        for headers in ({}, {"authorization": "Bearer open"}):
            answer = await found.http.get(f"{found.address.url}/.well-known/agent-card.json", headers=headers)
            assert answer.status_code == 401
        remote = a2a_agent(found.address.url, allow=[found.place], auth=Secret("env:TOKEN"), poll=0.01)
        assert (await app.run(remote("tide"))).text == "TIDE"
        found.http.headers["authorization"] = "Bearer sesame"
        card = await A2ACardResolver(found.http, found.address.url).get_agent_card()
        assert card.security_schemes["bearer"].http_auth_security_scheme.scheme == "bearer"


async def test_what_a_browser_is_made_to_send_does_not_get_in() -> None:
    async with offered(shout) as found:
        rpc = f"{found.address.url}/shout/rpc"
        assert (await found.http.post(rpc, content="{}", headers={"content-type": "text/plain"})).status_code == 415
        assert (await found.http.get(rpc, headers={"host": "evil.example"})).status_code == 421
        assert not (await found.app.runs()).runs


async def test_a_request_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.server.serving.LARGEST", 100)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 99

    async with offered(shout) as found:
        rpc, headers = f"{found.address.url}/shout/rpc", {"content-type": "application/json"}
        assert (await found.http.post(rpc, content=" " * 101, headers=headers)).status_code == 413
        assert "result" not in (await found.http.post(rpc, content=pieces(), headers=headers)).text
        assert not (await found.app.runs()).runs


def test_an_address_is_read_and_others_are_kept_out() -> None:
    assert address_of("8000") == Address("127.0.0.1", 8000)
    assert address_of("[::1]:80").url == "http://[::1]:80"
    for text in ("here", "a:b", "1:99999"):
        with pytest.raises(InvalidConfig, match="HOST:PORT"):
            address_of(text)
    check_open(Address("localhost"), None)
    check_open(Address("0.0.0.0"), Secret("env:TOKEN"))
    for host in ("0.0.0.0", "example.com"):
        with pytest.raises(InvalidConfig, match="other machines"):
            check_open(Address(host), None)


def test_a_place_that_is_taken_is_an_error() -> None:
    opened, address = listening(Address())
    try:
        with pytest.raises(RipresaError, match="cannot listen"):
            listening(Address("192.0.2.1", address.port))
    finally:
        opened.close()


async def test_what_cannot_be_offered_is_refused() -> None:
    async with App("memory:") as app:
        local = "http://localhost"
        wrong = (((), local), ((shout, shout), local), ((shout,), "localhost"), ((shout,), f"{local}:notaport"))
        for workflows, url in wrong:
            with pytest.raises(InvalidConfig):
                a2a_app(app, *workflows, url=url)


async def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2a.server.routes", None)
    async with App("memory:") as app:
        with pytest.raises(RipresaError, match=r"ripresa\[a2a\]"):
            a2a_app(app, shout, url="http://localhost:1")
