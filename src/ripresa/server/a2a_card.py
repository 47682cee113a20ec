"""The card of a workflow: how agents of elsewhere learn what it does, where it is, and how it is asked."""

from __future__ import annotations

import json
from typing import Final

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]

from .described import Described

SCHEMAS: Final = "urn:ripresa:a2a:schemas:1"
"""The extension of a card that has the JSON Schemas of what the workflow takes and gives."""

RPC: Final = "rpc"
_MODES: Final = ("application/json", "text/plain")


def card_of(about: Described, place: str, *, secured: bool) -> AgentCard:
    """The card of a workflow that is asked at `place`, a URL without a slash at its end."""
    schemas = Struct()
    schemas.update({"input": dict(about.input), "output": dict(about.output)})
    card = AgentCard(
        name=about.name,
        description=about.description,
        version=about.version,
        supported_interfaces=[
            AgentInterface(url=f"{place}/{RPC}", protocol_binding="JSONRPC", protocol_version="1.0"),
            AgentInterface(url=place, protocol_binding="HTTP+JSON", protocol_version="1.0"),
        ],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=False,
            extensions=[AgentExtension(uri=SCHEMAS, description="JSON Schemas of input and output", params=schemas)],
        ),
        default_input_modes=_MODES,
        default_output_modes=_MODES,
        skills=[_skill(about)],
    )
    if secured:
        card.security_schemes["bearer"].CopyFrom(
            SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer"))
        )
        card.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
    return card


def _skill(about: Described) -> AgentSkill:
    schema = json.dumps(about.input, ensure_ascii=False)
    words = f"{about.description}\n\nInput: one data part, or text; JSON Schema: {schema}"
    return AgentSkill(
        id=about.name, name=about.name, description=words, tags=["workflow"], input_modes=_MODES, output_modes=_MODES
    )
