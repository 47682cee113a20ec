"""Encrypted calls, against a service with a certificate of an authority of our own on the loopback interface."""

import json
import ssl
from pathlib import Path

import pytest
import trustme

from ripresa import InvalidConfig, StepError
from ripresa.steps import OIDC, Response, Secret, http
from ripresa.steps.guard import Guard, guard_of
from ripresa.steps.transport import client
from tests.steps.service import Answer, Asked, service


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def shown(authority: trustme.CA, *names: str, seen: list[str | None] | None = None) -> ssl.SSLContext:
    """A server with a certificate for these names; `seen` are those that it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]

    def ask(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, own: ssl.SSLContext) -> None:
        assert seen is not None
        seen.append(name)

    if seen is not None:
        context.sni_callback = ask  # pyright: ignore[reportAttributeAccessIssue] - as documented
    return context


def told(asked: Asked) -> Answer:
    return Answer(200, asked.headers["host"])


async def test_a_service_of_a_known_authority_is_called_by_name_and_by_address(authority: trustme.CA, ca: str) -> None:
    async with service(told, shown(authority, "localhost", "127.0.0.1")) as found:
        for host in ("localhost", "127.0.0.1"):
            place = f"{host}:{found.port}"
            assert (await http("GET", f"https://{place}/", allow=[place], ca=ca)()).body == place


async def test_a_service_of_another_authority_is_refused(ca: str) -> None:
    for own in (ca, ""):
        async with service(told, shown(trustme.CA(), "127.0.0.1")) as found:
            with pytest.raises(StepError, match="certificate verify failed") as caught:
                await http("POST", found.url, allow=[found.place], ca=own)()
        error = caught.value
        assert (error.code, error.retryable, error.unknown) == ("certificate_refused", False, False)
        assert found.asked == []


async def test_the_certificate_is_of_the_name_whatever_address_it_was_resolved_to(
    authority: trustme.CA, ca: str
) -> None:
    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    guard, seen = Guard(guard_of(["127.0.0.1"]).allowed, here), list[str | None]()
    async with service(told, shown(authority, "tides.example", seen=seen)) as found, client(guard, 5, ca) as opened:
        place = f"tides.example:{found.port}"
        assert (await opened.get(f"https://{place}/")).text == place
    assert seen == ["tides.example"]
    async with service(told, shown(authority, "127.0.0.1", "other.example")) as found, client(guard, 5, ca) as opened:
        import httpx2

        with pytest.raises(httpx2.ConnectError, match=r"tides\.example"):
            await opened.get(f"https://tides.example:{found.port}/")
        assert found.asked == []


async def test_tokens_are_asked_for_with_the_same_trust_and_never_in_the_open(
    authority: trustme.CA, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "open-sesame")
    endpoint = ""

    def answer(asked: Asked) -> Answer:
        if asked.path.startswith("/.well-known"):
            return Answer(200, json.dumps({"issuer": found.url, "token_endpoint": endpoint}))
        if asked.method == "POST":
            return Answer(200, '{"access_token": "t-1234", "expires_in": 60}')
        return Answer(200, asked.headers["authorization"])

    async def call() -> Response:
        auth = OIDC(found.url, client="a", secret=Secret("env:CLIENT_SECRET"))
        return await http("GET", found.url, auth=auth, allow=[found.place], ca=ca)()

    async with service(answer, shown(authority, "127.0.0.1")) as found:
        endpoint = f"http://127.0.0.1:{found.port}/token"
        with pytest.raises(StepError, match="gives up encryption") as caught:
            await call()
        assert caught.value.code == "token_refused"
        endpoint = f"{found.url}/token"
        assert (await call()).body == "Bearer ***"


async def test_a_file_that_holds_no_certificates_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("none")
    for name in ("x.pem", "y.pem"):
        with pytest.raises(StepError, match="there are no certificates in") as caught:
            await http("GET", "https://example.com", ca=str(tmp_path / name))()
        assert (caught.value.code, caught.value.retryable) == ("certificate_refused", False)
    with pytest.raises(InvalidConfig, match="ca is 3, must be the path"):
        http("GET", "https://example.com", ca=3)  # type: ignore[call-overload] # pyright: ignore
