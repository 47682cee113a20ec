"""Steps that call HTTP services, against a real one on the loopback interface."""

# ruff: noqa: ASYNC110, ASYNC240

import asyncio
import base64
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ripresa import (
    App,
    InvalidConfig,
    InvalidValue,
    Retry,
    RipresaError,
    RunFailed,
    StepError,
    StepTimeout,
    chain,
    step,
    steps,
)
from ripresa.core.definition import type_name
from ripresa.steps import Pages, Request, Response, Secret, http
from ripresa.steps.waiting import LONGEST, asked_by
from tests.steps.service import Answer, Asked, Service, service


@dataclass
class Tide:
    port: str
    height: float


def echo(asked: Asked) -> Answer:
    """Answers with what it was asked."""
    told = {"method": asked.method, "target": asked.target, "headers": asked.headers, "body": asked.body.decode()}
    return Answer(200, json.dumps(told), {"content-type": "application/json"})


async def test_a_request_fills_the_holes_and_adds_query_headers_and_a_body() -> None:
    async with service(echo) as found:
        call = http("POST", f"{found.url}/ports/{{port}}/tides?unit=m", query={"year": "2026"}, allow=[found.place])
        request = Request({"port": "St Ives/x"}, {"day": "1 & 2"}, {"X-Trace": "7"}, {"height": 3})
        told = (await call(request)).json()
        assert told["target"] == "/ports/St%20Ives%2Fx/tides?unit=m&year=2026&day=1+%26+2"
        assert json.loads(told["body"]) == {"height": 3}
        assert told["headers"]["x-trace"] == "7"
        assert told["headers"]["content-type"] == "application/json"
        plain = http("PUT", found.url, allow=[found.place])
        assert (await plain(Request(body="tide"))).json()["body"] == "tide"


async def test_an_answer_is_recorded_without_cookies() -> None:
    async with service(lambda asked: Answer(200, "hi", {"set-cookie": "a=b", "X-Kind": "tide"})) as found:
        answer = await http("GET", f"{found.url}/a?key=1", allow=[found.place])()
        assert (answer.status, answer.body, answer.content, answer.url) == (200, "hi", b"hi", f"{found.url}/a")
        assert answer.headers["x-kind"] == "tide"
        assert "set-cookie" not in answer.headers


async def test_what_is_no_text_is_kept_as_base64() -> None:
    async with service(lambda asked: Answer(200, b"\xff\x00\x01")) as found:
        answer = await http("GET", found.url, allow=[found.place])()
        assert answer.is_base64
        assert answer.content == b"\xff\x00\x01"


async def test_an_answer_is_read_by_a_type_and_goes_on_in_a_chain() -> None:
    @step
    async def ask(port: str) -> Request:
        return Request({"port": port})

    @step
    async def tell(tide: Tide) -> str:
        return f"{tide.port}: {tide.height}"

    async with service(lambda asked: Answer(200, '{"port": "Oban", "height": 3.5}')) as found, App("memory:") as app:
        fetch = http("GET", found.url + "/{port}", returns=Tide, allow=[found.place], name="fetch")
        assert await app.run(chain(ask).then(fetch).then(tell)("Oban")) == "Oban: 3.5"


@pytest.mark.parametrize("body", ["{", '{"port": 3}'])
async def test_an_answer_that_is_not_of_the_type_is_an_error(body: str) -> None:
    async with service(lambda asked: Answer(200, body)) as found:
        with pytest.raises(InvalidValue) as caught:
            await http("GET", found.url, returns=Tide, allow=[found.place])()
    assert caught.value.code == "invalid_output"


# --- secrets


async def test_secrets_are_sent_and_recorded_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", "open-sesame")
    monkeypatch.setenv("PASSWORD", "swordfish")
    pair = base64.b64encode(b"ann:swordfish").decode()
    async with service(echo) as found, App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        kept = {"X-Key": Secret("env:TOKEN")}
        both = http("GET", found.url, auth=Secret("env:PASSWORD"), headers=kept, allow=[found.place])
        answer = await app.run(both())
        assert found.asked[0].headers["authorization"] == "Bearer swordfish"
        assert found.asked[0].headers["x-key"] == "open-sesame"
        assert answer.json()["headers"]["x-key"] == "***"
        await app.run(http("GET", found.url, auth=("ann", Secret("env:PASSWORD")), allow=[found.place])())
        assert found.asked[1].headers["authorization"] == f"Basic {pair}"
        with pytest.raises(RunFailed):
            await app.run(http("GET", found.url, auth=Secret("env:PASSWORD"), ok=[404], allow=[found.place])())
    files = b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))
    assert b"Bearer ***" in files
    assert not [word for word in ("open-sesame", "swordfish", pair) if word.encode() in files]


async def test_a_secret_of_two_lines_is_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a\r\nX-Admin: 1")
    with pytest.raises(StepError) as caught:
        await http("GET", "https://example.com", auth=Secret("env:TOKEN"))()
    assert caught.value.code == "secret_missing"
    assert "X-Admin" not in str(caught.value)


async def test_logs_do_not_know_the_query_of_a_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with service(lambda asked: Answer(200)) as found:
        await http("GET", f"{found.url}/a", query={"key": "swordfish"}, allow=[found.place])()
        assert found.asked[0].query == {"key": ["swordfish"]}
        async with httpx2.AsyncClient() as others:
            await others.get(f"{found.url}/b?page=3")
    assert "swordfish" not in caplog.text
    assert f"{found.url}/a" in caplog.text
    assert "b?page=3" in caplog.text


# --- failures


@pytest.mark.parametrize(
    ("status", "again"), [(400, False), (401, False), (404, False), (408, True), (429, True), (500, True), (503, True)]
)
async def test_a_status_says_whether_to_try_again(status: int, again: bool) -> None:
    async with service(lambda asked: Answer(status, "no tide")) as found:
        with pytest.raises(StepError, match=f"status {status}: no tide") as caught:
            await http("GET", found.url, allow=[found.place])()
    assert (caught.value.code, caught.value.retryable) == ("http_status", again)


async def test_what_counts_as_success_and_as_worth_another_try_can_be_said() -> None:
    async with service(lambda asked: Answer(404)) as found:
        assert (await http("GET", found.url, ok=[404], allow=[found.place])()).status == 404
        with pytest.raises(StepError) as caught:
            await http("GET", found.url, again=[404], allow=[found.place])()
        assert caught.value.retryable


async def test_the_service_says_when_to_come_back() -> None:
    answers = [Answer(429, headers={"retry-after": "1"}), Answer(200, "here")]
    async with service(lambda asked: answers.pop(0)) as found, App("memory:") as app:
        fetch = http("GET", found.url, retry=Retry(2, wait=0), allow=[found.place], name="fetch")
        began = asyncio.get_running_loop().time()
        assert (await app.run(fetch())).body == "here"
        assert asyncio.get_running_loop().time() - began >= 0.99


def test_what_retry_after_says() -> None:
    assert asked_by("120") == 120
    assert asked_by("99999999999999") == LONGEST
    assert 50 < asked_by(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
    assert 50 < asked_by(format_datetime((datetime.now(UTC) + timedelta(seconds=60)).replace(tzinfo=None))) <= 60
    assert [asked_by(text) for text in ("", "soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT")] == [0.0] * 4
    assert [
        asked_by(f"Mon, 01 Jan {year} 00:00:00 {zone}") for year, zone in (("9" * 14, "GMT"), ("2024", "+" + "9" * 20))
    ] == [0.0] * 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(raw=b""), "http_failed"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), "http_failed"),
        (Answer(raw=b"no http at all\r\n\r\n"), "http_failed"),
        (Answer(silent=True), "http_failed"),
    ],
)
async def test_a_connection_that_breaks_is_worth_another_try(answer: Answer, code: str) -> None:
    async with service(lambda asked: answer) as found:
        with pytest.raises(StepError) as caught:
            await http("GET", found.url, allow=[found.place], patience=0.2)()
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == (code, True, True)


async def test_nobody_there_is_worth_another_try_and_certainly_nothing_happened() -> None:
    async with service(echo) as found:
        port = found.port
    with pytest.raises(StepError) as caught:
        await http("POST", f"http://127.0.0.1:{port}", allow=["127.0.0.1"])()
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == ("http_failed", True, False)


async def test_a_timeout_holds_for_the_whole_call() -> None:
    async with service(lambda asked: Answer(silent=True)) as found:
        with pytest.raises(StepTimeout):
            await http("GET", found.url, timeout=0.1, allow=[found.place])()


async def test_an_answer_that_is_too_large_is_refused() -> None:
    async with service(lambda asked: Answer(200, "x" * 5000)) as found:
        with pytest.raises(StepError) as caught:
            await http("GET", found.url, max_size=4999, allow=[found.place])()
        assert found.asked[0].headers["accept-encoding"] == "identity"
    assert caught.value.code == "too_large"


async def test_an_irreversible_call_whose_answer_is_lost_waits_for_who_knows() -> None:
    answers = [Answer(raw=b""), Answer(500)]
    async with service(lambda asked: answers[0]) as found, App("memory:") as app:
        pay = http("POST", found.url, retry=Retry(3, wait=0), allow=[found.place], name="pay")
        assert pay.options.effect == "irreversible"
        for _ in range(2):
            handle = await app.start(pay())
            async with asyncio.timeout(10):
                while not (await handle.status()).parked:
                    await asyncio.sleep(0.005)
            await handle.cancel()
            answers.pop(0)
            answers.append(Answer(200))
        assert len(found.asked) == 2


async def test_a_key_makes_a_post_idempotent() -> None:
    answers = [Answer(raw=b""), Answer(200, "paid")]
    async with service(lambda asked: answers.pop(0)) as found, App("memory:") as app:
        pay = http("POST", found.url, idempotency="Idempotency-Key", retry=Retry(2, wait=0), allow=[found.place])
        assert (await app.run(pay(), id="order-7")).body == "paid"
        keys = {each.headers["idempotency-key"] for each in found.asked}
        assert len(found.asked) == 2
        assert keys == {f"order-7/{pay.name}"}


def test_the_effect_follows_from_the_method() -> None:
    effects = {method: http(method, "https://example.com").options.effect for method in ("GET", "PUT", "POST", "PATCH")}
    assert effects == {"GET": "read", "PUT": "idempotent", "POST": "irreversible", "PATCH": "irreversible"}
    assert http("DELETE", "https://example.com").options.effect == "idempotent"
    assert http("POST", "https://example.com", effect="read").options.effect == "read"
    assert http("GET", "https://example.com/x").name == "get_example.com"


# --- redirects


async def test_redirects_are_followed_for_get_only() -> None:
    def lead(asked: Asked) -> Answer:
        return Answer(200, "there") if asked.path == "/b" else Answer(307, headers={"location": "/b"})

    async with service(lead) as found:
        assert (await http("GET", f"{found.url}/a", allow=[found.place])()).body == "there"
        for call in (
            http("POST", f"{found.url}/a", allow=[found.place]),
            http("GET", f"{found.url}/a", allow=[found.place], redirects=0),
        ):
            with pytest.raises(StepError, match="status 307") as caught:
                await call()
            assert not caught.value.retryable


async def test_redirects_in_a_circle_end() -> None:
    async with service(lambda asked: Answer(302, headers={"location": "/"})) as found:
        with pytest.raises(StepError, match="more than 3 redirects"):
            await http("GET", found.url, redirects=3, allow=[found.place])()
        assert len(found.asked) == 4


async def test_secrets_do_not_go_along_to_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "open-sesame")
    async with service(echo) as other:

        def lead(asked: Asked) -> Answer:
            return Answer(302, headers={"location": f"{other.url}/"})

        async with service(lead) as found:
            secret = Secret("env:TOKEN")
            call = http("GET", found.url, auth=secret, headers={"X-Key": secret, "X-Open": "yes"}, allow=["127.0.0.1"])
            await call()
    assert found.asked[0].headers["x-key"] == "open-sesame"
    assert other.asked[0].headers["x-open"] == "yes"
    assert not {"x-key", "authorization"} & set(other.asked[0].headers)


async def test_a_redirect_out_of_http_is_refused() -> None:
    for target in ("file:///etc/passwd", "gopher://127.0.0.1:70/x", "http://"):
        async with service(lambda asked, target=target: Answer(302, headers={"location": target})) as found:  # type: ignore[misc]
            with pytest.raises(StepError):
                await http("GET", found.url, allow=[found.place])()


async def test_a_redirect_that_gives_up_encryption_is_refused() -> None:
    import httpx2

    from ripresa.steps.calls import _redirected

    with pytest.raises(StepError, match="not encrypted"):
        _redirected(None, httpx2.Request("GET", "https://a.b"), httpx2.Request("GET", "http://a.b"), [])  # type: ignore[arg-type]


# --- pages


def paged(found: list[Service], answer: Any) -> Any:
    return lambda asked: answer(found[0], int(asked.query.get("page", ["1"])[0]))


async def test_pages_are_followed_by_links() -> None:
    places: list[Service] = []

    def page(at: Service, number: int) -> Answer:
        links = {"link": f'<{at.url}/?page={number + 1}>; rel="next"'} if number < 3 else {}
        return Answer(200, json.dumps([number]), links)

    async with service(paged(places, page)) as found:
        places.append(found)
        call = http("GET", found.url, pages=Pages(), returns=list[int], allow=[found.place])
        assert await call() == [[1], [2], [3]]
        with pytest.raises(StepError, match="more than 2 pages"):
            await http("GET", found.url, pages=Pages(most=2), allow=[found.place])()


@pytest.mark.parametrize("parameter", ["page", ""])
async def test_pages_are_followed_by_a_cursor_in_the_answer(parameter: str) -> None:
    places: list[Service] = []

    def page(at: Service, number: int) -> Answer:
        following: Any = number + 1 if parameter else f"/?page={number + 1}&size=2"
        return Answer(200, json.dumps({"n": number, "meta": {"next": following if number < 3 else None}}))

    async with service(paged(places, page)) as found:
        places.append(found)
        pages = Pages(cursor="meta.next", parameter=parameter)
        answers = await http("GET", f"{found.url}/?size=2", pages=pages, allow=[found.place])()
        assert [answer.json()["n"] for answer in answers] == [1, 2, 3]
        assert all(each.query["size"] == ["2"] for each in found.asked)
        none = http("GET", f"{found.url}/?size=2", pages=Pages(cursor="meta.next.none"), allow=[found.place])
        assert len(await none()) == 1


async def test_a_next_page_elsewhere_is_refused() -> None:
    async with service(lambda asked: Answer(200, '{"next": "http://169.254.169.254/"}')) as found:
        with pytest.raises(StepError, match="is elsewhere") as caught:
            await http("GET", found.url, pages=Pages(cursor="next"), allow=[found.place])()
    assert caught.value.code == "address_refused"


# --- what data cannot do


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_value_that_is_no_part_of_a_path_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue, match="no part of a path"):
        await http("GET", "https://example.com/{id}")(Request({"id": value}))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"}, {"authorization": "x"}, {"Cookie": "a"}, {"Proxy-Authorization": "x"}, {"X-Key": "y"},
        {"a b": "x"}, {"X": "a\r\nY: b"}, {"X": "a\x01"}, {"X": "é"}, {"": "x"}, {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
    ],
)  # fmt: skip
async def test_headers_that_are_not_for_data_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        await http("GET", "https://example.com", headers={"x-key": "fixed"})(Request(headers=headers))


@pytest.mark.parametrize(
    "request_",
    [
        Request(path={"other": "x"}), Request(url="https://elsewhere.example"), Request(),
    ],
)  # fmt: skip
async def test_a_request_fits_the_url_of_its_step(request_: Request) -> None:
    with pytest.raises(InvalidValue):
        await http("GET", "https://example.com/{id}")(request_)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://a.b",
        "https://",
        "https://u:p@a.b",
        "https://a.b/{x}",
        "http://[::1",
        "http://a.b:99999",
    ],
)
async def test_a_url_of_a_request_is_checked(url: str) -> None:
    with pytest.raises(InvalidValue):
        await http("GET")(Request(url=url))


async def test_a_url_that_only_the_client_cannot_read_is_an_error() -> None:
    with pytest.raises(InvalidValue, match="cannot be read"):
        await http("GET")(Request(url="http://a\x00b.example/"))


def test_bad_options_are_refused_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        http(
            "FETCH", "https://{host}/", headers={"a b": "x", "B": 3}, auth="token", redirects=-1, max_size=0,
            pages=Pages(most=0), colour="red", allow="localhost",
        )  # type: ignore[call-overload] # fmt: skip
    for part in ("method", "hole in its host", "'a b'", "header B", "auth", "redirects", "max_size", "pages.most"):
        assert part in str(caught.value)
    assert "colour" in str(caught.value)
    assert "allow" in str(caught.value)
    with pytest.raises(InvalidConfig, match="pages"):
        http("GET", "https://a.b", pages="all")  # type: ignore[call-overload]
    with pytest.raises(InvalidConfig, match="user or password"):
        http("GET", "https://ann:secret@a.b")
    with pytest.raises(InvalidConfig, match="header x"):
        http("GET", "https://a.b", headers={"x": "a\nb"})


async def test_without_the_extra_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(RipresaError, match=r"ripresa\[http\]") as caught:
        await http("GET", "https://example.com")()
    assert caught.value.code == "extra_missing"


def test_an_answer_can_be_made_by_hand() -> None:
    assert Response(200, "u", {}, "[1]").json() == [1]
    with pytest.raises(InvalidValue, match="no JSON"):
        Response(200, "u", {}, "{").json()


def test_the_names_are_listed_and_no_others() -> None:
    assert dir(steps) == sorted(steps.__all__)
    assert [getattr(steps, name) for name in steps.__all__]
    with pytest.raises(AttributeError):
        steps.nothing  # noqa: B018


def test_a_step_is_called_the_same_in_every_process() -> None:
    code = """
from ripresa.steps import cli_agent, http
print(http("GET", "https://example.org").fn.__qualname__, cli_agent("kilo").fn.__qualname__)
"""
    found = {subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(2)}
    assert len(found) == 1


def test_what_requests_and_answers_have_besides_changes_no_definition() -> None:
    fields = "path:dict[str,str],query:dict[str,str],headers:dict[str,str],json:Any,body:str,url:str"
    assert type_name(Request) == f"Request({fields})"
    assert type_name(Response) == "Response(status:int,url:str,headers:dict[str,str],body:str,is_base64:bool)"


@pytest.mark.parametrize("name", ["ok", "again"])
def test_statuses_are_a_list_of_numbers(name: str) -> None:
    options: dict[str, Any] = {name: 200}
    with pytest.raises(InvalidConfig, match=f"{name} is 200, must be a list"):
        http("GET", "https://example.org", **options)
