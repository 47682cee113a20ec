"""The models of an example: a real one where there is a key, else scripted answers; it says which.

For examples and demonstrations: what answers is always printed, so that nobody takes a script for a model.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ..steps.gateway import DEFAULT, ModelEndpoint
from .answers import Script
from .model_server import ModelServer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONFIGURED: Final = "RIPRESA_MODELS_DEFAULT"
"""The setting that names a model for all that name none; it comes first."""

OPENAI: Final = "OPENAI_API_KEY"

KEYS: Final[Mapping[str, str]] = {
    "OPENAI_API_KEY": "openai:gpt-6-luna",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-5-5",
}
"""The model that is asked where there is this key, the first of them that is set."""


SWITCH: Final = "RIPRESA_REAL_MODELS"
"""Where this variable is `0`, no real model is asked whatever keys there are: real ones cost money."""

VECTORS: Final = "vectors"
"""The name under which examples ask for an embedding model; Anthropic has none."""

EMBEDDINGS: Final[Mapping[str, str]] = {"OPENAI_API_KEY": "openai:text-embedding-3-small"}
"""The embedding model that goes with a key, of 1536 numbers. Scripted ones give 64."""


@asynccontextmanager
async def real_or_scripted(*replies: Script) -> AsyncGenerator[dict[str, str | ModelEndpoint], None]:
    """The models of an example, for `App(models=...)`: a real one where there is a key, else the scripted replies.

    Without `RIPRESA_MODELS_DEFAULT` and without a key of OpenAI or Anthropic, or where `RIPRESA_REAL_MODELS` is `0`,
    the replies are given by a `ModelServer` on the loopback interface, over HTTP. One line says what answers. Beside
    `default` there is an embedding model, `vectors`, unless the key is one of Anthropic.
    """
    if real_allowed() and os.environ.get(CONFIGURED):
        print(f"model: {os.environ[CONFIGURED]} ({CONFIGURED})")
        yield {}
        return
    for variable, name in KEYS.items() if real_allowed() else ():
        if os.environ.get(variable):
            print(f"model: {name} ({variable} is set)")
            yield {DEFAULT: name, **({VECTORS: EMBEDDINGS[variable]} if variable in EMBEDDINGS else {})}
            return
    async with ModelServer(*replies) as server:
        print(f"model: scripted answers at {server.url} (for a real one set {' or '.join(KEYS)})")
        scripted = ModelEndpoint("scripted", server.url)
        yield {DEFAULT: scripted, VECTORS: scripted}


def real_allowed() -> bool:
    """Whether real models may be asked, which costs money."""
    return os.environ.get(SWITCH, "") != "0"


@asynccontextmanager
async def client_or_scripted(*replies: Script) -> AsyncGenerator[tuple[str, AsyncOpenAI], None]:
    """The name of a model and a client for it, for examples with other frameworks: OpenAI's where there is its key.

    Otherwise, or where `RIPRESA_REAL_MODELS` is `0`, the replies are given by a `ModelServer`. One line says what
    answers.
    """
    from openai import AsyncOpenAI

    if real_allowed() and os.environ.get(OPENAI):
        name = KEYS[OPENAI].partition(":")[2]
        print(f"model: openai:{name} ({OPENAI} is set)")
        async with AsyncOpenAI() as client:
            yield name, client
        return
    async with ModelServer(*replies) as server, AsyncOpenAI(base_url=server.url, api_key="loopback") as client:
        print(f"model: scripted answers at {server.url} (for a real one set {OPENAI})")
        yield "gpt-4o", client
