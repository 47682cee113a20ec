"""Operations of described APIs, called at a service on the loopback interface."""

import json
import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from ripresa import (
    App,
    InvalidConfig,
    InvalidValue,
    InvalidWorkflow,
    RipresaError,
    StepError,
    chain,
    load_document,
    step,
)
from ripresa.steps import OAuth2, Response, Secret, openapi, operations
from ripresa.steps.descriptions import Description, preferred
from ripresa.steps.placing import Placed
from tests.steps.service import Answer, Asked, service

ran = pytest.mark.parametrize


def described(*parameters: Any, path: str = "/pets", method: str = "get", **more: Any) -> dict[str, Any]:
    """A description of one operation, `op`."""
    operation = {"operationId": "op", "parameters": list(parameters), **more}
    return {"openapi": "3.1.0", "info": {}, "paths": {path: {method: operation}}}


def param(name: str, place: str, kind: Any = "string", **more: Any) -> dict[str, Any]:
    schema = kind if isinstance(kind, dict) else {"type": kind}
    return {"name": name, "in": place, "schema": schema, **more}


def echo(asked: Asked) -> Answer:
    told = {"method": asked.method, "target": asked.target, "headers": asked.headers, "body": asked.body.decode()}
    return Answer(200, json.dumps(told))


async def sent(document: Any, given: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What a service is asked for an operation with these parameters."""
    async with service(echo) as found:
        call = openapi(document, "op", server=f"{found.url}/v1/", allow=[found.place], **options)
        told: dict[str, Any] = (await call(given)).json()
        return told


# --- an API


PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: "/v{major}", variables: {major: {default: "2"}}}]
paths:
  /pets/{id}:
    parameters:
      - {$ref: "#/components/parameters/id"}
    get:
      operationId: getPet
    put:
      operationId: putPet
      parameters: [{name: dry, in: query, schema: {type: boolean}}]
      requestBody: {$ref: "#/components/requestBodies/pet"}
  /pets:
    post:
      operationId: addPet
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
components:
  parameters:
    id: {name: id, in: path, required: true, schema: {type: integer}}
  requestBodies:
    pet: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        name: {type: string}
        owner: {type: string, nullable: true}
        friends: {type: array, items: {$ref: "#/components/schemas/Pet"}}
"""


@dataclass
class Pet:
    name: str


def pets(asked: Asked) -> Answer:
    if asked.path == "/pets.yaml":
        return Answer(200, PETS)
    if asked.path == "/moved.yaml":
        return Answer(302, "", {"location": "/pets.yaml"})
    return Answer(200, '{"name": "Rex"}') if asked.method == "GET" else echo(asked)


async def test_an_operation_is_called_by_its_name_with_parameters_by_theirs() -> None:
    @step
    async def pick(id: int) -> dict[str, Any]:
        return {"id": id}

    async with service(pets) as found, App("memory:") as app:
        get = openapi(f"{found.url}/moved.yaml", "getPet", returns=Pet, allow=[found.place])
        assert await app.run(chain(pick).then(get)(7)) == Pet("Rex")
        put = openapi(f"{found.url}/pets.yaml", "putPet", allow=[found.place])
        told = (await put({"id": 7, "dry": True, "body": {"name": "Rex", "owner": None}})).json()
        assert (told["method"], told["target"]) == ("PUT", "/v2/pets/7?dry=true")
        assert (json.loads(told["body"]), told["headers"]["content-type"]) == (
            {"name": "Rex", "owner": None},
            "application/json",
        )
        post = openapi(f"{found.url}/pets.yaml", "POST /pets", allow=[found.place])
        assert (await post()).json()["body"] == ""
        await get({"id": 7})
    assert [each.path for each in found.asked].count("/pets.yaml") == 2  # of each address once


async def test_a_description_is_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(pets) as found:
        get = openapi(f"{found.url}/pets.yaml", "getPet", allow=[found.place])
        await get({"id": 1})
        await get({"id": 2})
        assert [each.path for each in found.asked].count("/pets.yaml") == 1
        monkeypatch.setattr("ripresa.steps.fetching._HELD", 0.0)
        monkeypatch.setattr("ripresa.steps.fetching._MOST", 0)
        await openapi(f"{found.url}/moved.yaml", "getPet", allow=[found.place])({"id": 1})
        await get({"id": 2})
        assert [each.path for each in found.asked].count("/pets.yaml") == 3


def test_a_file_is_read_when_the_step_is_made(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text(PETS)
    effects = [openapi(path, name).options.effect for name in ("getPet", "putPet", "addPet")]
    assert effects == ["read", "idempotent", "irreversible"]
    assert openapi(str(path), "addPet", idempotency="key").options.effect == "idempotent"
    assert openapi("https://x.example/pets.yaml", "getPet").options.effect == "irreversible"
    with pytest.raises(InvalidConfig, match=r"there is no operation 'getPets' \(did you mean getPet\?\)") as caught:
        openapi(path, "getPets")
    assert caught.value.code == "unknown_operation"
    with pytest.raises(InvalidConfig, match="cannot be read") as caught:
        openapi(tmp_path / "none.yaml", "getPet")
    assert caught.value.code == "invalid_description"
    path.write_text("a: [")
    with pytest.raises(InvalidConfig, match="neither JSON nor YAML"):
        openapi(path, "getPet")


async def test_a_description_is_read_once_until_it_changes_and_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, reading = operations._parsed, list[bool]()  # pyright: ignore[reportPrivateUsage]

    def watched(text: bytes, where: str) -> object:
        reading.append(threading.current_thread() is threading.main_thread())
        return parsed(text, where)

    monkeypatch.setattr(operations, "_parsed", watched)
    path = tmp_path / "api.json"
    path.write_text(json.dumps(described(param("a", "query"))))
    async with service(echo) as found:
        call = openapi(path, "op", server=found.url, allow=[found.place])
        for _ in range(2):
            assert (await call({"a": "x"})).status == 200
        assert reading == [True]
        path.write_text(json.dumps(described(param("other", "query"))))
        assert (await call({"other": "x"})).status == 200
        assert reading == [True, False]
        made: list[object] = []

        def seen(data: object) -> Description:
            made.append(data)
            return Description(data)

        monkeypatch.setattr(operations, "Description", seen)
        call = openapi(described(param("a", "query")), "op", server=found.url, allow=[found.place])
        for _ in range(2):
            assert (await call({"a": "x"})).status == 200
        assert len(made) == 1


# --- where parameters go


@ran(
    ("parameter", "value", "target"),
    [
        (param("a", "query"), "x & y/ü", "?a=x%20%26%20y%2F%C3%BC"),
        (param("a", "query", "integer"), 3, "?a=3"),
        (param("a", "query", {}), ["x", 2], "?a=x&a=2"),
        (param("a", "query", {}, explode=False), ["x,", True], "?a=x%2C,true"),
        (param("a", "query", {}, style="spaceDelimited", explode=False), ["x", "y"], "?a=x%20y"),
        (param("a", "query", {}, style="pipeDelimited"), ["x", "y"], "?a=x%7Cy"),
        (param("a", "query", {}), {"x": 1, "y": None}, "?x=1&y=null"),
        (param("a", "query", {}, explode=False), {"x": 1, "y": 2}, "?a=x,1,y,2"),
        (param("a", "query", {}, style="deepObject"), {"x": 1}, "?a%5Bx%5D=1"),
        (
            {"name": "a", "in": "query", "content": {"application/json": {}}},
            {"x": [1]},
            "?a=%7B%22x%22%3A%20%5B1%5D%7D",
        ),
        (param("a", "query"), [], ""),
    ],
)
async def test_a_parameter_of_the_query_is_written_as_described(parameter: Any, value: Any, target: str) -> None:
    if value == []:
        parameter = param("a", "query", {})
    assert (await sent(described(parameter), {"a": value}))["target"] == f"/v1/pets{target}"


@ran(
    ("parameter", "value", "target"),
    [
        (param("a", "path"), "../x y", "..%2Fx%20y"),
        (param("a", "path", {}), [1, "b/"], "1,b%2F"),
        (param("a", "path", {}), {"x": 1, "y": "/"}, "x,1,y,%2F"),
        (param("a", "path", {}, explode=True), {"x": 1, "y": "/"}, "x=1,y=%2F"),
        ({"name": "a", "in": "path", "content": {"application/json": {}}}, ["x"], "%5B%22x%22%5D"),
    ],
)
async def test_a_parameter_of_the_path_stays_within_its_part(parameter: Any, value: Any, target: str) -> None:
    told = await sent(described(parameter, path="/pets/{a}/x"), {"a": value})
    assert told["target"] == f"/v1/pets/{target}/x"


async def test_headers_and_cookies_are_set() -> None:
    parameters = [
        param("X-Trace", "header", {}),
        param("X-Pairs", "header", {}, explode=True),
        param("Authorization", "header"),
        param("a", "cookie"),
        param("b", "cookie", {}, explode=False),
    ]
    given = {"X-Trace": ["a", 2], "X-Pairs": {"x": 1, "y": "2"}, "a": "x; y=z", "b": [1, 2]}
    told = await sent(described(*parameters), given, headers={"X-Own": "1"})
    assert told["headers"]["x-trace"] == "a,2"
    assert told["headers"]["x-pairs"] == "x=1,y=2"
    assert told["headers"]["x-own"] == "1"
    assert told["headers"]["cookie"] == "a=x%3B%20y%3Dz; b=1,2"
    assert "authorization" not in told["headers"]


@ran(
    ("content", "value", "body", "media"),
    [
        ({"application/json": {}}, [1, "ü"], '[1, "ü"]', "application/json"),
        ({"text/plain": {}, "application/vnd.pet+json": {}}, {"a": 1}, '{"a": 1}', "application/vnd.pet+json"),
        ({"text/csv; charset=utf-8": {}}, "a,b", "a,b", "text/csv; charset=utf-8"),
        (
            {"multipart/form-data": {}, "application/x-www-form-urlencoded": {}},
            {"a": "x y", "b": 2},
            "a=x+y&b=2",
            "application/x-www-form-urlencoded",
        ),
    ],
)
async def test_a_body_is_written_by_its_type(content: Any, value: Any, body: str, media: str) -> None:
    document = described(method="post", requestBody={"content": content})
    told = await sent(document, {"body": value})
    assert (told["body"], told["headers"]["content-type"]) == (body, media)


async def test_two_parameters_of_one_name_are_told_apart_by_their_places() -> None:
    document = described(param("id", "path"), param("id", "query"), path="/pets/{id}")
    assert (await sent(document, {"path.id": "a", "query.id": "b"}))["target"] == "/v1/pets/a?id=b"
    with pytest.raises(InvalidValue, match=r"op: id: is no parameter; there are path\.id, query\.id"):
        await sent(document, {"id": "a"})


async def test_a_parameter_of_an_operation_stands_before_that_of_its_path() -> None:
    document = described(param("n", "query", "integer"))
    document["paths"]["/pets"]["parameters"] = [param("n", "query"), param("m", "query")]
    assert (await sent(document, {"n": 3, "m": "x"}))["target"] == "/v1/pets?n=3&m=x"


# --- Swagger 2


def swagger(*parameters: Any, **more: Any) -> dict[str, Any]:
    operation = {"operationId": "op", "parameters": list(parameters)}
    return {"swagger": "2.0", "paths": {"/pets": {"post": operation}}, **more}


async def test_swagger_is_read_too() -> None:
    document = swagger(
        {"name": "csv", "in": "query", "type": "array", "items": {"type": "string"}},
        {"name": "multi", "in": "query", "type": "array", "collectionFormat": "multi"},
        {"name": "tsv", "in": "query", "type": "array", "collectionFormat": "tsv"},
        {"name": "X-A", "in": "header", "type": "string"},
        {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}},
        definitions={"Pet": {"type": "object", "required": ["name"]}},
    )
    given = {"csv": ["a", "b"], "multi": [1, 2], "tsv": ["x", "y"], "X-A": "h", "pet": {"name": "Rex"}}
    told = await sent(document, given)
    assert told["target"] == "/v1/pets?csv=a,b&multi=1&multi=2&tsv=x%09y"
    assert (told["headers"]["x-a"], json.loads(told["body"])) == ("h", {"name": "Rex"})
    with pytest.raises(InvalidValue, match=r'op: pet: "name" is a required property'):
        await sent(document, {"pet": {}})


async def test_fields_of_a_form_are_sent_as_one() -> None:
    fields = [
        {"name": "a", "in": "formData", "type": "string"},
        {"name": "b", "in": "formData", "type": "array", "collectionFormat": "multi"},
    ]
    told = await sent(swagger(*fields), {"a": "x y", "b": [1, 2]})
    assert (told["body"], told["headers"]["content-type"]) == ("a=x+y&b=1&b=2", "application/x-www-form-urlencoded")


@ran(
    ("data", "url", "server"),
    [
        ({"swagger": "2.0", "host": "a.example", "basePath": "/v1/"}, "", "https://a.example/v1"),
        ({"swagger": "2.0", "host": "a.example", "schemes": ["http"]}, "https://b.example/x", "http://a.example"),
        ({"swagger": "2.0", "host": "a.example", "basePath": ".evil.example"}, "", "https://a.example/.evil.example"),
        ({"swagger": "2.0", "schemes": ["wss", "https"]}, "http://b.example/x", "https://b.example"),
        ({"swagger": "2.0", "basePath": "/v1"}, "http://b.example:81/x", "http://b.example:81/v1"),
        ({"swagger": "2.0", "basePath": "/v1"}, "", ""),
        ({"openapi": "3.0.0"}, "https://b.example/docs/x.json", "https://b.example"),
        ({"openapi": "3.0.0"}, "", ""),
        (
            {"openapi": "3.1.0", "servers": [{"url": "../v1"}]},
            "https://b.example/a/docs/x.json",
            "https://b.example/a/v1",
        ),
        ({"openapi": "3.1.0", "servers": [{"url": "https://{x}.example/"}]}, "", "https://.example"),
    ],
)
def test_the_server_is_the_one_that_is_described(data: dict[str, Any], url: str, server: str) -> None:
    description = Description({**data, "paths": {"/": {"get": {"operationId": "op"}}}}, url)
    assert description.operation("op").server == server


# --- what goes wrong


@ran(
    ("given", "message"),
    [
        ({}, r"op: id: is missing; it goes to the path"),
        ({"id": "x"}, r'op: id: "x" is not of type "integer"'),
        ({"id": 1, "kind": "fish"}, "op: kind: .*fish"),
        ({"id": 1, "knd": "cat"}, "op: knd: is no parameter; did you mean kind"),
        ({"id": 1, "zzz": "cat"}, "op: zzz: is no parameter; there are id, kind, tags, X-A, Cookie, body"),
        ({"id": 1, "tags": ["a", 3]}, r'op: tags: 1: 3 is not of type "string"'),
        ({"id": 1, "X-A": "a\r\nX-B: c"}, "op: X-A: the header X-A is no line"),
        ({"id": 1, "Cookie": "a=b"}, "op: Cookie: is a header that data cannot set"),
        ({"id": 1}, "op: body: is missing; it goes to the body"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    document = described(
        param("id", "path", "integer"),
        param("kind", "query", {"enum": ["cat", "dog"]}),
        param("tags", "query", {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}}),
        param("X-A", "header"),
        param("Cookie", "header"),
        path="/pets/{id}",
        requestBody={"required": True, "content": {"application/json": {}}},
    )
    document["components"] = {"schemas": {"Tag": {"type": "string"}}}
    with pytest.raises(InvalidValue, match=message) as caught:
        await sent(document, given)
    assert caught.value.code == "invalid_input"


@ran("path", [".evil.example/steal", "80/steal", "@evil.example/x", "//evil.example/x", "/\\evil", "pets", ""])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    document = described(path=path)
    with pytest.raises(StepError, match="must begin with one /") as caught:
        Description(document).operation("op")
    assert (caught.value.code, caught.value.retryable) == ("invalid_description", False)
    with pytest.raises(InvalidConfig, match="must begin with one /"):
        openapi(document, "op", server="https://api.good.example")


def test_what_is_called_is_the_server() -> None:
    assert Placed(query=["a=1"]).url("https://a.example/v1", "/x/@y") == "https://a.example/v1/x/@y?a=1"
    for path in (".evil.example/x", ":81/x", "@evil.example"):
        with pytest.raises(StepError, match="another server") as caught:
            Placed().url("https://a.example", path)
        assert (caught.value.code, caught.value.retryable) == ("address_refused", False)


@ran("value", ["", ".", ".."])
async def test_a_value_that_is_no_part_of_a_path_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue, match="is no part of a path"):
        await sent(described(param("a", "path"), path="/pets/{a}"), {"a": value})


@ran(
    ("document", "given"),
    [
        (described(param("a", "path", style="matrix"), path="/pets/{a}"), {"a": "x"}),
        (described(param("a", "query", {}, style="odd")), {"a": ["x"]}),
        (described(method="post", requestBody={"content": {"application/octet-stream": {}}}), {"body": "x"}),
        (described(method="post", requestBody={"content": {"multipart/form-data": {}}}), {"body": {}}),
    ],
)
async def test_what_cannot_be_written_is_refused_by_name(document: Any, given: Any) -> None:
    with pytest.raises(StepError) as caught:
        await sent(document, given)
    assert (caught.value.code, caught.value.retryable) == ("not_available", False)


@ran(
    ("data", "message"),
    [
        ([], "it is no object"),
        ({}, "it is of no version"),
        ({"openapi": "2.5"}, "it is of version '2.5'"),
        ({"openapi": "3.0.0", "paths": []}, "paths is no object"),
        (described("x"), "what is described is no object"),
        (described({"name": "a", "in": "moon"}), "in 'moon', which is no place"),
        (described({"$ref": "https://elsewhere.example/x"}), "leads out of it"),
        (described({"$ref": "#/nowhere/x"}), "leads nowhere"),
        (described({"$ref": "#/loop"}) | {"loop": {"$ref": "#/loop"}}, "a reference leads to itself"),
        (described(path="/pets/{a}"), "no place, or no parameter, for a"),
        (described(param("a", "path")), "no place, or no parameter, for a"),
        (described() | {"servers": {"url": "/"}}, "must be lists"),
        (
            {"openapi": "3.1.0", "paths": {p: {"get": {"operationId": "op"}} for p in ("/a", "/b")}},
            "several operations",
        ),
    ],
)
def test_a_description_that_cannot_be_used_is_an_error_that_says_why(data: Any, message: str) -> None:
    with pytest.raises(StepError, match=message) as caught:
        Description(data).operation("op")
    assert (caught.value.code, caught.value.retryable) == ("invalid_description", False)


@ran("schema", [{"type": "nope"}, {"$ref": "http://127.0.0.1/x"}, {"$ref": "#/components/none"}])
def test_a_schema_that_is_none_is_an_error(schema: Any) -> None:
    for version in ("3.0.0", "3.1.0"):
        with pytest.raises(StepError, match="a schema is none") as caught:
            Description({"openapi": version}).wrong(schema, 3)
        assert caught.value.code == "invalid_description"


def test_schemas_of_each_version_mean_what_they_do_there() -> None:
    old, new = Description({"openapi": "3.0.1"}), Description({"openapi": "3.1.0"})
    nullable = {"type": "array", "items": {"type": "string", "nullable": True, "enum": ["a"]}}
    assert old.wrong(nullable, [None, "a"]) == ""
    assert old.wrong(nullable, ["b"]) != ""
    assert old.wrong({"minimum": 3, "exclusiveMinimum": True}, 3) != ""
    assert new.wrong({"type": ["string", "null"]}, None) == ""
    assert new.wrong({"exclusiveMinimum": 3}, 3) != ""
    assert preferred(["*/*"]) == preferred([]) == "application/json"


def test_without_the_extra_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema_rs", None)
    with pytest.raises(RipresaError) as caught:
        Description({"openapi": "3.0.0"}).wrong({"type": "string"}, 3)
    assert caught.value.code == "extra_missing"


@ran(
    ("answer", "code", "again"),
    [
        (Answer(404), "http_status", False),
        (Answer(503, "", {"retry-after": "3"}), "http_status", True),
        (Answer(200, b"\xff"), "invalid_description", False),
        (Answer(302, "", {"location": "/again"}), "invalid_description", False),
        (Answer(200, "x" * 200), "too_large", False),
    ],
)
async def test_a_description_that_cannot_be_fetched_is_an_error(answer: Answer, code: str, again: bool) -> None:
    async with service(lambda asked: answer) as found:
        with pytest.raises(StepError) as caught:
            await openapi(f"{found.url}/x", "op", allow=[found.place], max_size=100)()
    assert (caught.value.code, caught.value.retryable, caught.value.unknown) == (code, again, False)


async def test_descriptions_and_the_servers_that_they_say_are_guarded() -> None:
    document = described() | {"servers": [{"url": "http://169.254.169.254/latest"}]}
    async with service(lambda asked: Answer(200, json.dumps(document))) as found:
        for url, allow in ((f"{found.url}/x", []), (f"{found.url}/x", [found.place])):
            with pytest.raises(StepError) as caught:
                await openapi(url, "op", allow=allow)()
            assert caught.value.code == "address_refused"
    with pytest.raises(StepError, match="it says no server that can be called") as caught:
        await openapi(described(), "op")()
    assert caught.value.code == "invalid_description"


async def test_secrets_go_to_no_other_host_than_the_description_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")
    token = Secret("env:TOKEN")
    async with service(echo) as other:
        elsewhere = f"http://localhost:{other.port}"
        document = described() | {"servers": [{"url": elsewhere}]}
        async with service(lambda asked: Answer(200, json.dumps(document))) as found:
            allow = [found.place, f"localhost:{other.port}"]
            secrets: tuple[Any, ...] = ({"auth": token}, {"headers": {"X-Key": token}})
            for options in secrets:
                with pytest.raises(StepError, match="would have secrets sent to") as caught:
                    await openapi(f"{found.url}/x", "op", allow=allow, **options)()
                assert caught.value.code == "address_refused"
                said = openapi(f"{found.url}/x", "op", allow=allow, server=elsewhere, **options)
                assert (await said()).status == 200
            assert (await openapi(f"{found.url}/x", "op", allow=allow)()).status == 200
            assert "authorization" not in found.asked[0].headers
            assert (await openapi(document, "op", auth=token, allow=allow)()).status == 200
    assert [each.headers.get("authorization") for each in other.asked] == [
        "Bearer swordfish",
        None,
        None,
        "Bearer swordfish",
    ]


async def test_secrets_go_to_the_host_of_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")
    async with service(pets) as found:
        get = openapi(f"{found.url}/pets.yaml", "getPet", auth=Secret("env:TOKEN"), allow=[found.place])
        await get({"id": 1})
        assert [each.headers.get("authorization") for each in found.asked] == [None, "Bearer swordfish"]


async def test_it_may_want_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "open-sesame")

    def answer(asked: Asked) -> Answer:
        if asked.path == "/oauth2/token":
            return Answer(200, '{"access_token": "t-1234"}')
        return Answer(200, asked.headers["authorization"])

    async with service(answer) as found:
        auth = OAuth2(found.url, client="a", secret=Secret("env:CLIENT_SECRET"))
        call = openapi(described(), "op", server=found.url, auth=auth, allow=[found.place])
        assert (await call()).body == "Bearer ***"


async def test_reading_that_breaks_off_did_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for method, unknown in (("get", False), ("post", True)):
        async with service(lambda asked: Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")) as found:
            document = described(param("key", "query"), method=method)
            with pytest.raises(StepError) as caught:
                await openapi(document, "op", server=found.url, allow=[found.place])({"key": "swordfish"})
        assert caught.value.unknown is unknown
    assert "swordfish" not in caplog.text


@ran(
    ("document", "operation", "options", "parts"),
    [
        (3, "op", {}, ["document is 3"]),
        ("", "op", {}, ["document is ''"]),
        ("ftp://x", "op", {}, ["must begin with http"]),
        ("https://x.example", "", {"server": "x", "again": 3}, ["operation must", "the url 'x'", "again is 3"]),
        ("https://x.example", "op", {"headrs": {}}, ["there is no option headrs"]),
    ],
)
def test_bad_options_are_refused_together(document: Any, operation: str, options: Any, parts: list[str]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        openapi(document, operation, **options)
    assert [part for part in parts if part not in str(caught.value)] == []


async def test_a_description_that_is_moved_into_the_open_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    moved = Answer(302, "", {"location": "http://127.0.0.1/x"})
    async with service(lambda asked: moved, context) as found:
        with pytest.raises(StepError, match="gives up encryption"):
            await openapi(f"{found.url}/x", "op", allow=[found.place], ca=str(tmp_path / "ca.pem"))()


# --- in documents


async def test_a_document_calls_an_operation(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(PETS)

    def flow(**config: Any) -> Any:
        steps = [{"type": "openapi", "config": {"document": str(tmp_path / "pets.yaml"), **config}}]
        return load_document({"id": "flow", "steps": steps})

    async with service(echo) as found, App("memory:") as app:
        call = flow(operation="getPet", server=found.url, allow=[found.place], auth=None)
        answer: Response = await app.run(call({"id": 7}))
        assert answer.json()["target"] == "/pets/7"
    with pytest.raises(InvalidWorkflow, match=r"steps\[0\].*there is no operation 'getPets'"):
        flow(operation="getPets")
    with pytest.raises(InvalidWorkflow, match="lacks operation"):
        flow()


def test_a_bounded_document_reads_no_files_and_opens_nothing() -> None:
    def load(**config: Any) -> Any:
        config = {"document": "https://x.example/pets.yaml", "operation": "getPet", **config}
        return load_document({"id": "x", "steps": [{"type": "openapi", "config": config}]}, modules=[])

    load()
    for more in ({"document": "/etc/passwd"}, {"allow": ["10.0.0.0/8"]}, {"ca": "x"}, {"auth": "env:HOME"}):
        with pytest.raises(InvalidWorkflow, match="not for documents that may import only some modules"):
            load(**more)
