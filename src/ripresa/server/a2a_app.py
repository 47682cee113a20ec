"""The application that offers workflows as agents of Agent2Agent: a card, JSON-RPC and HTTP+JSON for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..authoring.flow import Runnable
from ..authoring.options import refuse
from ..authoring.single import runnable_of
from ..authoring.step import Step
from ..errors import RipresaError
from ..steps.guard import bad_url
from ..steps.secret import Secret
from .described import described
from .serving import Address, Asgi, Door, check_open

if TYPE_CHECKING:
    from ..app import App


def a2a_app(
    app: App,
    *workflows: Runnable[..., Any] | Step[..., Any],
    url: str,
    token: Secret | None = None,
) -> Callable[[Any, Any, Any], Any]:
    """An ASGI application that offers these workflows of an open app to agents that speak Agent2Agent.

    Each is an agent at `url`/NAME, one by itself also at `url`, which is where they reach it; `token` is the bearer
    token that they need. Without one the host of `url` must be this machine. What is left or due is driven by
    `app.work()`, which is the caller's to run. Raises `InvalidConfig`, `RipresaError(extra_missing)`.
    """
    from urllib.parse import urlsplit

    found = [runnable_of(each) for each in workflows]
    names = [each.name for each in found]
    refuse(
        "a2a_app",
        None if found else "there is no workflow to offer",
        None if len(set(names)) == len(names) else f"two workflows have one name: {', '.join(names)}",
        bad_url(url),
    )
    parts = urlsplit(url)
    address = Address(parts.hostname or "", parts.port or 0)
    check_open(address, token)
    return Door(_routed(app, found, url.rstrip("/"), secured=token is not None), address, token)


def _routed(app: App, workflows: Sequence[Runnable[..., Any]], url: str, *, secured: bool) -> Asgi:
    try:
        from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
        from starlette.applications import Starlette
        from starlette.routing import BaseRoute, Route
    except ImportError:
        raise RipresaError(
            "agents that speak Agent2Agent need an optional dependency",
            code="extra_missing",
            op="a2a",
            hint="pip install 'ripresa[a2a]'",
        ) from None

    from .a2a import Desk
    from .a2a_card import RPC, card_of

    routes: list[BaseRoute] = []
    for runnable in workflows:
        path = f"/{quote(runnable.name)}"
        card = card_of(described(runnable), f"{url}{path}", secured=secured)
        desk = Desk(app, runnable)
        for place in ("", path) if len(workflows) == 1 else (path,):
            routes += create_agent_card_routes(card, card_url=f"{place}/.well-known/agent-card.json")
        routes += create_jsonrpc_routes(desk, f"{path}/{RPC}")
        routes += [each for each in create_rest_routes(desk, path_prefix=path) if isinstance(each, Route)]
    return Starlette(routes=routes)
