"""What Open Workflow documents reach of the world: services on loopback, programs, secrets, other documents."""

from __future__ import annotations

import asyncio
import base64
import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from ripresa import App, Surroundings, load_document
from ripresa.authoring.owf.problems import ROOT, problem_of
from ripresa.ports import Outgoing
from ripresa.steps import open_workflow
from ripresa.steps.open_workflow import secret_of_environment
from ripresa.steps.protos import services_in
from tests.authoring.owf import HEAD, data_of, load, problem, run
from tests.steps.service import Answer, Asked, Service, service

JSON = {"content-type": "application/json; charset=utf-8"}


API = {
    "openapi": "3.0.0",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://pets.org"}],
    "paths": {
        "/pet/{id}": {
            "get": {
                "operationId": "getPet",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            }
        },
        "/echo": {
            "get": {
                "operationId": "echo",
                "parameters": [{"name": "n", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}}],
            }
        },
    },
}


def answer(asked: Asked) -> Answer:
    match asked.method, asked.path:
        case "GET", "/pet/1":
            return Answer(200, '{"id": 1, "name": "milou"}', JSON)
        case "GET", "/away":
            return Answer(302, "", {"location": "/pet/1"})
        case _, "/echo":
            told = {"method": asked.method, "query": asked.query, "body": asked.body.decode(), "headers": asked.headers}
            return Answer(200, json.dumps(told), {"content-type": "application/vnd.echo+json"})
        case _, "/text":
            return Answer(200, "words", {"content-type": "text/plain"})
        case _, "/bytes":
            return Answer(200, b"\xff\x00", {"content-type": "image/png"})
        case _, "/broken":
            return Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
        case _, "/slow":
            return Answer(silent=True)
        case _, "/liar":
            return Answer(200, "no json", JSON)
        case _, "/nothing":
            return Answer(204)
        case _, "/odd":
            return Answer(599, b"\xff")
        case _, "/script.py":
            return Answer(200, "print('from afar')", {"content-type": "text/x-python"})
        case _:
            return authority(asked)


def authority(asked: Asked) -> Answer:
    """Who gives out tokens, and describes the service; and what else there is of it."""
    match asked.method, asked.path:
        case "POST", "/oauth2/token" | "/tokens":
            return Answer(200, '{"access_token": "token-of-ann", "token_type": "Bearer"}', JSON)
        case _, "/.well-known/openid-configuration":
            return Answer(200, '{"issuer": "https://pets.org", "token_endpoint": "https://pets.org/tokens"}', JSON)
        case _, "/whoami":
            caller = asked.headers.get("authorization", "").rpartition("-")[2]
            return Answer(200, caller, {"content-type": "text/plain"})
        case _, "/api.json":
            return Answer(200, json.dumps(API), JSON)
        case _:
            return Answer(404, "no such pet")


def called(text: str, given: Any = None, **more: Any) -> tuple[Any, Service]:
    """What a document leaves, or faults with, that calls https://pets.org; and the service that answers instead."""

    async def go() -> tuple[Any, Service]:
        async with service(answer) as found, App("memory:") as app:
            flow = load(text, Surroundings(stand_ins={"https://pets.org": found.url}), **more)
            outcome = await (await app.start(flow(given))).outcome()
            if outcome.status == "completed":
                return outcome.value, found
            return problem_of(getattr(outcome.error, "failure")), found  # noqa: B009

    return asyncio.run(go())


def get(path: str, more: str = "") -> str:
    return f"- a: {{call: http, with: {{method: get, endpoint: 'https://pets.org{path}'{more}}}}}"


def test_the_answer_is_read_and_the_address_is_filled_in() -> None:
    found, asked = called(get("/pet/{id}"), {"id": 1})
    assert found == {"id": 1, "name": "milou"}
    assert called(get("/pet/1{nothing}"))[0] == {"id": 1, "name": "milou"}
    assert [each.target for each in asked.asked] == ["/pet/1"]


def test_an_address_may_be_an_expression_whose_value_is_not_filled_in_again() -> None:
    text = "- a: {call: http, with: {method: get, endpoint: {uri: '%s'}}}"
    assert called(text % '${ "https://pets.org/pet/" + .id }', {"id": "1"})[0]["id"] == 1
    _, asked = called(text % "https://pets.org/${ .path }?a={a}", {"path": "echo", "a": "x y/{b}", "b": 2})
    assert asked.asked[0].target == "/echo?a=x%20y%2F%7Bb%7D"
    found, asked = called(text % "${ .path }", {"path": "https://pets.org/{id}", "id": 1})
    assert (found["type"], asked.asked) == (f"{ROOT}validation", [])


@pytest.mark.parametrize(("value", "why"), [({"a": 1}, "is no text, number"), ("..", "is no part of a path")])
def test_what_cannot_stand_in_an_address_is_a_fault(value: Any, why: str) -> None:
    found, _ = called(get("/pet/{id}"), {"id": value})
    assert (found["type"], why in found["detail"]) == (f"{ROOT}expression", True)


@pytest.mark.parametrize(
    ("uri", "value"),
    [
        ("https://pets.org${ .x }", ".evil.example/steal"),
        ("https://pets.org${ .x }", "@evil.example/steal"),
        ("https://pets.org{x}", ".evil.example"),
        ("https://pets.org{x}/pet/1", ".evil.example"),
        ("https://${ .x }.pets.org/pet/1", "evil.example/"),
        ("https://pets.${ .x }/pet/1", "evil.example#"),
        ("https://pets.org:${ .x }", "80@evil.example"),
    ],
)
def test_what_is_put_into_an_address_names_no_other_host(uri: str, value: str) -> None:
    found, asked = called(f"- a: {{call: http, with: {{method: get, endpoint: '{uri}'}}}}", {"x": value})
    assert (found["type"], "another host" in found["detail"]) == (f"{ROOT}expression", True)
    assert asked.asked == []


@pytest.mark.parametrize(
    ("uri", "value"),
    [
        ("https://pets.org${ .x }", "/pet/1"),
        ("https://pets.org${ .x }/pet/1", ""),
        ("https://${ .x }/pet/1", "pets.org"),
        ("https://pets.${ .x }/pet/1", "org"),
        ("https://pets.{x}/pet/1", "org"),
        ("https://p${ .x }s.org/pet/1", "et"),
    ],
)
def test_what_is_put_into_an_address_may_be_of_its_host_where_it_is_written_so(uri: str, value: str) -> None:
    assert called(f"- a: {{call: http, with: {{method: get, endpoint: '{uri}'}}}}", {"x": value})[0]["id"] == 1


def test_the_whole_answer_may_be_had() -> None:
    found, _ = called(get("/pet/1", ", output: response, headers: {x-mine: '${ .n }'}"), {"n": 2})
    assert found["request"] == {"method": "get", "uri": "https://pets.org/pet/1", "headers": {"x-mine": "2"}}
    assert (found["statusCode"], found["content"]["id"]) == (200, 1)
    assert found["headers"]["content-type"].startswith("application/json")


def test_an_answer_is_text_bytes_or_nothing() -> None:
    assert called(get("/text"))[0] == "words"
    assert called(get("/nothing"))[0] is None
    assert base64.b64decode(called(get("/bytes"))[0]) == b"\xff\x00"
    assert base64.b64decode(called(get("/text", ", output: raw"))[0]) == b"words"


def test_query_headers_and_body_are_sent() -> None:
    text = """
    - a:
        call: http
        with:
          method: POST
          endpoint: https://pets.org/echo?z=0#part
          query: {a: [1, x], b: true, c: null}
          headers: {x-mine: words}
          body: {n: "${ .n }"}
    """
    found, _ = called(text, {"n": 1})
    assert found["method"] == "POST"
    assert found["query"] == {"z": ["0"], "a": ["1", "x"], "b": ["true"]}
    assert json.loads(found["body"]) == {"n": 1}
    assert found["headers"]["x-mine"] == "words"


def test_a_text_is_sent_as_it_is() -> None:
    text = "- a: {call: http, with: {method: put, endpoint: 'https://pets.org/echo', body: '${ .t }'}}"
    assert called(text, {"t": "words"})[0]["body"] == "words"


def test_a_status_that_means_failure_is_a_fault_of_communication() -> None:
    found, _ = called(get("/pet/9"))
    assert {**found, "detail": ""} == {
        "type": f"{ROOT}communication", "status": 404, "title": "Not Found", "detail": "", "instance": "/do/0/a"
    }  # fmt: skip
    assert found["detail"] == "GET https://pets.org/pet/9 was answered with status 404: no such pet"
    assert called(get("/odd"))[0]["title"] == "Status 599"
    assert called(get("/liar"))[0]["detail"].startswith("the answer says that it is JSON")


def test_what_nobody_knows_of_a_call_is_a_fault_too() -> None:
    text = "- a: {call: http, with: {method: post, endpoint: 'https://pets.org/broken'}}"
    assert called(text)[0]["type"] == f"{ROOT}communication"
    text = "- a: {timeout: {after: {milliseconds: 30}}, call: http, with: {method: post, endpoint: 'https://pets.org/slow'}}"
    assert (called(text)[0]["type"], called(text)[0]["status"]) == (f"{ROOT}timeout", 408)


def test_a_work_that_is_late_by_itself_is_not_late_here() -> None:
    async def late() -> None:
        raise TimeoutError("by itself")

    with pytest.raises(TimeoutError, match="by itself"):
        asyncio.run(open_workflow.within(60, late()))


def test_being_led_elsewhere_is_a_fault_unless_it_is_allowed() -> None:
    assert called(get("/away"))[0]["status"] == 302
    assert called(get("/away", ", redirect: true"))[0] == {"id": 1, "name": "milou"}


def test_what_is_not_public_is_not_called_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(*allow: str | None) -> Any:
        async with service(answer) as found, App("memory:") as app:
            given = [found.place if each is None else each for each in allow]
            text = f"- a: {{call: http, with: {{method: get, endpoint: '{found.url}/pet/1'}}}}"
            if given == ["env"]:
                monkeypatch.setenv("RIPRESA_ALLOW", f"10.0.0.0/8, {found.place}")
                return (await (await app.start(load(text)(None))).outcome()).value
            flow = load(text, Surroundings(allow=given))
            return await (await app.start(flow(None))).outcome()

    refused = asyncio.run(go())
    told = problem_of(refused.error.failure)
    assert told is not None
    assert "not in the public internet" in told["detail"]
    assert asyncio.run(go(None)).value["id"] == 1
    assert asyncio.run(go("env"))["id"] == 1


def proof(asked: Asked) -> str:
    """What the service was shown."""
    return asked.headers["authorization"]


BASIC = f"Basic {base64.b64encode(b'ann:open').decode()}"


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ("{basic: {username: ann, password: '${ .p }'}}", BASIC),
        ("{bearer: {token: '${ .p }'}}", "Bearer open"),
        ("{bearer: '${ .p }'}", "Bearer open"),
        ("{use: mine}", BASIC),
        ("mine", BASIC),
        ("{basic: {use: login}}", BASIC),
    ],
)
def test_who_asks_is_proved(policy: str, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIPRESA_SECRET_LOGIN", '{"username": "ann", "password": "open"}')
    use = {"authentications": {"mine": {"basic": {"username": "ann", "password": "open"}}}, "secrets": ["login"]}
    endpoint = f"{{uri: 'https://pets.org/echo', authentication: {policy}}}"
    text = f"- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}"
    found, asked = called(text, {"p": "open"}, use=use)
    assert proof(asked.asked[0]) == sent
    assert found["headers"]["authorization"] == sent.partition(" ")[0] + " ***"


OAUTH = "{oauth2: {authority: 'https://pets.org', grant: %s, client: {id: ann, secret: '${ .p }'}%s}}"


@pytest.mark.parametrize(
    ("policy", "path", "fields"),
    [
        (OAUTH % ("client_credentials", ""), "/oauth2/token", {"client_secret": "opensesame"}),
        (OAUTH % ("client_credentials", ", scopes: [a, b], audiences: [c]"), "/oauth2/token",
         {"scope": "a b", "audience": "c"}),
        (OAUTH % ("password", ", username: me, password: mine, endpoints: {token: /tokens}"), "/tokens",
         {"username": "me", "password": "mine"}),
        (OAUTH % ("client_credentials", ", request: {encoding: application/json}"), "/oauth2/token", {"json": "yes"}),
        ("{oidc: {authority: 'https://pets.org/.well-known/openid-configuration', grant: client_credentials, "
         "client: {id: ann, secret: '${ .p }'}}}", "/tokens", {"client_secret": "opensesame"}),
    ],
)  # fmt: skip
def test_a_token_is_asked_for(policy: str, path: str, fields: dict[str, str]) -> None:
    endpoint = f"{{uri: 'https://pets.org/whoami', authentication: {policy}}}"
    found, asked = called(f"- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}", {"p": "opensesame"})
    assert found == "ann"
    request = next(each for each in asked.asked if each.method == "POST")
    assert request.path == path
    told = (
        {"json": "yes"}
        if request.headers["content-type"] == "application/json"
        else dict(parse_qsl(request.body.decode()))
    )
    assert fields.items() <= told.items()


@pytest.mark.parametrize("more", [{"subject": {}}, {"actor": {}}, {"client": {"id": "me", "assertion": "x"}}])
def test_what_a_secret_has_of_tokens_and_is_not_known_is_a_fault_of_configuration(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"authority": "https://pets.org", "grant": "client_credentials", "client": {"id": "me", "secret": "x"}}
    monkeypatch.setenv("RIPRESA_SECRET_KEYS", json.dumps({**terms, **more}))
    endpoint = "{uri: 'https://pets.org/whoami', authentication: {oauth2: {use: keys}}}"
    text = f"- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}"
    found, _ = called(text, use={"secrets": ["keys"]})
    assert found["type"] == f"{ROOT}configuration"


def test_a_secret_is_in_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIPRESA_SECRET_TOKEN", "opensesame")
    endpoint = "{uri: 'https://pets.org/echo', authentication: {bearer: {token: '${ $secrets.token }'}}}"
    text = f"- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}\n- b: {{set: {{x: '${{ . }}'}}}}"

    async def go() -> tuple[Service, str]:
        async with service(answer) as found, App("memory:") as app:
            flow = load(text, Surroundings(stand_ins={"https://pets.org": found.url}), use={"secrets": ["token"]})
            handle = await app.start(flow(None))
            await handle.result()
            return found, repr([each.event async for each in handle.events()])

    asked, journal = asyncio.run(go())
    assert proof(asked.asked[0]) == "Bearer opensesame"
    assert "opensesame" not in journal


@pytest.mark.parametrize("value", ["words", "{no json", None])
def test_a_secret_that_is_none_is_a_fault_of_authorization(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("RIPRESA_SECRET_LOGIN", value)
        assert secret_of_environment("login") == value
    endpoint = "{uri: 'https://pets.org/echo', authentication: {basic: {use: login}}}"
    text = f"- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}"
    found, asked = called(text, use={"secrets": ["login"]})
    assert (found["type"], found["status"]) == (f"{ROOT}authorization", 403)
    assert asked.asked == []


# --- OpenAPI

OPENAPI = "- a: {call: openapi, with: {document: {endpoint: 'https://pets.org/api.json'}, operationId: %s}}"


def test_an_operation_of_an_api_is_called_by_its_name() -> None:
    assert called(OPENAPI % "getPet, parameters: {id: '${ .id }'}", {"id": 1})[0]["name"] == "milou"
    found, _ = called(OPENAPI % "getPet, parameters: {id: 1}, output: response")
    assert (found["request"]["method"], found["request"]["uri"]) == ("get", "https://pets.org/pet/1")
    assert called(OPENAPI % "echo, parameters: {n: 3}, authentication: {bearer: {token: tok-en}}")[0]["query"] == {
        "n": ["3"]
    }


def test_what_is_wrong_with_an_operation_is_a_fault() -> None:
    assert called(OPENAPI % "getPet, parameters: {id: 9}")[0]["status"] == 404
    assert called(OPENAPI % "getPet, parameters: {id: x}")[0]["type"] == f"{ROOT}validation"
    assert called(OPENAPI % "nobody")[0]["type"] == f"{ROOT}configuration"


# --- gRPC

PROTO = """
syntax = "proto3";
package greet;
service Greeter { rpc Hello (Asked) returns (Told); }
message Asked { string name = 1; }
message Told { string text = 1; }
"""
GRPC = """
- a:
    call: grpc
    with:
      proto: {endpoint: %s}
      service: {name: greet.Greeter, host: 127.0.0.1, port: %d}
      method: Hello
      arguments: {name: "${ .name }"}
"""


async def greeting(proto: Path, place: str, modules: list[str] | None = None) -> Any:
    """What a document leaves, or faults with, that calls a greeter on the loopback interface."""
    library: Any = import_module("grpc")
    method = services_in(str(proto), ()).method("greet.Greeter/Hello")

    async def hello(asked: Any, context: Any) -> Any:
        return method.gives(text=f"Hello, {asked.name}!")

    handler = library.unary_unary_rpc_method_handler(
        hello, request_deserializer=method.takes.FromString, response_serializer=method.gives.SerializeToString
    )
    server = library.aio.server()
    server.add_generic_rpc_handlers((library.method_handlers_generic_handler("greet.Greeter", {"Hello": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    file = proto.parent / "greet.owf.json"
    file.write_text(json.dumps(data_of(GRPC % (place, port))))
    try:
        async with App("memory:") as app:
            flow = load_document(file, surroundings=Surroundings(allow=[f"127.0.0.1:{port}"]), modules=modules)
            outcome = await (await app.start(flow({"name": "Ann"}))).outcome()
            return outcome.value or problem_of(getattr(outcome.error, "failure"))  # noqa: B009
    finally:
        await server.stop(None)


def test_a_method_of_a_grpc_service_is_called(tmp_path: Path) -> None:
    proto = tmp_path / "greet.proto"
    proto.write_text(PROTO)
    assert asyncio.run(greeting(proto, "file://greet.proto")) == {"text": "Hello, Ann!"}
    refused = asyncio.run(greeting(proto, "file://greet.proto", []))
    assert (refused["type"], "nothing for this document" in refused["detail"]) == (f"{ROOT}configuration", True)


# --- programs


def test_a_command_is_run_by_the_shell() -> None:
    text = """
    - a:
        run:
          shell:
            command: 'read line; echo "$line $1 $2 $WHO ${ .name }"'
            stdin: ${ .name }
            arguments: [one, "${ .n }"]
            environment: {WHO: "${ .who }"}
    """
    assert run(text, {"name": 'a";ls', "n": 2, "who": "me"}) == 'a";ls one 2 me a";ls\n'


def test_a_quote_in_a_command_is_read_as_the_shell_reads_it() -> None:
    text = """
    - a: {run: {shell: {command: '${ "" }echo "it''s \\"${ .x }\\"" \\''${ .x }'}}}
    """
    assert run(text, {"x": "<1>"}) == "it's \"<1>\" '<1>\n"


def test_what_a_program_leaves_is_chosen() -> None:
    text = "- a: {run: {shell: {command: '${ .c }'}, return: %s}}"
    given = {"c": "echo out; echo err >&2; exit 3"}
    assert run(text % "all", given) == {"code": 3, "stdout": "out\n", "stderr": "err\n"}
    assert run(text % "code", given) == 3
    found = problem(text % "stdout", given)
    assert (found["type"], found["detail"]) == (f"{ROOT}runtime", "the program ended with status 3: err")
    assert run(text % "stderr", {"c": "echo err >&2"}) == "err\n"
    assert run(text % "none", {"c": "true"}) is None


def test_arguments_are_a_list() -> None:
    text = """- a: {run: {shell: {command: "echo '\\"quoted\\"' \\\\$ $1", arguments: '${ .a }'}}}"""
    assert run(text, {"a": ["x"]}) == '"quoted" $ x\n'
    assert problem(text, {"a": "x"})["detail"] == "arguments must be a list"


def test_a_script_of_python_is_run() -> None:
    text = "- a: {run: {script: {language: python, code: 'import sys; print(sys.argv[1:])', arguments: [x]}}}"
    assert run(text) == "['x']\n"


def test_a_script_of_javascript_is_run_by_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text('#!/bin/sh\necho "${1##*.} $(cat "$1") $2"\n')
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    text = "- a: {run: {script: {language: js, code: '%s', arguments: [x]}}}"
    assert run(text % "export {}") == "mjs export {} x\n"
    assert run(text % "a = 1") == "cjs a = 1 x\n"


def test_without_a_node_of_the_machine_the_one_of_the_package_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[Any] = [None, object()]

    def found(name: str) -> Any:
        return known.pop(0)

    def imported(name: str) -> Any:
        return SimpleNamespace(ROOT_DIR="/there")

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(open_workflow, "find_spec", found)
    monkeypatch.setattr(open_workflow, "import_module", imported)
    nodes = [open_workflow._node() for _ in range(2)]  # pyright: ignore[reportPrivateUsage]
    assert nodes == ["node", "/there/bin/node"]


def test_a_script_may_stand_elsewhere() -> None:
    text = "- a: {run: {script: {language: python, source: {endpoint: 'https://pets.org/script.py'}}}}"
    assert called(text)[0] == "from afar\n"


# --- other workflows

CHILD: dict[str, Any] = {"document": {**HEAD, "name": "child"}, "do": [{"double": {"set": {"n": "${ .n * 2 }"}}}]}
FAILING = {"document": {**HEAD, "name": "child"}, "do": [{"no": {"set": {"n": "${ .n.m }"}}}]}
CALLS = "- a: {run: {workflow: {namespace: test, name: child, version: %s, input: {n: '${ .n }'}}%s}}"


def test_another_workflow_is_a_part_of_the_run() -> None:
    surroundings = Surroundings(workflows=[CHILD])
    assert run(CALLS % ("latest", ""), {"n": 3}, surroundings) == {"n": 6}
    found = problem(CALLS % ("0.1.0", ""), {"n": 3}, Surroundings(workflows=[FAILING]))
    assert (found["type"], found["instance"]) == (f"{ROOT}expression", "/do/0/no")


def test_the_latest_version_is_the_one_with_the_highest_number() -> None:
    later = {"document": {**CHILD["document"], "version": "0.10.0"}, "do": [{"c": {"set": {"later": True}}}]}
    surroundings = Surroundings(workflows=[later, CHILD])
    assert run(CALLS % ("latest", ""), {"n": 3}, surroundings) == {"later": True}
    assert run(CALLS % ("0.1.0", ""), {"n": 3}, surroundings) == {"n": 6}


def test_another_workflow_is_found_beside_and_may_go_on_by_itself(tmp_path: Path) -> None:
    (tmp_path / "child.json").write_text(json.dumps(CHILD))
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "other.yaml").write_text("steps: []")
    file = tmp_path / "order.owf.json"
    file.write_text(json.dumps(data_of(CALLS % ("0.1.0", ", await: false"))))

    async def go() -> tuple[Any, Any]:
        async with App("memory:") as app:
            handle = await app.start(load_document(file)({"n": 3}), id="order")
            found = await handle.result()
            children: list[str] = []
            while not children:  # it is begun when its parent's task is recorded, beside the run
                await asyncio.sleep(0.01)
                children = [each.id for each in (await app.runs()).runs if each.workflow == "test.child"]
            return found, await (await app.handle(children[0])).result()

    assert asyncio.run(go()) == ({"n": 3}, {"n": 6})


# --- events


def test_what_is_emitted_is_handed_to_a_sender_with_the_completion_of_the_task() -> None:
    posted: list[Outgoing] = []
    came = asyncio.Event()

    async def post(parcel: Outgoing) -> None:
        posted.append(parcel)
        came.set()

    async def go() -> Any:
        flow = load("- a: {emit: {event: {with: {source: s, type: t, data: 1}}}}", Surroundings(events="events"))
        async with App("memory:", senders={"events": post}) as app:
            found = await app.run(flow(None))
            await asyncio.wait_for(came.wait(), 30)
            return found

    found = asyncio.run(go())
    assert [(parcel.target, json.loads(parcel.body)) for parcel in posted] == [("t", found)]


async def test_what_runs_side_by_side_stands_under_the_names_of_tasks() -> None:
    text = """\
- both:
    fork:
      branches:
        - left: {set: {a: 1}}
        - "r/x": {do: [{inner: {set: {b: 2}}}]}
- late: {do: [{slow: {set: {c: 3}}}], timeout: {after: PT1H}}
"""
    flow = load(text, timeout={"after": "PT2H"})
    async with App("memory:") as app:
        handle = await app.start(flow(None))
        await handle.result()
        paths = [*(await handle.status()).steps]
    assert paths == ["workflow.left.left", "workflow.r-x.inner", "workflow.late.slow"]
