"""Calls that prove by digest who makes them: challenges answered, once, where they were called, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import md5, sha256
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

import pytest

from ripresa import App, InvalidConfig, RipresaError, StepError, Surroundings, load_document
from ripresa.authoring.owf.problems import problem_of
from ripresa.steps import Digest, Pages, Request, Response, Secret, grpc, http
from ripresa.steps.credentials import read_credentials
from ripresa.steps.secret import KnownSecret
from tests.authoring.owf import data_of, wrong
from tests.steps.service import Answer, Asked, Service, service

PASSWORD = "open sesame"
HASHES: dict[str, Any] = {"MD5": md5, "SHA-256": sha256}


class Guarded:
    """A service that takes what is proved by digest."""

    def __init__(self, challenge: str = 'Digest realm="r", qop="auth", nonce="n", algorithm=SHA-256') -> None:
        self.challenge = challenge

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/open":
            return Answer(200, "open to all")
        if asked.path == "/moved" and self.takes(asked):
            return Answer(302, headers={"location": "/here?again=1"})
        if asked.path.startswith("/page") and self.takes(asked):
            more = {"link": '</page2>; rel="next"'} if asked.path == "/page1" else {}
            return Answer(200, asked.headers["authorization"], more)
        if self.takes(asked):
            return Answer(200, f"{asked.body.decode()} by {asked.headers['authorization']}")
        return Answer(401, "who?", {"www-authenticate": self.challenge})

    def takes(self, asked: Asked) -> bool:
        kind, _, said = asked.headers.get("authorization", "").partition(" ")
        if kind != "Digest":
            return False
        told: dict[str, str] = parse_keqv_list(parse_http_list(said))

        def hashed(*parts: str) -> str:
            return str(HASHES[told["algorithm"]](":".join(parts).encode()).hexdigest())

        who, what = hashed("ann", "r", PASSWORD), hashed(asked.method, asked.target)
        more = (told["nc"], told["cnonce"], "auth") if "qop" in told else ()
        return told["response"] == hashed(who, "n", *more, what) and told["uri"] == asked.target


def called(step: Callable[[Service], Any], answer: Callable[[Asked], Answer], given: Any = None) -> tuple[Any, Service]:
    async def go() -> tuple[Any, Service]:
        async with service(answer) as found:
            made = step(found)
            try:
                return await (made() if given is None else made(given)), found
            except RipresaError as error:
                return error, found

    return asyncio.run(go())


def ann(password: str = PASSWORD) -> Digest:
    return Digest("ann", KnownSecret(password))


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="r", qop="auth", nonce="n", algorithm=SHA-256',
        'Digest realm="r", qop="auth,auth-int", nonce="n", opaque="o"',
        'Digest realm="r", nonce="n"',
    ],
)
def test_a_challenge_is_answered(challenge: str) -> None:
    answer = Guarded(challenge)
    found, asked = called(lambda at: http("POST", f"{at.url}/a?b=c", auth=ann(), allow=["127.0.0.1"]), answer)
    assert isinstance(found, Response)
    assert [each.path for each in asked.asked] == ["/a", "/a"]
    assert "authorization" not in asked.asked[0].headers
    assert all(PASSWORD not in str(each) for each in asked.asked)


def test_the_body_is_sent_again_and_the_proof_is_hidden() -> None:
    given = Request(body="b")
    found, _ = called(lambda at: http("POST", f"{at.url}/a", auth=ann(), allow=["127.0.0.1"]), Guarded(), given)
    assert found.body == "b by ***"


def test_who_is_not_asked_proves_nothing() -> None:
    found, asked = called(lambda at: http("GET", f"{at.url}/open", auth=ann(), allow=["127.0.0.1"]), Guarded())
    assert found.body == "open to all"
    assert ["authorization" in each.headers for each in asked.asked] == [False]


def test_a_wrong_password_is_shown_once() -> None:
    found, asked = called(lambda at: http("GET", f"{at.url}/a", auth=ann("wrong"), allow=["127.0.0.1"]), Guarded())
    assert (found.code, len(asked.asked)) == ("http_status", 2)


def test_pages_and_redirects_at_the_same_place_are_proved_each() -> None:
    pages, asked = called(
        lambda at: http("GET", f"{at.url}/page1", auth=ann(), pages=Pages(), allow=["127.0.0.1"]), Guarded()
    )
    assert [each.body for each in pages] == ["***", "***"]
    assert [each.path for each in asked.asked] == ["/page1", "/page1", "/page2"]
    found, asked = called(lambda at: http("GET", f"{at.url}/moved", auth=ann(), allow=["127.0.0.1"]), Guarded())
    assert found.status == 200
    assert [each.target for each in asked.asked] == ["/moved", "/moved", "/here?again=1"]


def leading(other: Service) -> Answer:
    return Answer(302, headers={"location": f"{other.url}/a"})


def test_nothing_is_proved_to_whom_a_call_is_led() -> None:
    async def go() -> tuple[Any, Service]:
        async with service(Guarded()) as other, service(lambda _: leading(other)) as first:
            step = http("GET", f"{first.url}/a", auth=ann(), allow=["127.0.0.1"])
            with pytest.raises(StepError, match="status 401"):
                await step()
            return first, other

    _, other = asyncio.run(go())
    assert ["authorization" in each.headers for each in other.asked] == [False]


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        ('Digest realm="r"', "Malformed"),
        ("Digest nonsense", "cannot be given"),
        ('Digest realm="r", nonce="n", algorithm=ROT13', "ROT13"),
        ('Digest realm="r", nonce="n", qop="auth-int"', "auth-int"),
    ],
)
def test_what_cannot_be_answered_is_an_error(challenge: str, why: str) -> None:
    found, _ = called(lambda at: http("GET", f"{at.url}/a", auth=ann(), allow=["127.0.0.1"]), Guarded(challenge))
    assert (found.code, found.retryable) == ("http_failed", False)
    assert why in found.message


def test_a_service_that_asks_for_something_else_has_refused() -> None:
    found, asked = called(
        lambda at: http("GET", f"{at.url}/a", auth=ann(), allow=["127.0.0.1"]), Guarded('Basic realm="r"')
    )
    assert (found.code, len(asked.asked)) == ("http_status", 1)


def test_bad_options_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="user is '', must be a text; password must be a Secret"):
        Digest("", "secret")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidConfig, match="which is for calls of http and openapi"):
        grpc("a.example:1", "a.B/C", proto="a.proto", auth=ann())


def test_documents_say_it_by_reference() -> None:
    said = {"auth": {"digest": {"user": "ann", "password": "env:KEY"}}}
    assert read_credentials(said)["auth"] == Digest("ann", Secret("env:KEY"))
    with pytest.raises(InvalidConfig, match=r"digest\.user is missing"):
        read_credentials({"auth": {"digest": {"password": "env:KEY"}}})


DIGEST = "{uri: 'https://pets.org/a', authentication: {digest: {username: ann, password: '${ $secrets.word }'}}}"


def test_open_workflow_documents_have_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIPRESA_SECRET_WORD", PASSWORD)

    async def go() -> tuple[Any, str]:
        async with service(Guarded()) as found, App("memory:") as app:
            text = f"- a: {{call: http, with: {{method: get, endpoint: {DIGEST}}}}}"
            data = data_of(text, use={"secrets": ["word"]})
            flow = load_document(data, surroundings=Surroundings(stand_ins={"https://pets.org": found.url}))
            handle = await app.start(flow(None))
            return await handle.result(), str([each async for each in handle.events()])

    found, journal = asyncio.run(go())
    assert found == " by ***"
    assert PASSWORD not in journal
    assert "response=" not in journal


def test_a_wrong_password_is_a_fault_of_its_status() -> None:
    async def go() -> Any:
        async with service(Guarded()) as found, App("memory:") as app:
            text = f"- a: {{call: http, with: {{method: get, endpoint: {DIGEST}}}}}"
            given = Surroundings(stand_ins={"https://pets.org": found.url}, secret=lambda _: "wrong")
            flow = load_document(data_of(text, use={"secrets": ["word"]}), surroundings=given)
            outcome = await (await app.start(flow(None))).outcome()
            return problem_of(getattr(outcome.error, "failure"))  # noqa: B009

    assert asyncio.run(go())["status"] == 401


def test_grpc_has_no_digest() -> None:
    top = "document: {dsl: '1.0.3', namespace: test, name: order, version: '0.1.0'}\n"
    use = "use: {authentications: {d: {digest: {username: a, password: b}}}}\n"
    for said in ("{use: d}", "d", "{digest: {username: a, password: b}}"):
        service_ = f"{{name: a, host: b.org, authentication: {said}}}"
        task = f"{{call: grpc, with: {{proto: {{endpoint: x}}, service: {service_}, method: y}}}}"
        assert any("digest is for http" in each for each in wrong(f"{top}{use}do: [{{a: {task}}}]")), said
