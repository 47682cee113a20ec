"""Ready-made steps: models, programs, HTTP, webhooks, coding agents, people. Each is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import AgentOptions, AgentStep, AgentWork, cli_agent
    from .calls import CallOptions, HttpOptions, HttpStep, Pages, Request, Response, http
    from .dialects import Dialect
    from .digest import Digest
    from .incoming import Incoming, Received, ToRun, WebhookEvent
    from .listening import ServerEvent, server_events, server_lines
    from .oauth import OIDC, OAuth2
    from .operations import OpenAPIOptions, OpenAPIStep, openapi
    from .parts import AgentFile, AgentReply, AgentRequest
    from .people import human
    from .procedures import GrpcOptions, GrpcStep, grpc
    from .programs import Command, Completed, ProgramStep, ShellOptions, python, shell
    from .remote import A2aOptions, A2aStep, a2a_agent
    from .secret import Secret
    from .uploads import Upload
    from .webhooks import Endpoint, send_webhook

_PLACES = {
    "agents": ("AgentOptions", "AgentStep", "AgentWork", "cli_agent"),
    "calls": ("CallOptions", "HttpOptions", "HttpStep", "Pages", "Request", "Response", "http"),
    "dialects": ("Dialect",),
    "digest": ("Digest",),
    "incoming": ("Incoming", "Received", "ToRun", "WebhookEvent"),
    "listening": ("ServerEvent", "server_events", "server_lines"),
    "oauth": ("OIDC", "OAuth2"),
    "operations": ("OpenAPIOptions", "OpenAPIStep", "openapi"),
    "parts": ("AgentFile", "AgentReply", "AgentRequest"),
    "people": ("human",),
    "procedures": ("GrpcOptions", "GrpcStep", "grpc"),
    "programs": ("Command", "Completed", "ProgramStep", "ShellOptions", "python", "shell"),
    "remote": ("A2aOptions", "A2aStep", "a2a_agent"),
    "secret": ("Secret",),
    "uploads": ("Upload",),
    "webhooks": ("Endpoint", "send_webhook"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "OIDC",
    "A2aOptions",
    "A2aStep",
    "AgentFile",
    "AgentOptions",
    "AgentReply",
    "AgentRequest",
    "AgentStep",
    "AgentWork",
    "CallOptions",
    "Command",
    "Completed",
    "Dialect",
    "Digest",
    "Endpoint",
    "GrpcOptions",
    "GrpcStep",
    "HttpOptions",
    "HttpStep",
    "Incoming",
    "OAuth2",
    "OpenAPIOptions",
    "OpenAPIStep",
    "Pages",
    "ProgramStep",
    "Received",
    "Request",
    "Response",
    "Secret",
    "ServerEvent",
    "ShellOptions",
    "ToRun",
    "Upload",
    "WebhookEvent",
    "a2a_agent",
    "cli_agent",
    "grpc",
    "http",
    "human",
    "openapi",
    "python",
    "send_webhook",
    "server_events",
    "server_lines",
    "shell",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
