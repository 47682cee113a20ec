"""Webhooks in: nothing happens that is not signed, and nothing happens twice."""

import base64
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from standardwebhooks import Webhook

from ripresa import App, Context, InvalidConfig, RipresaError, RunExists, Signal, step, workflow
from ripresa.steps import Incoming, Received, Secret, ToRun, WebhookEvent
from ripresa.steps.webhooks import signed

KEY, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.b64encode(b"old" * 8).decode()
PAID = Signal("paid", int)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", KEY)
    monkeypatch.setenv("HOOK_OLD_KEY", OLD)


def message(data: object, *, id: str = "msg_1", key: str = KEY, at: datetime | None = None) -> Any:
    """Headers and body as a service sends them."""
    body = json.dumps({"type": "order.paid", "timestamp": "2026-11-21T12:00:00Z", "data": data})
    moment = at or datetime.now(UTC)
    headers = {
        "Webhook-Id": id,
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Webhook(key).sign(id, moment, body),
    }
    return headers, body.encode()


@step
async def ship(order: int) -> str:
    return f"order {order} is on its way"


@workflow
async def shop(ctx: Context) -> int:
    return await ctx.wait_for(PAID)


def start(event: WebhookEvent) -> Any:
    return ship(event.data["order"])


def tell(event: WebhookEvent) -> Any:
    return ToRun("shop-1", PAID, event.data["order"])


def incoming(then: Any = start, **options: Any) -> Incoming:
    return Incoming(**{"name": "shop", "secret": Secret("env:HOOK_KEY"), "then": then, **options})


async def test_a_message_starts_a_run_once_by_its_id() -> None:
    async with App("memory:") as app:
        first = await incoming().receive(app, *message({"order": 7}))
        again = await incoming().receive(app, *message({"order": 7}))
        assert first == Received("msg_1", "webhook.shop.msg_1", is_new=True)
        assert again == Received("msg_1", "webhook.shop.msg_1", is_new=False)
        assert await (await app.handle(first.run)).result() == "order 7 is on its way"
        assert [head.tags for head in (await app.runs()).runs] == [("webhook:shop",)]


async def test_another_message_of_the_same_id_is_refused() -> None:
    async with App("memory:") as app:
        await incoming().receive(app, *message({"order": 7}))
        with pytest.raises(RunExists):
            await incoming().receive(app, *message({"order": 8}))


async def test_a_message_is_a_signal_to_a_run_once_by_its_id() -> None:
    async with App("memory:") as app:
        handle = await app.start(shop(), id="shop-1")
        hook = incoming(tell)
        assert (await hook.receive(app, *message({"order": 7}))).is_new
        assert await handle.result() == 7
        twice = await app.start(shop(), id="shop-2")
        both = incoming(lambda event: ToRun("shop-2", PAID, event.data["order"]))
        headers = message({"order": 7}, id="msg_2")
        assert (await both.receive(app, *headers)).run == "shop-2"
        assert await twice.result() == 7
        by = [each.event.by async for each in twice.events() if type(each.event).__name__ == "SignalReceived"]  # type: ignore[union-attr]
        assert by == ["webhook:shop"]


async def test_the_same_signal_again_is_not_new() -> None:
    two = Signal("two", int)

    @workflow
    async def both(ctx: Context) -> int:
        return await ctx.wait_for(two) + await ctx.wait_for(two)

    async with App("memory:") as app:
        await app.start(both(), id="r")
        hook = incoming(lambda event: ToRun("r", two, event.data))
        found = [(await hook.receive(app, *message(3, id=id))).is_new for id in ("a", "a", "b")]
        assert found == [True, False, True]
        assert await (await app.handle("r")).result() == 6


async def test_what_is_of_no_interest_does_nothing() -> None:
    async with App("memory:") as app:
        assert await incoming(lambda event: None).receive(app, *message(1)) == Received("msg_1")
        assert (await app.runs()).runs == ()


async def test_an_answer_that_makes_no_sense_is_an_error() -> None:
    async with App("memory:") as app:
        with pytest.raises(RipresaError, match="must be a call"):
            await incoming(lambda event: "run it").receive(app, *message(1))


def test_a_message_is_read() -> None:
    event = incoming().verify(*message({"order": 7}))
    assert (event.id, event.type, event.data) == ("msg_1", "order.paid", {"order": 7})
    assert abs((event.sent_at - datetime.now(UTC)).total_seconds()) < 60
    body = b"[1, 2]"
    plain = incoming().verify(signed(Secret("env:HOOK_KEY"), "m", body), body)
    assert (plain.type, plain.data) == ("", [1, 2])


def test_while_keys_change_both_are_good() -> None:
    hook = incoming(secret=(Secret("env:HOOK_KEY"), Secret("env:HOOK_OLD_KEY")))
    assert hook.verify(*message(1, key=OLD)).data == 1
    assert hook.verify(*message(1)).data == 1


def changed(headers: dict[str, str], **changes: str | None) -> dict[str, str]:
    found = {name: changes.get(name.replace("-", "_").lower(), value) for name, value in headers.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_signature": None}, {"webhook_signature": ""}, {"webhook_signature": "v1"},
        {"webhook_signature": "v1,!"}, {"webhook_signature": "v1,a,b"}, {"webhook_signature": "v2,AAAA"},
        {"webhook_id": "msg_2"}, {"webhook_id": None}, {"webhook_timestamp": None}, {"webhook_timestamp": "now"},
        {"webhook_timestamp": "nan"}, {"webhook_timestamp": "1e400"}, {"webhook_timestamp": "0"},
    ],
)  # fmt: skip
def test_headers_that_are_not_the_senders_are_refused(changes: dict[str, Any]) -> None:
    headers, body = message({"order": 7})
    with pytest.raises(RipresaError) as caught:
        incoming().verify(changed(headers, **changes), body)
    assert caught.value.code == "webhook_refused"
    assert not isinstance(caught.value, InvalidConfig)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_of_another_time_is_refused(minutes: int) -> None:
    with pytest.raises(RipresaError, match="too old"):
        incoming().verify(*message(1, at=datetime.now(UTC) + timedelta(minutes=minutes)))


def test_another_body_or_key_is_refused() -> None:
    headers, body = message({"order": 7})
    for bad in (body + b" ", b"", b"\xff"):
        with pytest.raises(RipresaError, match="signature"):
            incoming().verify(headers, bad)
    with pytest.raises(RipresaError, match="signature"):
        incoming().verify(*message(1, key=OLD))


def test_a_body_that_is_too_large_or_no_json_is_refused() -> None:
    with pytest.raises(RipresaError, match="is larger than 10"):
        incoming(max_size=10).verify(*message({"order": 7}))
    with pytest.raises(RipresaError, match="no JSON"):
        incoming().verify(signed(Secret("env:HOOK_KEY"), "m", b"{"), b"{")


async def test_an_id_of_any_kind_is_one_of_ours() -> None:
    async with App("memory:") as app:
        for id in ("x" * 500, "a b/c", "../../etc", "é"):
            assert (await incoming().receive(app, *message({"order": 1}, id=id))).is_new
            assert not (await incoming().receive(app, *message({"order": 1}, id=id))).is_new
        assert all(head.id.startswith("webhook.shop.") for head in (await app.runs()).runs)


async def test_messages_of_different_services_never_have_one_id() -> None:
    pairs = [
        ("a", "b.c"), ("a.b", "c"), ("a", "b c"), ("a", sha256(b"b c").hexdigest()[:32]), ("a_b", "c"), ("a b", "c"),
        ("n" * 60, "c"), ("n" * 61, "c"), ("n" * 62, "c"), ("é", "c"), ("a", "é"), ("a", "e" * 120), ("a", "e" * 121),
    ]  # fmt: skip
    async with App("memory:") as app:
        for name, id in pairs:
            got = await incoming(name=name).receive(app, *message({"order": len(id)}, id=id))
            assert got.is_new
            again = await incoming(name=name).receive(app, *message({"order": len(id)}, id=id))
            assert (again.run, again.is_new) == (got.run, False)
        runs = [head.id for head in (await app.runs()).runs]
    assert len(set(runs)) == len(pairs)
    assert {"webhook.a.b.c", "webhook.a_b.c"} <= set(runs)


def test_bad_options_are_refused() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Incoming("a/b", "key", "then", max_size=0)  # type: ignore[arg-type]
    for part in ("name is", "secret", "then", "max_size"):
        assert part in str(caught.value)
    with pytest.raises(InvalidConfig, match="secret"):
        Incoming("a", (), start)
