"""Stands for the public hosts that the features and examples name: one server on the loopback interface.

The origin `https://petstore.swagger.io` is answered at `http://127.0.0.1:PORT/petstore.swagger.io`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

from tests.steps.service import Answer, Asked, Service, service

PETS: Final = [{"id": number, "name": f"pet {number}", "status": "available"} for number in (1, 2, 69)]
PETSTORE: Final[dict[str, Any]] = {
    "swagger": "2.0",
    "info": {"title": "Pets", "version": "1"},
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https"],
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "parameters": [
                    {"name": "status", "in": "query", "required": True, "type": "array", "items": {"type": "string"},
                     "collectionFormat": "multi"}
                ],
                "responses": {"200": {"description": "pets"}},
            }
        },
        "/pet/{petId}": {
            "get": {
                "operationId": "getPetById",
                "parameters": [{"name": "petId", "in": "path", "required": True, "type": "integer"}],
                "responses": {"200": {"description": "a pet"}},
            }
        },
    },
}  # fmt: skip
ORDERS: Final[dict[str, Any]] = {
    "openapi": "3.0.3",
    "info": {"title": "Orders", "version": "1"},
    "servers": [{"url": "http://myorg.io/orders"}],
    "paths": {
        "/log": {"post": {"operationId": "logreading", "responses": {"200": {"description": "done"}}}},
        "/report": {"post": {"operationId": "produceReport", "responses": {"200": {"description": "done"}}}},
    },
}

ORIGINS: Final = (
    "https://petstore.swagger.io",
    "https://httpbin.org",
    "http://keycloak",
    "http://myorg.io",
    "https://swapi.dev",
    "https://superbet-casinos.com",
    "https://fake-hospital.com",
    "https://fake-chat-api.com",
    "https://virtual-wf-powered-race.com",
    "https://hospital.example.com",
)


@asynccontextmanager
async def hosts() -> AsyncGenerator[tuple[Service, dict[str, str]]]:
    """The server, and what stands in for what."""
    async with service(answered) as found:
        yield found, {origin: f"{found.url}/{origin.partition('://')[2]}" for origin in ORIGINS}


def answered(asked: Asked) -> Answer:
    """What a host answers."""
    host, _, path = asked.path.removeprefix("/").partition("/")
    found = HOSTS.get(host)
    return said({"done": True}) if found is None else found(asked, f"/{path}")


def said(data: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(data), {"content-type": "application/json"})


def _pets(asked: Asked, path: str) -> Answer:
    if path == "/v2/swagger.json":
        return said(PETSTORE)
    if path == "/v2/pet/findByStatus":
        return said([pet for pet in PETS if pet["status"] in asked.query.get("status", [])])
    number = path.removeprefix("/v2/pet/")
    caller = asked.headers.get("authorization", "").rpartition("token-of-")[2]
    found = [{**pet, "caller": caller} for pet in PETS if str(pet["id"]) == number]
    return said(found[0]) if found else said({"message": "Pet not found"}, 404)


def _login(asked: Asked, path: str) -> Answer:
    _, _, user, password = path.split("/")
    wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    good = asked.headers.get("authorization") == wanted
    return said({"authenticated": good, "user": user}, 200 if good else 401)


def _authority(asked: Asked, path: str) -> Answer:
    root = "/realms/fake-authority"
    if path == f"{root}/.well-known/openid-configuration":
        return said({"issuer": f"http://keycloak{root}", "token_endpoint": f"http://keycloak{root}/tokens"})
    fields = dict(parse_qsl(asked.body.decode()))
    client = (fields.get("client_id"), fields.get("client_secret"))
    known = client == ("workflow-runtime-id", "workflow-runtime-secret")
    if path not in (f"{root}/tokens", f"{root}/auth/token") or not known:
        return said({"error": "invalid_client"}, 401)
    return said({"access_token": f"token-of{path.replace('/', '-')}", "token_type": "Bearer", "expires_in": 60})


def _orders(asked: Asked, path: str) -> Answer:
    return said(ORDERS if path == "/ordersservices.json" else {"path": path})


def _stars(asked: Asked, path: str) -> Answer:
    found = asked.query.get("search", [""])[0]
    if found == "led" and "page" not in asked.query:
        return Answer(302, "", {"location": f"/api/people/?search={found}&page=1"})
    return said({"results": asked.query.get("search"), "accept": asked.headers.get("accept")})


HOSTS: Final[dict[str, Callable[[Asked, str], Answer]]] = {
    "petstore.swagger.io": _pets,
    "httpbin.org": _login,
    "keycloak": _authority,
    "myorg.io": _orders,
    "swapi.dev": _stars,
}
