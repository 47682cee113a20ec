"""Tokens for calls: asked of an authority on the loopback interface, held, got anew, recorded nowhere."""

# ruff: noqa: ASYNC240

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from ripresa import App, InvalidConfig, InvalidWorkflow, RunFailed, StepError, load_document, map_each
from ripresa.steps import OIDC, OAuth2, Request, Secret, http
from ripresa.steps.guard import guard_of
from ripresa.steps.oauth import Tokens
from ripresa.steps.secret import KnownSecret
from tests.steps.service import Answer, Asked, Service, service

ID = "ann's client"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "open:sesame")
    monkeypatch.setenv("PASSWORD", "swordfish")
    monkeypatch.setenv("REFRESH", "refresh-zero")


SECRET, PASSWORD, REFRESH = Secret("env:CLIENT_SECRET"), Secret("env:PASSWORD"), Secret("env:REFRESH")


class Authority:
    """Gives out tokens (`token-1`, `token-2`, ...), and is a service that takes the newest, and those in `good`."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.count = 0
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/.well-known/openid-configuration":
            return Answer(200, json.dumps(self.given["configuration"]))
        if asked.path in ("/oauth2/token", "/given/token"):
            return self._token(asked)
        if asked.headers.get("authorization") == f"Bearer token-{self.count}":
            return Answer(200, asked.headers["authorization"])
        return Answer(401, f"not good: {asked.headers.get('authorization', '')}")

    def _token(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if self.answers:
            return self.answers.pop(0)
        self.count += 1
        given = {"access_token": f"token-{self.count}", "token_type": "bearer", "expires_in": 3600, **self.given}
        return Answer(200, json.dumps({name: value for name, value in given.items() if value is not None}))

    @property
    def fields(self) -> list[dict[str, str]]:
        return [{name: value[0] for name, value in parse_qs(each.body.decode()).items()} for each in self.asked]


def call(found: Service, auth: OAuth2, method: str = "GET", **more: Any) -> Any:
    return http(method, f"{found.url}/tides", auth=auth, allow=[found.place], **more)


async def test_a_token_is_asked_for_as_the_client_and_held() -> None:
    authority = Authority()
    async with service(authority) as found:
        auth = OAuth2(found.url, client=ID, secret=SECRET, scopes=("read", "write"), audiences=("tides",))
        assert (await call(found, auth)()).status == 200
        assert (await call(found, OAuth2(**{name: getattr(auth, name) for name in _names(auth)}))()).status == 200
    pair = base64.b64encode(b"ann%27s+client:open%3Asesame").decode()
    assert [each.headers["authorization"] for each in authority.asked] == [f"Basic {pair}"]
    assert authority.fields == [{"grant_type": "client_credentials", "scope": "read write", "audience": "tides"}]


def _names(auth: OAuth2) -> list[str]:
    return ["authority", "client", "secret", "scopes", "audiences"]


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        (
            {"client_auth": "client_secret_post", "secret": SECRET},
            {"grant_type": "client_credentials", "client_id": ID, "client_secret": "open:sesame"},
        ),
        ({"client_auth": "none"}, {"grant_type": "client_credentials", "client_id": ID}),
        (
            {"client_auth": "none", "grant": "password", "user": "ann", "password": PASSWORD},
            {"grant_type": "password", "username": "ann", "password": "swordfish", "client_id": ID},
        ),
        (
            {"client_auth": "none", "grant": "refresh_token", "refresh": REFRESH, "client": ""},
            {"grant_type": "refresh_token", "refresh_token": "refresh-zero"},
        ),
    ],
)
async def test_each_grant_and_way_to_be_known_says_what_it_must(more: Any, fields: dict[str, str]) -> None:
    authority = Authority()
    async with service(authority) as found:
        given: dict[str, Any] = {"client": ID, "token": "given/token", **more}
        auth = OAuth2(f"{found.url}/", **given)
        assert (await call(found, auth)()).status == 200
        given |= {"token": f"{found.url}/given/token", "encoding": "json"}
        as_json = OAuth2(found.url, **given)
        assert (await call(found, as_json)()).status == 200
    assert authority.fields[0] == fields == json.loads(authority.asked[1].body)
    assert "authorization" not in authority.asked[0].headers


async def test_many_calls_at_a_time_ask_for_one_token() -> None:
    authority = Authority()
    async with service(authority) as found, App("memory:") as app:
        get = call(found, OAuth2(found.url, client=ID, secret=SECRET), name="get")
        answers = await app.run(map_each(get)([Request(), Request(), Request()]))
        assert [each.body for each in answers] == ["Bearer ***"] * 3
    assert authority.count == 1


async def test_a_token_that_the_service_refuses_is_got_anew_once() -> None:
    authority = Authority()
    async with service(authority) as found:
        get = call(found, OAuth2(found.url, client=ID, secret=SECRET))
        await get()
        authority.count += 1  # another one is good by now
        assert (await get()).status == 200
        assert len(authority.asked) == 2
        authority.given["access_token"] = "of-no-use"
        authority.count += 1
        with pytest.raises(StepError, match=r"status 401: not good: Bearer \*\*\*") as caught:
            await get()
        assert (caught.value.code, len(authority.asked)) == ("http_status", 3)
        own = call(found, OAuth2(found.url, client=ID, secret=SECRET), ok=[401])
        assert (await own()).status == 401
        assert len(authority.asked) == 3


async def test_the_body_is_sent_again_with_the_new_token() -> None:
    authority = Authority()
    async with service(authority) as found:
        post = call(found, OAuth2(found.url, client=ID, secret=SECRET), "POST")
        await post(Request(json={"height": 3}))
        authority.count += 1
        await post(Request(json={"height": 3}))
        assert [each.body for each in found.asked if each.path == "/tides"] == [b'{"height":3}'] * 3


async def test_a_token_is_got_anew_shortly_before_it_expires(clock: list[float]) -> None:
    authority = Authority(expires_in=600)
    tokens = Tokens(lambda: clock[0])
    async with service(authority) as found:
        auth, guard = OAuth2(found.url, client=ID, secret=SECRET), guard_of([found.place])
        seen: list[str] = []
        for moment in (0.0, 569.0, 571.0):
            clock[0] = moment
            seen.append(await tokens.get(auth, guard, 5))
        assert seen == ["token-1", "token-1", "token-2"]
        authority.given["expires_in"] = None  # then nobody knows
        clock[0] = 2000.0
        seen = [await tokens.get(auth, guard, 5)]
        for clock[0] in (2299.0, 2301.0):
            seen.append(await tokens.get(auth, guard, 5))
        assert seen == ["token-3", "token-3", "token-4"]


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


async def test_what_a_token_is_refreshed_with_is_used_while_it_is_good(clock: list[float]) -> None:
    authority = Authority(expires_in=10, refresh_token="refresh-1")
    tokens = Tokens(lambda: clock[0])
    async with service(authority) as found:
        auth, guard = OAuth2(found.url, client=ID, secret=SECRET), guard_of([found.place])
        await tokens.get(auth, guard, 5)
        authority.given["refresh_token"] = 3  # which is none
        clock[0] = 20.0
        await tokens.get(auth, guard, 5)
        authority.answers = [Answer(400, '{"error": "invalid_grant"}')]
        clock[0] = 40.0
        assert await tokens.get(auth, guard, 5) == "token-3"
        grants = [each["grant_type"] for each in authority.fields]
        assert grants == ["client_credentials", "refresh_token", "refresh_token", "client_credentials"]
        assert [each.get("refresh_token") for each in authority.fields] == [None, "refresh-1", "refresh-1", None]
        authority.given["refresh_token"] = "refresh-2"
        clock[0] = 60.0
        await tokens.get(auth, guard, 5)
        authority.answers = [Answer(503)]
        clock[0] = 80.0
        with pytest.raises(StepError, match="503"):
            await tokens.get(auth, guard, 5)


async def test_no_more_tokens_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.steps.oauth._MOST", 1)
    authority, tokens = Authority(), Tokens()
    async with service(authority) as found:
        guard = guard_of([found.place])
        for client in ("a", "b", "b", "a"):
            await tokens.get(OAuth2(found.url, client=client, secret=SECRET), guard, 5)
    assert authority.count == 3


# --- what goes wrong


@pytest.mark.parametrize(
    ("answer", "message", "again"),
    [
        (
            Answer(400, '{"error": "invalid_scope", "error_description": "no swordfish"}'),
            "400: invalid_scope: no",
            False,
        ),
        (Answer(401, "open:sesame"), "answered with status 401", False),
        (Answer(429, "", {"retry-after": "7"}), "answered with status 429", True),
        (Answer(500), "answered with status 500", True),
        (Answer(302, "", {"location": "http://elsewhere.example"}), "answered with status 302", False),
        (Answer(200, "[]"), "no JSON object", False),
        (Answer(200, "{"), "no JSON object", False),
        (Answer(200, '{"token": "x"}'), "gave out no token", False),
        (Answer(200, '{"access_token": "a\\r\\nx-admin: 1"}'), "gave out no token", False),
        (Answer(200, '{"access_token": "a", "token_type": "mac"}'), "no bearer token", False),
    ],
)
async def test_an_authority_that_gives_no_token_is_an_error_that_says_why(
    answer: Answer, message: str, again: bool
) -> None:
    async with service(lambda asked: answer) as found:
        auth = OAuth2(found.url, client=ID, client_auth="none", grant="password", user="ann", password=PASSWORD)
        with pytest.raises(StepError, match=message) as caught:
            await call(found, auth, "POST")()
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == ("token_refused", again, False)
    assert caught.value.retry_after == (7 if answer.status == 429 else 0)
    assert "swordfish" not in str(caught.value)
    assert [each.path for each in found.asked] == ["/oauth2/token"]


async def test_a_call_whose_token_is_lost_was_not_made() -> None:
    async with service(lambda asked: Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")) as found:
        with pytest.raises(StepError) as caught:
            await call(found, OAuth2(found.url, client=ID, secret=SECRET), "POST")()
    assert (caught.value.code, caught.value.unknown) == ("http_failed", False)


async def test_the_place_of_tokens_is_guarded_too() -> None:
    async with service(Authority()) as inside, service(Authority()) as found:
        for auth in (OAuth2(inside.url, client=ID, secret=SECRET), OIDC(inside.url, client=ID, secret=SECRET)):
            with pytest.raises(StepError) as caught:
                await call(found, auth)()
            assert caught.value.code == "address_refused"
        told = {"issuer": found.url, "token_endpoint": f"{inside.url}/oauth2/token"}
        found.answer = Authority(configuration=told)
        with pytest.raises(StepError) as caught:
            await call(found, OIDC(found.url, client=ID, secret=SECRET))()
        assert caught.value.code == "address_refused"
        assert inside.asked == []


async def test_nothing_of_it_is_recorded_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(refresh_token="refresh-1")
    caplog.set_level(logging.DEBUG)
    async with service(authority) as found, App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        auth = OAuth2(
            found.url, client=ID, client_auth="client_secret_post", secret=SECRET, grant="password", user="ann",
            password=PASSWORD,
        )  # fmt: skip
        assert (await app.run(call(found, auth)())).body == "Bearer ***"
        authority.answers = [Answer(400, '{"error": "swordfish"}')] * 2
        with pytest.raises(RunFailed):
            await app.run(call(found, auth, ok=[404])())
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*")) + caplog.text.encode()
    assert not [word for word in ("open:sesame", "swordfish", "token-1", "refresh-1") if word.encode() in kept]


# --- OpenID Connect


async def test_the_authority_says_where_tokens_are_given_out() -> None:
    authority = Authority(configuration={})
    async with service(authority) as found:
        authority.given["configuration"] = {"issuer": f"{found.url}/", "token_endpoint": f"{found.url}/given/token"}
        assert (await call(found, OIDC(found.url, client=ID, secret=SECRET))()).status == 200
        authority.given["configuration"]["issuer"] = "https://known.example"
        known = OIDC(found.url, client=ID, secret=SECRET, issuers=["https://known.example"])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert (await call(found, known)()).status == 200
    assert authority.asked[0].path == "/given/token"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"issuer": "https://other.example"}, "which is none of http://127"),
        ({"issuer": None}, "is of None"),
        ({"token_endpoint": None}, "does not say where"),
        ({"token_endpoint": "ftp://x"}, "does not say where"),
    ],
)
async def test_an_authority_that_is_not_the_one_is_refused(told: dict[str, Any], message: str) -> None:
    authority = Authority(configuration={})
    async with service(authority) as found:
        authority.given["configuration"] = {"issuer": found.url, "token_endpoint": f"{found.url}/oauth2/token", **told}
        with pytest.raises(StepError, match=message) as caught:
            await call(found, OIDC(found.url, client=ID, secret=SECRET))()
    assert caught.value.code == "token_refused"
    assert authority.asked == []


# --- how it is said


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: OAuth2(3), ["the url 3 must be a text"]),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (lambda: OAuth2("ftp://x", client="a", secret=SECRET), ["must begin with http"]),
        (
            lambda: OAuth2("https://x.example", grant="device", secret="s", scopes="read", token=""),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            ["grant is 'device'", "secret must be a Secret", "scopes is 'read'", "token is ''"],
        ),
        (lambda: OAuth2("https://x.example"), ["client is empty", "secret is missing"]),
        (
            lambda: OAuth2("https://x.example", client="a", client_auth="none", secret=SECRET, user="ann"),
            ["secret is for nothing", "client_credentials has no use for user"],
        ),
        (
            lambda: OAuth2("https://x.example", grant="password", secret=SECRET, refresh=REFRESH),
            ["password needs user", "password needs password", "no use for refresh"],
        ),
        (lambda: OAuth2("https://x.example", client="a", secret=SECRET, token="ftp://x"), ["must begin with http"]),
        (lambda: OIDC("https://x.example", client="a", secret=SECRET, issuers="x"), ["issuers is 'x'"]),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (lambda: http("GET", "https://x.example", auth=("ann", "swordfish")), ["auth must be"]),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(make: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        make()
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "swordfish" not in str(caught.value)


async def test_a_secret_that_is_known_already_is_shown_as_nothing() -> None:
    secret, same, other = KnownSecret("swordfish"), KnownSecret("swordfish"), KnownSecret("carp")
    assert (secret == same, secret == other, len({secret, same, other})) == (True, False, 2)
    assert "swordfish" not in repr(secret)
    with pytest.raises(StepError, match="it is empty"):
        KnownSecret(" ").read()
    authority = Authority()
    async with service(authority) as found:
        auth = OAuth2(found.url, client=ID, secret=secret, client_auth="client_secret_post")
        assert (await call(found, auth)()).status == 200
    assert authority.fields[0]["client_secret"] == "swordfish"


def document(auth: Any, **more: Any) -> dict[str, Any]:
    config = {"method": "GET", "url": "https://x.example", "auth": auth, **more}
    return {"id": "x", "steps": [{"type": "http", "config": config}]}


async def test_documents_name_secrets_by_their_references() -> None:
    authority = Authority(configuration={})
    async with service(authority) as found, App("memory:") as app:
        authority.given["configuration"] = {"issuer": found.url, "token_endpoint": f"{found.url}/oauth2/token"}
        client = {"authority": found.url, "client": ID, "secret": "env:CLIENT_SECRET"}
        for auth in ({"oauth2": {**client, "scopes": ["a"]}}, {"oidc": client}):
            flow = load_document(document(auth, url=f"{found.url}/tides", allow=[found.place]))
            assert (await app.run(flow(None))).status == 200
        seen: list[str] = []
        pair = {"basic": {"user": "a", "password": "env:PASSWORD"}}
        written: list[Any] = ["env:PASSWORD", {"bearer": PASSWORD}, PASSWORD, pair]
        for said in written:
            config: dict[str, Any] = {"url": f"{found.url}/x", "allow": [found.place], "ok": [401]}
            flow = load_document(document(said, headers={"x-key": {"secret": "env:REFRESH"}, "x-a": "b"}, **config))
            await app.run(flow(None))
            seen.append(found.asked[-1].headers["authorization"])
        assert seen == ["Bearer swordfish"] * 3 + ["Basic " + base64.b64encode(b"a:swordfish").decode()]
        assert found.asked[-1].headers["x-key"] == "refresh-zero"


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (3, "auth must be the reference of a secret, or an object with one of bearer, basic, digest, oauth2, oidc"),
        ({"bearer": "env:A", "basic": {}}, "auth must be the reference"),
        ({"basic": {"usr": "a"}}, "basic.usr is no key here; did you mean user"),
        ({"basic": {"zz": "a"}}, "basic.zz is no key here; there are user, password"),
        ({"basic": {"password": "env:A"}}, "basic.user is missing"),
        ({"basic": "ann"}, "basic must be an object"),
        ({"bearer": "swordfish"}, "never the secret itself"),
        ({"oauth2": {"client": "a"}}, "oauth2.authority is missing"),
        ({"oidc": {"authority": "https://x.example", "token": "x"}}, "oidc.token is no key"),
    ],
)
def test_credentials_of_a_document_are_checked_when_it_is_read(auth: Any, message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message) as caught:
        load_document(document(auth))
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    "more", [{"auth": "env:A"}, {"auth": None, "headers": {"x": {"secret": "env:A"}}}, {"auth": None, "ca": "x.pem"}]
)
def test_a_bounded_document_names_no_secrets_and_no_files(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidWorkflow, match="not for documents that may import only some modules"):
        load_document(document(**more), modules=[])
    load_document(document(**more))
