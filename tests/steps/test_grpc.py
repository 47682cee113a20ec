"""Methods of gRPC services, called at one on the loopback interface."""

# ruff: noqa: ASYNC240

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import trustme

from ripresa import (
    App,
    InvalidConfig,
    InvalidValue,
    InvalidWorkflow,
    Retry,
    RipresaError,
    StepError,
    chain,
    load_document,
    step,
)
from ripresa.steps import OAuth2, Secret, grpc
from ripresa.steps.protos import Method, services_in
from tests.runtime.stage import turns
from tests.steps.service import Answer, Asked, service

library: Any = import_module("grpc")
ran = pytest.mark.parametrize

PROTO = """
syntax = "proto3";
package tides;
import "google/protobuf/timestamp.proto";
import "level.proto";
service Tides {
  rpc Find (Ask) returns (Tide);
  rpc All (Ask) returns (stream Tide);
  rpc Sum (stream Ask) returns (Tide);
  rpc Each (stream Ask) returns (stream Tide);
}
message Ask { string port = 1; int64 number = 2; google.protobuf.Timestamp at = 3; }
message Tide { string port = 1; int64 number = 2; Level level = 3; string told_by = 4; }
"""
HELD = """
syntax = "proto3";
package held;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
service Holder { rpc Get (Held) returns (Held); }
message Held { google.protobuf.Any any = 1; google.protobuf.Timestamp at = 2; }
"""
LEVEL = 'syntax = "proto3"; package tides; message Level { double metres = 1; }'


@dataclass
class Tide:
    port: str
    number: int


@pytest.fixture(scope="module")
def proto(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("protos")
    (folder / "shared").mkdir()
    (folder / "tides.proto").write_text(PROTO)
    (folder / "shared" / "level.proto").write_text(LEVEL)
    return str(folder / "tides.proto")


def shared(proto: str) -> list[str]:
    return [str(Path(proto).parent / "shared")]


@dataclass
class Tides:
    """A service that gives back what it is asked, after `then` was told of each call."""

    methods: dict[str, Method]
    then: Callable[[Any], Any]
    metadata: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    remaining: list[float] = field(default_factory=list[float])
    port: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def told(self, context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())
        await self.then(context)

    def tide(self, port: str, number: int = 0, **more: Any) -> Any:
        return self.methods["Find"].gives(port=port, number=number, **more)

    async def find(self, ask: Any, context: Any) -> Any:
        await self.told(context)
        return self.tide(ask.port, ask.number, told_by=self.metadata[-1].get("authorization", ""))

    async def all(self, ask: Any, context: Any) -> AsyncIterator[Any]:
        await self.told(context)
        for number in range(ask.number):
            yield self.tide(ask.port, number)

    async def sum(self, asks: Any, context: Any) -> Any:
        await self.told(context)
        numbers = [ask.number async for ask in asks]
        return self.tide(str(len(numbers)), sum(numbers))

    async def each(self, asks: Any, context: Any) -> AsyncIterator[Any]:
        async for ask in asks:
            yield self.tide(ask.port)

    def handlers(self) -> Any:
        made: dict[str, Any] = {
            "Find": library.unary_unary_rpc_method_handler,
            "All": library.unary_stream_rpc_method_handler,
            "Sum": library.stream_unary_rpc_method_handler,
            "Each": library.stream_stream_rpc_method_handler,
        }
        methods: dict[str, Any] = {}
        for name, make in made.items():
            method = self.methods[name]
            methods[name] = make(getattr(self, name.lower()), method.takes.FromString, method.gives.SerializeToString)
        return library.method_handlers_generic_handler("tides.Tides", methods)


async def nothing(context: Any) -> None:
    pass


@asynccontextmanager
async def tides(proto: str, then: Callable[[Any], Any] = nothing, cert: Any = None) -> AsyncIterator[Tides]:
    services = services_in(proto, tuple(shared(proto)))
    found = Tides({name: services.method(f"tides.Tides/{name}") for name in ("Find", "All", "Sum", "Each")}, then)
    server = library.aio.server()
    server.add_generic_rpc_handlers((found.handlers(),))
    if cert is None:
        found.port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes())
        found.port = server.add_secure_port("127.0.0.1:0", library.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)


def call(found: Tides, proto: str, method: str = "Find", **options: Any) -> Any:
    given: dict[str, Any] = {"tls": False, "allow": [found.place], "proto_path": shared(proto), **options}
    return grpc(found.place, f"tides.Tides/{method}", proto=proto, **given)


async def test_a_method_is_called_with_a_message_and_goes_on_in_a_chain(proto: str) -> None:
    @step
    async def ask(port: str) -> dict[str, Any]:
        return {"port": port, "number": 7, "at": "2026-11-21T18:00:00Z"}

    @step
    async def tell(tide: Tide) -> str:
        return f"{tide.port} {tide.number}"

    async with tides(proto) as found, App("memory:") as app:
        find = call(found, proto, returns=Tide, timeout=50, name="find")
        assert await app.run(chain(ask).then(find).then(tell)("Oban")) == "Oban 7"
        assert await call(found, proto)() == {"port": "", "number": "0", "told_by": ""}
    assert [round(each, -1) for each in found.remaining] == [50, 60]


async def test_streams_are_lists(proto: str) -> None:
    async with tides(proto) as found:
        assert [each["number"] for each in await call(found, proto, "All")({"number": 3})] == ["0", "1", "2"]
        assert await call(found, proto, "All", returns=list[Tide])({"port": "a", "number": 1}) == [Tide("a", 0)]
        assert (await call(found, proto, "Sum")([{"number": 3}, {"number": 4}]))["number"] == "7"
        ports = [each["port"] for each in await call(found, proto, "Each", most=2)([{"port": "a"}, {"port": "b"}])]
        assert ports == ["a", "b"]
        with pytest.raises(StepError, match="there are more than 2 messages") as caught:
            await call(found, proto, "All", most=2)({"number": 3})
        assert (caught.value.code, caught.value.unknown) == ("too_large", True)
        with pytest.raises(InvalidValue, match="takes a stream"):
            await call(found, proto, "Sum")({"number": 3})


async def test_a_message_that_is_too_large_is_refused(proto: str) -> None:
    async with tides(proto) as found:
        with pytest.raises(StepError, match="larger than 20 bytes") as caught:
            await call(found, proto, max_size=20)({"port": "x" * 30})
        assert (caught.value.code, caught.value.retryable) == ("too_large", False)


@ran(
    ("answer", "code", "message"),
    [
        (b"\x0a\xd0\x0f" + b"x" * 2000, "too_large", "larger than 20 bytes"),
        (b"\xff\xff\xff", "invalid_output", "the answer is no held.Held that can be read"),
        (b"\x0a\x09\x0a\x07x.org/X", "invalid_output", "the answer is no held.Held that can be read"),
        (b"\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "invalid_output", "can be read"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_not_asked_for_again(
    tmp_path: Path, answer: bytes, code: str, message: str
) -> None:
    asked: list[bytes] = []

    async def held(request: bytes, context: Any) -> bytes:
        asked.append(request)
        return answer

    (tmp_path / "held.proto").write_text(HELD)
    server = library.aio.server()
    methods = {"Get": library.unary_unary_rpc_method_handler(held)}
    server.add_generic_rpc_handlers((library.method_handlers_generic_handler("held.Holder", methods),))
    place = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    get = grpc(
        place, "held.Holder/Get", proto=tmp_path / "held.proto", tls=False, allow=[place], max_size=20, retry=Retry(3)
    )
    with pytest.raises(StepError, match=message) as caught:
        await get.fn({})
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == (code, False, True)
    async with App("memory:") as app:
        handle = await app.start(chain(get)({}))
        while not (await handle.status()).parked:
            await turns(1)
        assert len(asked) == 2
    await server.stop(None)


async def test_a_request_that_is_too_large_for_a_service_is_a_status(proto: str) -> None:
    async def then(context: Any) -> None:
        await context.abort(library.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)")

    async with tides(proto, then) as found:
        with pytest.raises(StepError, match="RESOURCE_EXHAUSTED") as caught:
            await call(found, proto)()
    assert (caught.value.code, caught.value.unknown) == ("grpc_status", False)


@ran("given", [{"prt": "x"}, {"number": "seven"}, ["x"], "x"])
async def test_a_message_that_does_not_fit_is_refused_before_anything_is_called(proto: str, given: Any) -> None:
    async with tides(proto) as found:
        with pytest.raises(InvalidValue) as caught:
            await call(found, proto).fn(given)
    assert (caught.value.code, found.metadata) == ("invalid_input", [])


# --- credentials


async def test_metadata_and_credentials_are_sent_and_recorded_nowhere(
    proto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")
    token = Secret("env:TOKEN")
    async with tides(proto) as found, App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        kept = {"x-key": token, "x-kind": "spring"}
        bearer = call(found, proto, auth=token, metadata=kept, idempotency="x-once")
        assert bearer.options.effect == "idempotent"
        assert (await app.run(bearer({"port": "a"})))["told_by"] == "Bearer ***"
        await call(found, proto, auth=("ann", token))()
    first, second = found.metadata
    assert (first["x-key"], first["x-kind"], first["authorization"]) == ("swordfish", "spring", "Bearer swordfish")
    assert len(first["x-once"]) > 10
    assert second["authorization"] == "Basic YW5uOnN3b3JkZmlzaA=="
    assert b"swordfish" not in b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))


async def test_a_token_that_is_refused_is_got_anew_once(proto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "open-sesame")
    good, count = 2, 0

    def answer(asked: Asked) -> Answer:
        nonlocal count
        count += 1
        return Answer(200, json.dumps({"access_token": f"token-{count}"}))

    async def then(context: Any) -> None:
        if found.metadata[-1]["authorization"] != f"Bearer token-{good}":
            await context.abort(library.StatusCode.UNAUTHENTICATED, f"no {found.metadata[-1]['authorization']}")

    async with service(answer) as authority, tides(proto, then) as found:
        auth = OAuth2(authority.url, client="a", secret=Secret("env:CLIENT_SECRET"))
        find = call(found, proto, auth=auth, allow=[found.place, authority.place])
        assert (await find())["told_by"] == "Bearer ***"
        assert count == 2
        good = 7
        with pytest.raises(StepError, match=r"UNAUTHENTICATED: no Bearer \*\*\*") as caught:
            await find()
        assert (caught.value.code, caught.value.retryable, count) == ("grpc_status", False, 3)


# --- failures


@ran(
    ("status", "again", "unknown"),
    [
        ("NOT_FOUND", False, False),
        ("UNAVAILABLE", True, True),
        ("RESOURCE_EXHAUSTED", True, False),
        ("INTERNAL", False, True),
    ],
)
async def test_a_status_says_whether_to_try_again_and_whether_anything_was_done(
    proto: str, status: str, again: bool, unknown: bool
) -> None:
    async def then(context: Any) -> None:
        await context.abort(library.StatusCode[status], "no tide")

    async with tides(proto, then) as found:
        with pytest.raises(StepError, match=rf"tides.Tides/Find at .* was answered with {status}: no tide") as caught:
            await call(found, proto)()
        assert (caught.value.code, caught.value.retryable, caught.value.unknown) == ("grpc_status", again, unknown)
        with pytest.raises(StepError) as caught:
            await call(found, proto, again=["NOT_FOUND"])()
        assert caught.value.retryable is (status == "NOT_FOUND")


async def test_a_deadline_is_told_to_the_service_and_holds(proto: str) -> None:
    ended = asyncio.Event()

    async def then(context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with tides(proto, then) as found:
        with pytest.raises(StepError, match="DEADLINE_EXCEEDED") as caught:
            await call(found, proto, deadline=0.2)()
        assert (caught.value.retryable, caught.value.unknown) == (True, True)
        await ended.wait()
    assert 0 < found.remaining[0] < 0.3


async def test_nobody_there_is_worth_another_try_and_nothing_was_called(proto: str) -> None:
    async with tides(proto) as found:
        pass
    with pytest.raises(StepError, match="nobody is there") as caught:
        await call(found, proto)()
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == ("grpc_failed", True, False)


async def test_who_does_not_answer_is_waited_for_with_patience_only(proto: str) -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(StepError, match="nobody is there"):
        await grpc(place, "tides.Tides/Find", proto=proto, proto_path=shared(proto), allow=[place], patience=0.1)()
    await left.wait()
    server.close()


# --- where it goes


async def test_addresses_are_guarded(proto: str) -> None:
    async with tides(proto) as found:
        for target in (found.place, f"localhost:{found.port}", f"[::ffff:127.0.0.1]:{found.port}"):
            inside = grpc(target, "tides.Tides/Find", proto=proto, proto_path=shared(proto), tls=False)
            with pytest.raises(StepError) as caught:
                await inside()
            assert caught.value.code == "address_refused"
        again = grpc(
            f"localhost:{found.port}", "tides.Tides/Find", proto=proto, proto_path=shared(proto), tls=False,
            allow=["localhost"],
        )  # fmt: skip
        assert (await again({"port": "a"}))["port"] == "a"


async def test_the_certificate_is_of_the_name_and_of_an_authority_that_is_trusted(proto: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca = str(tmp_path / "ca.pem")

    def find(found: Tides, **options: Any) -> Any:
        target = f"localhost:{found.port}"
        given = {"allow": ["localhost"], **options}
        return grpc(target, "tides.Tides/Find", proto=proto, proto_path=shared(proto), **given)

    async with tides(proto, cert=authority.issue_cert("localhost")) as found:
        assert (await find(found, ca=ca)({"port": "a"}))["port"] == "a"
        with pytest.raises(StepError, match="its certificate is not to be trusted") as caught:
            await find(found)()
        assert caught.value.code == "grpc_failed"
        with pytest.raises(StepError, match="no certificates") as caught:
            await find(found, ca=proto)()
    async with tides(proto, cert=authority.issue_cert("127.0.0.1", "other.example")) as found:
        with pytest.raises(StepError, match="its certificate is not to be trusted"):
            await find(found, ca=ca)()
        assert found.metadata == []


# --- protos


async def test_a_proto_may_be_at_a_url(proto: str) -> None:
    text = PROTO.replace('import "level.proto";', "message Level { double metres = 1; }")
    async with service(lambda asked: Answer(200, text)) as files, tides(proto) as found:
        allow = [found.place, files.place]
        find = call(found, f"{files.url}/tides.proto", allow=allow, proto_path=())
        for port in ("a", "b"):
            assert (await find({"port": port}))["port"] == port
        assert len(files.asked) == 1


@ran(
    ("text", "method", "code", "message"),
    [
        (PROTO, "tides.Tides/Fnd", "unknown_operation", r"did you mean tides\.Tides/Find\?"),
        (
            "message {",
            "a/b",
            "invalid_description",
            r"(?s)tides\.proto cannot be compiled: .*\ntides\.proto:1:9: Expected message name",
        ),
        ('syntax = "proto3"; service Plain {}', "a/b", "unknown_operation", "there are none"),
        (None, "a/b", "invalid_description", "cannot be read"),
    ],
)
async def test_what_a_proto_does_not_say_is_an_error(
    tmp_path: Path, text: str | None, method: str, code: str, message: str
) -> None:
    (tmp_path / "level.proto").write_text(LEVEL)
    if text is not None:
        (tmp_path / "tides.proto").write_text(text)
    with pytest.raises(StepError, match=message) as caught:
        await grpc("127.0.0.1:1", method, proto=tmp_path / "tides.proto")()
    assert (caught.value.code, caught.value.retryable) == (code, False)


async def test_a_proto_that_takes_too_long_is_an_error_without_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ripresa.steps.protos._PATIENCE", 0.001)
    (tmp_path / "slow.proto").write_text(LEVEL)
    with pytest.raises(StepError, match=r"slow\.proto was not compiled within 0\.001 s") as caught:
        await grpc("127.0.0.1:1", "a/b", proto=tmp_path / "slow.proto")()
    assert (caught.value.code, caught.value.retryable) == ("invalid_description", False)
    assert str(tmp_path) not in str(caught.value)


@ran(
    ("target", "method", "options", "parts"),
    [
        ("", "a/b", {}, ["target is ''"]),
        (3, "a/b", {}, ["target is 3"]),
        ("a:99999", "a/b", {}, ["target is 'a:99999'"]),
        ("http://a", "a/b", {}, ["target is 'http://a'"]),
        ("a", "a.b", {"again": ["SOMETIMES"], "most": 0, "tls": 1}, ["method is 'a.b'", "SOMETIMES", "most", "tls"]),
        ("a", "/a/b", {"metadata": {"X": "a", "x": "a\nb"}}, ["method is '/a/b'", "'X' is no name of metadata"]),
        ("a", "a/b", {"metadata": {"x": "a\nb"}}, ["metadata x is no line"]),
        ("a", "a/b", {"metadata": {"grpc-timeout": "1", "x-bin": ""}}, ["'grpc-timeout' is no", "'x-bin' is no"]),
        ("a", "a/b", {"dedline": 3, "proto_path": "x", "auth": "y"}, ["no option dedline", "proto_path is", "auth"]),
        ("a", "a/b", {"proto": ""}, ["proto is ''"]),
        ("a", "a/b", {"proto": "ftp://x"}, ["must begin with http"]),
    ],
)
def test_bad_options_are_refused_together(target: Any, method: str, options: Any, parts: list[str]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        grpc(target, method, **{"proto": "x.proto", **options})
    assert [part for part in parts if part not in str(caught.value)] == []


async def test_without_the_extra_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = __import__("sys").modules
    monkeypatch.delitem(modules, "ripresa.steps.protos")
    monkeypatch.setitem(modules, "grpc", None)
    with pytest.raises(RipresaError) as caught:
        await grpc("a", "a/b", proto="x.proto")()
    assert caught.value.code == "extra_missing"


async def test_a_document_calls_a_method(proto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")

    def flow(modules: list[str] | None = None, **config: Any) -> Any:
        given = {"target": "127.0.0.1", "method": "tides.Tides/Find", "proto": proto, **config}
        return load_document({"id": "flow", "steps": [{"type": "grpc", "config": given}]}, modules=modules)

    async with tides(proto) as found, App("memory:") as app:
        options: dict[str, Any] = {
            "proto_path": shared(proto),
            "tls": False,
            "allow": [found.place],
            "target": found.place,
        }
        one = flow(auth={"bearer": "env:TOKEN"}, metadata={"x-key": {"secret": "env:TOKEN"}}, **options)
        assert (await app.run(one({"port": "a"})))["told_by"] == "Bearer ***"
        assert found.metadata[0]["x-key"] == "swordfish"
        assert (await app.run(flow(**options)(None)))["port"] == ""
    with pytest.raises(InvalidWorkflow, match=r"config\.dedline: is no key here"):
        flow(dedline=3)
    with pytest.raises(InvalidWorkflow, match="documents may not import"):
        flow([])
