"""Steps that hand work to agents of elsewhere, against the real SDK's server on the loopback interface."""

# ruff: noqa: ASYNC110, ASYNC220

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from a2a.helpers import new_data_part, new_raw_part
from a2a.types import Artifact, Task
from pydantic import BaseModel

from ripresa import App, InvalidConfig, InvalidValue, Retry, RipresaError, StepError, chain, load_document, step
from ripresa.core.events import CallRecorded, Interacted
from ripresa.steps import A2aStep, AgentFile, AgentReply, AgentRequest, OAuth2, Secret, a2a_agent
from ripresa.steps.parts import Reader
from ripresa.stores.memory import Memory, MemoryStore
from tests.steps.remote_agent import Remote, remote
from tests.steps.service import Answer, service


class Tide(BaseModel):
    port: str
    height: int
    days: list[float] = []


def agent(found: Remote, **options: Any) -> A2aStep[AgentReply]:
    return a2a_agent(found.url, **{"name": "tides", "allow": [found.place], "poll": 0.01, **options})


def asked(found: Remote, method: str) -> int:
    return sum(1 for verb, path, _ in found.asked if (verb, path) == ("POST", method))


@pytest.mark.parametrize(("binding", "streaming"), [("JSONRPC", True), ("JSONRPC", False), ("HTTP+JSON", True)])
async def test_a_task_is_begun_and_waited_for(binding: str, streaming: bool) -> None:
    async with remote(binding=binding, streaming=streaming) as found, App("memory:") as app:
        handle = await app.start(agent(found)("work now"))
        reply = await handle.result()
        events = [each.event async for each in handle.events()]
    assert (reply.text, reply.wants) == ("It is done", "")
    assert reply.task
    assert reply.context
    assert found.worker.sent == ["work now"]
    told = [(each.sender, each.receiver, each.kind) for each in events if isinstance(each, Interacted)]
    assert told == [("tides", "Tides", "request"), ("Tides", "tides", "reply")]
    assert sum(isinstance(each, CallRecorded) for each in events) == 1


async def test_it_stands_in_a_chain_and_is_run_by_hand() -> None:
    @step
    async def tell(reply: AgentReply) -> str:
        return reply.text.upper()

    async with remote() as found, App("memory:") as app:
        assert await app.run(chain(agent(found)).then(tell)("work")) == "IT IS DONE"
        assert (await agent(found)("work")).text == "It is done"


async def test_an_agent_may_answer_at_once_without_a_task() -> None:
    async with remote() as found, App("memory:") as app:
        reply = await app.run(agent(found)("chat"))
    assert (reply.text, reply.task) == ("hello", "")


async def test_what_it_gives_is_read_by_a_type() -> None:
    async with remote(streaming=False) as found, App("memory:") as app:
        typed = a2a_agent(found.url, returns=Tide, allow=[found.place], poll=0.01)
        assert await app.run(typed("data")) == Tide(port="Oban", height=3, days=[1.5])
        assert (await agent(found)("data")).data == ({"port": "Oban", "height": 3, "days": [1.5]},)
        untyped: Any = a2a_agent(found.url, returns=Any, allow=[found.place], poll=0.01)
        for asking in (typed("work"), typed("chat"), untyped("work")):
            with pytest.raises(InvalidValue) as caught:
                await asking
            assert caught.value.code == "invalid_agent_answer"


async def test_text_data_and_files_are_sent_and_received() -> None:
    async with remote() as found, App("memory:") as app:
        request = AgentRequest(
            "files", {"port": 3}, (AgentFile("a.txt", content="aGk="), AgentFile("b", url="https://x/b"))
        )
        handle = await app.start(agent(found)(request))
        reply = await handle.result()
        names = [(file.name, file.media_type, file.url, file.content) for file in reply.files]
        assert names == [
            ("tide.txt", "text/plain", "", ""),
            ("2-tide.txt", "text/plain", "", ""),
            ("file", "image/png", "https://example.com/map.png", ""),
        ]
        assert await app.artifacts.get("2-tide.txt", run=handle.id) == b"low"
        by_hand = await agent(found)("files")
        assert by_hand.files[0].content == "aGlnaA=="


@pytest.mark.parametrize(
    "request_", [AgentRequest(), AgentRequest("  "), AgentRequest(files=(AgentFile("a", content="?"),))]
)
async def test_what_says_nothing_is_not_sent(request_: AgentRequest) -> None:
    async with remote() as found:
        with pytest.raises(InvalidValue):
            await agent(found)(request_)
        assert found.asked == []


# --- what goes wrong


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("said", "code", "again", "words"),
    [
        ("fail", "agent_failed", True, "failed: no wind; \\*\\*\\*"),
        ("reject", "agent_failed", False, "ended as rejected"),
        ("ask", "agent_asks", False, "Which port"),
        ("login", "agent_asks", False, "Who are you"),
    ],
)
async def test_an_end_that_is_no_success_has_its_code(
    streaming: bool, said: str, code: str, again: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "sesame")
    async with remote(streaming=streaming) as found:
        with pytest.raises(StepError, match=words) as caught:
            await agent(found, auth=Secret("env:TOKEN"))(said)
    assert (caught.value.code, caught.value.retryable) == (code, again)


async def test_a_failed_task_is_followed_by_another_one() -> None:
    async with remote() as found, App("memory:") as app:
        reply = await app.run(agent(found, retry=Retry(3, wait=0))("fail once"))
    assert reply.text == "It is done"
    assert found.worker.sent == ["fail once", "fail once"]


@pytest.mark.parametrize(
    ("path", "status", "again", "unknown"),
    [("/.well-known/agent-card.json", 404, False, False), ("/rpc", 503, True, False), ("/rpc", 502, True, True)],
)
async def test_a_status_that_means_failure_is_coded(path: str, status: int, again: bool, unknown: bool) -> None:
    async with remote(refusals={path: status}) as found:
        with pytest.raises(StepError, match=f"status {status}") as caught:
            await agent(found)("work")
    error = caught.value
    assert (error.code, error.retryable, error.unknown, error.retry_after) == ("http_status", again, unknown, 7.0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "invalid_agent_answer"),
        ("[]", "invalid_agent_answer"),
        ('{"name": 3}', "invalid_agent_answer"),
        ('{"name": "Tides"}', "invalid_agent_answer"),
        ('{"skills": [3]}', "invalid_agent_answer"),
        ('{"name": "' + "x" * 2000 + '"}', "too_large"),
    ],
)
async def test_what_is_no_card_is_refused(body: str, code: str) -> None:
    async with service(lambda asked: Answer(200, body)) as found:
        with pytest.raises(StepError) as caught:
            await a2a_agent(found.url, allow=[found.place], max_size=1000)("work")
    assert (caught.value.code, caught.value.retryable) == (code, False)


def scripted(answers: Callable[[Any], Any], streams: bool = False) -> Callable[[Any], Answer]:
    """A service with a card, which answers calls like this."""

    def answer(asked: Any) -> Answer:
        if asked.method == "GET":
            interfaces = [
                {"url": f"http://{asked.headers['host']}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            ]
            return Answer(
                200,
                json.dumps(
                    {"name": "Tides", "supportedInterfaces": interfaces, "capabilities": {"streaming": streams}}
                ),
            )
        call = json.loads(asked.body)
        found = answers(call)
        if isinstance(found, Answer):
            return found
        return Answer(200, json.dumps({"jsonrpc": "2.0", "id": call["id"], **found}))

    return answer


@pytest.mark.parametrize(
    ("found", "code", "again"),
    [
        ({"error": {"code": -32603, "message": "sesame"}}, "agent_failed", True),
        ({"error": {"code": -32602, "message": "what?"}}, "agent_failed", False),
        ({"error": {"code": 7}}, "invalid_agent_answer", False),
        ({"result": {"task": 3}}, "invalid_agent_answer", False),
        ({"result": {}}, "invalid_agent_answer", False),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), "http_failed", True),
        (Answer(raw=b""), "http_failed", True),
        (Answer(silent=True), "http_failed", True),
        (Answer(200, "no"), "invalid_agent_answer", False),
    ],
)
async def test_what_is_not_of_the_protocol_is_coded(found: Any, code: str, again: bool) -> None:
    async with service(scripted(lambda call: found)) as place:
        work = a2a_agent(place.url, allow=[place.place], patience=0.2)
        with pytest.raises(StepError) as caught:
            await work("work")
    assert (caught.value.code, caught.value.retryable) == (code, again)


async def test_a_stream_that_ends_before_it_begins_is_no_answer() -> None:
    empty = Answer(200, "", {"content-type": "text/event-stream"})
    async with service(scripted(lambda call: empty, streams=True)) as found:
        with pytest.raises(StepError, match="before it began") as caught:
            await a2a_agent(found.url, allow=[found.place])("work")
    assert caught.value.code == "invalid_agent_answer"


async def test_nobody_at_home_is_a_failure_that_changed_nothing() -> None:
    async with remote() as found:
        pass
    with pytest.raises(StepError) as caught:
        await agent(found)("work")
    assert (caught.value.code, caught.value.unknown) == ("http_failed", False)


# --- addresses and secrets


async def test_only_allowed_addresses_are_called_whatever_the_card_says() -> None:
    async with remote() as inner, remote(elsewhere=inner.url) as found:
        with pytest.raises(StepError) as caught:
            await agent(found, allow=[])("work")
        assert caught.value.code == "address_refused"
        assert found.asked == []
        with pytest.raises(StepError) as caught:
            await agent(found)("work")
        assert caught.value.code == "address_refused"
        assert inner.asked == []
        assert (await agent(found, allow=[found.place, inner.place])("work")).text == "It is done"


async def test_a_document_hands_work_to_an_agent_and_names_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "sesame")
    async with remote() as found, App("memory:") as app:
        config = {"url": found.url, "allow": [found.place], "auth": "env:TOKEN", "poll": 0.01}
        made = load_document({"id": "flow", "steps": [{"id": "tides", "type": "a2a_agent", "config": config}]})
        assert (await app.run(made("work now"))).text == "It is done"
        assert (await app.run(made({"text": "chat"}))).text == "hello"
        assert found.worker.sent == ["work now", "chat"]
        assert all(each["authorization"] == "Bearer sesame" for _, path, each in found.asked if "card" not in path)
        typed = {**config, "returns": f"{__name__}:Tide"}
        again = load_document({"id": "flow", "steps": [{"type": "a2a_agent", "config": typed}]})
        assert await app.run(again("data")) == Tide(port="Oban", height=3, days=[1.5])


async def test_secrets_go_where_they_are_for_and_are_recorded_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "sesame")
    monkeypatch.setenv("KEY", "open-up")
    options = {"auth": Secret("env:TOKEN"), "headers": {"X-Key": Secret("env:KEY"), "X-Kind": "tide"}}
    async with remote() as inner, remote(elsewhere=inner.url) as found, App("memory:") as app:
        allow = [found.place, inner.place]
        with pytest.raises(StepError, match="not for there") as caught:
            await agent(found, allow=allow, **options)("work")
        assert caught.value.code == "address_refused"
        assert inner.asked == []
        handle = await app.start(agent(found, allow=allow, trusted=[inner.url], **options)("work sesame"))
        await handle.result()
        written = [repr(each) async for each in handle.events()]
    assert all(each["authorization"] == "Bearer sesame" and each["x-key"] == "open-up" for _, _, each in inner.asked)
    assert not any("open-up" in each for each in written)


async def test_a_token_is_fetched_for_the_place_that_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "sesame")
    given = Answer(200, '{"access_token": "tok-1", "token_type": "Bearer"}', {"content-type": "application/json"})
    async with service(lambda asked: given) as authority, remote() as found:
        auth = OAuth2(f"{authority.url}", client="c", secret=Secret("env:SECRET"))
        reply = await agent(found, auth=auth, allow=[found.place, authority.place])("work")
    assert reply.text == "It is done"
    assert {each["authorization"] for _, _, each in found.asked} == {"Bearer tok-1"}


async def test_a_token_that_is_refused_is_got_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "sesame")
    given: list[str] = []
    refused = {"tok-1"}
    told = {"result": {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "done by tok-2"}]}}}
    inner = scripted(lambda call: told)

    def answers(asked: Any) -> Answer:
        if asked.path == "/oauth2/token":
            given.append(f"tok-{len(given) + 1}")
            return Answer(200, json.dumps({"access_token": given[-1]}), {"content-type": "application/json"})
        if asked.headers["authorization"].removeprefix("Bearer ") in refused:
            return Answer(401)
        return inner(asked)

    async with service(answers) as found:
        auth = OAuth2(found.url, client="c", secret=Secret("env:SECRET"))
        work = a2a_agent(found.url, allow=[found.place], auth=auth)
        assert (await work("work")).text == "done by ***"
        assert given == ["tok-1", "tok-2"]
        refused |= {"tok-2", "tok-3"}
        with pytest.raises(StepError, match="status 401"):
            await work("work")
        assert given == ["tok-1", "tok-2", "tok-3"]


@pytest.mark.parametrize(
    ("secret", "data", "left"),
    [
        ("2026", {"n": 120265, "t": "in 2026"}, {"n": 120265, "t": "in ***"}),
        ('pa"ss\\word', {'my pa"ss\\word': ['your pa"ss\\word']}, {"my ***": ["your ***"]}),
        ("schlüssel", {"t": "schlüssel"}, {"t": "***"}),
    ],
)
def test_secrets_are_hidden_in_the_texts_of_data(secret: str, data: Any, left: Any) -> None:
    task = Task(artifacts=[Artifact(parts=[new_data_part(data)])])
    assert Reader([secret]).task(task).data == (left,)


def test_secrets_are_hidden_in_the_names_of_files() -> None:
    part = new_raw_part(b"x", "text/sesame", "sesame.txt")
    (file,) = Reader(["sesame"]).task(Task(artifacts=[Artifact(name="sesame", parts=[part])])).files
    assert (file.name, file.media_type) == ("***.txt", "text/***")


# --- it is asked something


async def test_what_it_asks_is_returned_and_answered() -> None:
    async with remote() as found, App("memory:") as app:
        asking = agent(found, asks="return")
        first = await app.run(asking("ask me"))
        assert first.wants == "Which port?"
        second = await app.run(asking(AgentRequest("Oban", task=first.task, context=first.context)))
    assert (second.text, second.wants) == ("It is done", "")
    assert (second.task, second.context) == (first.task, first.context)


# --- it is taken up again


async def begun(handle: Any) -> None:
    """Wait until the id of the task is journaled."""
    async for each in handle.watch():
        if isinstance(getattr(each, "event", None), CallRecorded):
            return


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_run_that_is_taken_up_goes_on_waiting(streaming: bool) -> None:
    memory = Memory()
    async with remote(streaming=streaming) as found:
        work = chain(agent(found))
        async with App(MemoryStore(memory)) as app:
            handle = await app.start(work("wait"), id="w")
            await begun(handle)
        assert found.worker.cancelled == []
        async with App(MemoryStore(memory)) as app:
            taken = await app.resume("w", work)
            while asked(found, "/rpc") < 3:
                await asyncio.sleep(0.001)
            found.worker.released.set()
            assert (await taken.result()).text == "It is done"
    assert found.worker.sent == ["wait"]


async def test_a_task_that_ended_meanwhile_is_not_sent_again() -> None:
    memory = Memory()
    async with remote() as found:
        async with App(MemoryStore(memory)) as app:
            await begun(await app.start(chain(agent(found))("wait"), id="w"))
        found.worker.released.set()
        async with App(MemoryStore(memory)) as app:
            assert (await (await app.resume("w", chain(agent(found)))).result()).text == "It is done"
    assert found.worker.sent == ["wait"]


async def test_a_task_that_nobody_knows_any_more_is_begun_anew() -> None:
    memory = Memory()
    async with remote() as found, App(MemoryStore(memory)) as app:
        await begun(await app.start(chain(agent(found))("wait"), id="w"))
    async with remote(port=found.port) as again, App(MemoryStore(memory)) as app:
        again.worker.released.set()
        assert (await (await app.resume("w", chain(agent(found)))).result()).text == "It is done"
    assert again.worker.sent == ["wait"]


async def test_a_message_whose_answer_was_lost_is_not_sent_again() -> None:
    async with remote(streaming=False, lost=["/rpc"]) as found, App("memory:") as app:
        reply = await app.run(agent(found, retry=Retry(2, wait=0))("work"))
    assert reply.text == "It is done"
    assert found.worker.sent == ["work"]


async def test_an_agent_that_cannot_list_its_tasks_is_sent_the_same_message_id() -> None:
    sent: list[str] = []

    def answers(call: Any) -> Any:
        if call["method"] == "ListTasks":
            return {"error": {"code": -32601, "message": "no such method"}}
        sent.append(call["params"]["message"]["messageId"])
        if len(sent) == 1:
            return Answer(502)
        return {"result": {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "done"}]}}}

    async with service(scripted(answers)) as found, App("memory:") as app:
        work = a2a_agent(found.url, allow=[found.place], retry=Retry(2, wait=0))
        assert (await app.run(work("work"))).text == "done"
    assert len(sent) == 2
    assert len(set(sent)) == 1


@pytest.mark.parametrize(
    ("state", "heard", "sends"),
    [("COMPLETED", False, 1), ("FAILED", False, 1), ("INPUT_REQUIRED", True, 1), ("INPUT_REQUIRED", False, 2)],
)
async def test_an_answer_that_arrived_is_not_given_again(state: str, heard: bool, sends: int) -> None:
    sent: list[str] = []

    def answers(call: Any) -> Any:
        now = state if len(sent) == 1 else "COMPLETED"
        said = {"messageId": "a", "role": "ROLE_AGENT", "parts": [{"text": "well"}]}
        task = {"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{now}", "message": said}}
        if call["method"] != "SendMessage":
            history = [{"messageId": sent[0], "role": "ROLE_USER", "parts": [{"text": "Oban"}]}] if heard else []
            return {"result": {**task, "history": history}}
        sent.append(call["params"]["message"]["messageId"])
        return Answer(502) if len(sent) == 1 else {"result": {"task": task}}

    async with service(scripted(answers)) as found, App("memory:") as app:
        asking = a2a_agent(found.url, allow=[found.place], asks="return", retry=Retry(2, wait=0))
        answering = app.run(asking(AgentRequest("Oban", task="t", context="c")))
        if state == "FAILED":
            with pytest.raises(RipresaError, match="ended as failed: well"):
                await answering
        else:
            assert (await answering).wants == ("well" if sends == 1 and heard else "")
    assert len(sent) == sends
    assert len(set(sent)) == 1


async def test_a_run_that_is_cancelled_cancels_the_task() -> None:
    async with remote() as found, App("memory:") as app:
        handle = await app.start(agent(found)("wait"))
        await begun(handle)
        await found.worker.working.wait()
        await handle.cancel()
        with pytest.raises(RipresaError):
            await handle.result()
        assert len(found.worker.cancelled) == 1


async def test_a_stream_that_falls_silent_is_asked_for_news() -> None:
    async with remote() as found, App("memory:") as app:
        handle = await app.start(agent(found, silence=0.05)("wait"))
        while asked(found, "/rpc") < 3:
            await asyncio.sleep(0.001)
        found.worker.released.set()
        assert (await handle.result()).text == "It is done"


SCRIPT = """
import asyncio, sys
from ripresa import App, chain
from ripresa.steps import a2a_agent

async def main(place, store):
    async with App(store) as app:
        await app.run(chain(a2a_agent(f"http://{place}", name="tides", allow=[place]))("wait"), id="w")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_that_is_killed_has_sent_once(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'runs.db'}"
    async with remote() as found, App(store) as app:
        with subprocess.Popen([sys.executable, "-c", SCRIPT, found.place, store]) as process:
            await found.worker.working.wait()
            while not any(isinstance(each.event, CallRecorded) for each in await app.engine.history("w")):
                await asyncio.sleep(0.01)
            process.kill()
        found.worker.released.set()
        assert (await (await app.resume("w", chain(agent(found)))).result()).text == "It is done"
    assert found.worker.sent == ["wait"]


# --- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"asks": "never"}, "asks is 'never'"),
        ({"asks": "return", "returns": Tide}, "leave out returns"),
        ({"auth": "sesame"}, "auth must be a Secret"),
        ({"headers": {"a b": "c"}}, "no name of a header"),
        ({"allow": "x"}, "must be a list"),
        ({"trusted": "x"}, "must be a list of URLs"),
        ({"trusted": ["x", 3]}, "which is no URL"),
        ({"card": 3}, "must be a path"),
        ({"ca": 3}, "must be the path"),
        ({"streaming": 1}, "True or False"),
        ({"max_size": 0}, "max_size"),
        ({"speed": 1}, "no option speed"),
    ],
)
def test_what_cannot_be_is_refused_at_creation(options: dict[str, Any], words: str) -> None:
    make: Any = a2a_agent
    with pytest.raises(InvalidConfig, match=words):
        make("https://example.com", **options)


def test_an_address_that_is_none_is_refused_at_creation() -> None:
    with pytest.raises(InvalidConfig, match="must begin with"):
        a2a_agent("example.com")
    make: Any = a2a_agent
    with pytest.raises(InvalidConfig, match="must be a text"):
        make(3)


async def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2a.client", None)
    with pytest.raises(RipresaError, match=r"ripresa\[a2a\]") as caught:
        await a2a_agent("https://example.com")("work")
    assert caught.value.code == "extra_missing"
