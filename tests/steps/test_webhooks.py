"""Webhooks out: signed, told with what they tell or not at all, tried again, each place by itself."""

# ruff: noqa: ASYNC110

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from ripresa import App, InvalidConfig, RipresaError, RunFailed, Signal, StepError, chain, current, step, wait_for
from ripresa.ports import NEVER, Outgoing, Store
from ripresa.steps import Endpoint, Secret, send_webhook
from ripresa.steps.webhooks import TYPES, Webhooks, signed
from ripresa.stores.memory import MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from tests.runtime.stage import Failing
from tests.steps.service import Answer, Asked, Service, service

KEYS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQ=")
KEY = Secret("env:HOOK_KEY")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", KEYS[0])
    monkeypatch.setenv("HOOK_OLD_KEY", KEYS[1])


def endpoint(found: Service, **options: Any) -> Endpoint:
    return Endpoint(**{"name": "books", "url": f"{found.url}/hook", "secret": KEY, "allow": (found.place,), **options})


def told(asked: Asked, key: str = KEYS[0]) -> dict[str, Any]:
    """What was told, if it is signed."""
    Webhook(key).verify(asked.body, asked.headers, json_parse=False)
    found: dict[str, Any] = json.loads(asked.body)
    return found


async def until(fits: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fits():
            await asyncio.sleep(0.005)


@step
async def sell(count: int) -> int:
    send_webhook("books", "book.sold", {"count": count})
    if count > 10:
        raise StepError("there are not so many", retryable=False)
    return count


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")


@pytest.fixture
async def taker() -> AsyncIterator[Service]:
    async with service(lambda asked: Answer(204)) as found:
        yield found


# --- from steps


async def test_what_a_step_tells_is_signed_and_goes_out_once(taker: Service, store: Store) -> None:
    async with App(store, webhooks=[endpoint(taker)]) as app:
        await app.run(sell(3), id="sale-1")
        await until(lambda: len(taker.asked) == 1)
    [asked] = taker.asked
    message = told(asked)
    assert (asked.method, asked.path, asked.headers["content-type"]) == ("POST", "/hook", "application/json")
    assert (message["type"], message["data"]) == ("book.sold", {"count": 3})
    assert message["timestamp"].endswith("Z")
    assert asked.headers["webhook-id"].startswith("sale-1.")


async def test_what_a_failed_step_told_goes_nowhere(taker: Service) -> None:
    async with App("memory:", webhooks=[endpoint(taker)]) as app:
        with pytest.raises(RunFailed):
            await app.run(sell(11), id="a")
        await app.run(sell(1), id="b")
        await until(lambda: len(taker.asked) == 1)
        assert await app.store.outgoing_of("a") == []
    assert told(taker.asked[0])["data"] == {"count": 1}


async def test_what_was_told_goes_out_though_the_process_ended_before(taker: Service, tmp_path: Path) -> None:
    async with App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        await app.run(sell(3))
    assert taker.asked == []
    async with App(f"sqlite:{tmp_path / 'runs.db'}", webhooks=[endpoint(taker)], workflows=[chain(sell)]):
        await until(lambda: len(taker.asked) == 1)
    assert told(taker.asked[0])["data"] == {"count": 3}


async def test_outside_a_run_nothing_is_told() -> None:
    assert await sell(3) == 3


# --- from events of runs


async def test_events_of_runs_are_told_by_themselves(taker: Service, store: Store) -> None:
    async with App(store, webhooks=[endpoint(taker, events=TYPES)]) as app:
        with pytest.raises(RunFailed):
            await app.run(chain(double, name="sale").then(sell)(6), id="sale-1")
        await until(lambda: len(taker.asked) == 4)
    messages = [told(each) for each in taker.asked]
    kinds = ["run.started", "step.completed", "step.failed", "run.failed"]
    assert [each["type"] for each in messages] == kinds
    first, second, third, last = (each["data"] for each in messages)
    assert first == {"run": "sale-1", "workflow": "sale", "version": "1", "seq": 1}
    assert (second["path"], second["attempt"]) == ("double", 1)
    assert third["error"] == {"code": "step_failed", "message": "there are not so many"}
    assert last["error"] == third["error"]
    assert [each.headers["webhook-id"] for each in taker.asked] == [
        f"sale-1.e{each['data']['seq']}" for each in messages
    ]


@step
async def double(count: int) -> int:
    return 2 * count


async def test_only_what_is_asked_for_is_told(taker: Service) -> None:
    only = endpoint(taker, events=("run.completed", "run.cancelled"), workflows=("other",))
    wait = Signal("wait", int)
    async with App("memory:", webhooks=[only]) as app:
        await app.run(chain(double, name="one")(1))
        await app.run(chain(double, name="other")(1), id="b")
        handle = await app.start(chain(wait_for(wait), name="other")(1), id="c")
        await handle.cancel("enough")
        await handle.outcome()
        await until(lambda: len(taker.asked) == 2)
    messages = {each["data"]["run"]: each for each in map(told, taker.asked)}
    assert messages["b"]["type"] == "run.completed"
    assert messages["c"]["data"]["reason"] == "enough"


async def test_an_event_that_is_not_recorded_is_not_told(taker: Service) -> None:
    failing = Failing(MemoryStore(), 2)
    async with App(failing, webhooks=[endpoint(taker, events=("run.completed",))]) as app:
        handle = await app.start(double(1), id="r")
        with pytest.raises(RipresaError):
            await handle.result()
        assert await app.store.outgoing_of("r") == []
    assert taker.asked == []


# --- delivery


async def test_a_webhook_that_is_not_taken_is_tried_again_with_the_same_id(store: Store) -> None:
    answers = [Answer(500), Answer(200)]
    async with service(lambda asked: answers.pop(0)) as found, App(store, webhooks=[endpoint(found)]) as app:
        await app.run(sell(3))
        await until(lambda: len(found.asked) == 2)
    assert len({each.headers["webhook-id"] for each in found.asked}) == 1


@pytest.mark.parametrize(
    ("answer", "error", "due"),
    [
        (Answer(410), "books answered with status 410", "never"),
        (Answer(429, headers={"retry-after": "3600"}), "status 429", "later"),
        (Answer(302, headers={"location": "/"}), "status 302", "soon"),
        (Answer(raw=b""), "RemoteProtocolError", "soon"),
    ],
)
async def test_how_it_is_answered_says_when_it_is_tried_again(answer: Answer, error: str, due: str) -> None:
    async with service(lambda asked: answer) as found, App("memory:", webhooks=[endpoint(found)]) as app:
        await app.run(sell(3), id="r")
        parcels: list[Outgoing] = []
        async with asyncio.timeout(20):
            while not parcels or not parcels[0].error:
                await asyncio.sleep(0.005)
                parcels = list(await app.store.outgoing_of("r"))
        wait = (parcels[0].due - app.engine.clock.now()) / 1_000_000
    assert error in parcels[0].error
    assert (parcels[0].due == NEVER) == (due == "never")
    assert (wait > 3000) == (due in ("never", "later"))


async def test_an_endpoint_that_nobody_knows_is_given_up() -> None:
    @step
    async def tell() -> None:
        send_webhook("nowhere", "x", 1)

    async with service(lambda asked: Answer(200)) as found, App("memory:", webhooks=[endpoint(found)]) as app:
        await app.run(tell(), id="r")
        async with asyncio.timeout(20):
            while (await app.store.outgoing_of("r"))[0].due != NEVER:
                await asyncio.sleep(0.005)
        [parcel] = await app.store.outgoing_of("r")
    assert "there is no endpoint 'nowhere'; there are books" in parcel.error


async def test_a_dead_endpoint_holds_up_no_other_and_no_signal(taker: Service, store: Store) -> None:
    word = Signal("word", str)

    @step
    async def tell() -> None:
        send_webhook("dead", "x", 1)
        send_webhook("books", "y", 2)
        current().send("other", word, "hello")

    async with service(lambda asked: Answer(503)) as dead:
        places = [endpoint(dead, name="dead"), endpoint(taker)]
        async with App(store, webhooks=places) as app:
            other = await app.start(chain(wait_for(word))(0), id="other")
            await app.run(tell())
            assert await other.result() == "hello"
            await until(lambda: len(taker.asked) == 1)


async def test_the_inside_is_not_told_unless_it_is_allowed(taker: Service) -> None:
    async with App("memory:", webhooks=[endpoint(taker, allow=())]) as app:
        await app.run(sell(3), id="r")
        async with asyncio.timeout(20):
            while (await app.store.outgoing_of("r"))[0].due != NEVER:
                await asyncio.sleep(0.005)
        assert "not in the public internet" in (await app.store.outgoing_of("r"))[0].error
    assert taker.asked == []


async def test_each_try_is_logged(taker: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ripresa.webhooks")
    async with App("memory:", webhooks=[endpoint(taker)]) as app:
        await app.run(sell(3), id="r")
        await until(lambda: any(each.message == "webhook answered" for each in caplog.records))
    [record] = [each for each in caplog.records if each.name == "ripresa.webhooks"]
    assert (record.endpoint, record.run, record.status, record.tries) == ("books", "r", 204, 1)  # type: ignore[attr-defined]
    assert KEYS[0] not in caplog.text


# --- keys


async def test_while_keys_change_it_is_signed_with_both(taker: Service) -> None:
    both = endpoint(taker, secret=(KEY, Secret("env:HOOK_OLD_KEY")))
    async with App("memory:", webhooks=[both]) as app:
        await app.run(sell(3))
        await until(lambda: len(taker.asked) == 1)
    assert told(taker.asked[0], KEYS[0]) == told(taker.asked[0], KEYS[1])


@pytest.mark.parametrize("text", ["whsec_", "whsec_a", "whsec_é"])
def test_a_key_that_is_none_is_an_error_that_does_not_show_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", text)
    with pytest.raises(StepError, match="is no key of webhooks") as caught:
        signed(KEY, "id", b"{}")
    assert (caught.value.code, caught.value.retryable) == ("secret_missing", False)


def test_without_the_extra_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "standardwebhooks", None)
    with pytest.raises(RipresaError, match=r"ripresa\[http\]"):
        signed(KEY, "id", b"{}")


# --- what is refused


def test_bad_endpoints_are_refused() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Endpoint("a/b", "ftp://x", "whsec_x", events=("run.flew",), allow=("http://x",))  # type: ignore[arg-type]
    for part in ("name is", "http://", "secret", "run.flew", "allow"):
        assert part in str(caught.value)
    assert "whsec_x" not in str(caught.value)
    with pytest.raises(InvalidConfig, match="url is empty"):
        Endpoint("a", "", KEY)
    one = Endpoint("a", "https://a.example", KEY)
    with pytest.raises(InvalidConfig, match="several endpoints are named 'a'"):
        Webhooks([one, one])
    with pytest.raises(InvalidConfig, match="no Endpoint"):
        Webhooks(["https://a.example"])  # type: ignore[list-item]


def test_a_sender_of_ones_own_cannot_stand_beside_webhooks() -> None:
    async def post(parcel: Outgoing) -> None: ...

    with pytest.raises(InvalidConfig, match="senders has 'webhook'"):
        App("memory:", senders={"webhook": post}, webhooks=[Endpoint("a", "https://a.example", KEY)])


async def test_an_answer_that_trickles_is_not_waited_for(taker: Service) -> None:
    done, gone = asyncio.Event(), asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not done.is_set():
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.02)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        place = Endpoint(
            "slow", f"http://127.0.0.1:{port}/", endpoint(taker).secret, allow=("127.0.0.1",), patience=0.2
        )
        with pytest.raises(StepError, match="slow: TimeoutError"):
            await Webhooks([place]).deliver(Outgoing("r", "", "webhook", "slow", "id", b"{}", 0))
        done.set()
        await gone.wait()
