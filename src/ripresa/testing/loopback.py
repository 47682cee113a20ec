"""`real_or_scripted`: the models of an example: a real one where there is a key, else scripted answers; it says which.

For examples and demonstrations: what answers is always printed, so that nobody takes a script for a model.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from ..steps.gateway import DEFAULT, ModelEndpoint
from .answers import Script
from .model_server import ModelServer

CONFIGURED: Final = "RIPRESA_MODELS_DEFAULT"
"""The setting that names a model for all that name none; it comes first."""

KEYS: Final[Mapping[str, str]] = {
    "OPENAI_API_KEY": "openai:gpt-6-luna",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-5-5",
}
"""The model that is asked where there is this key, the first of them that is set."""


@asynccontextmanager
async def real_or_scripted(*replies: Script) -> AsyncGenerator[dict[str, str | ModelEndpoint], None]:
    """The models of an example, for `App(models=...)`: a real one where there is a key, else the scripted replies.

    Without `RIPRESA_MODELS_DEFAULT` and without a key of OpenAI or Anthropic the replies are given by a `ModelServer`
    on the loopback interface, over HTTP. One line says what answers.
    """
    if CONFIGURED in os.environ:
        print(f"model: {os.environ[CONFIGURED]} ({CONFIGURED})")
        yield {}
        return
    for variable, name in KEYS.items():
        if os.environ.get(variable):
            print(f"model: {name} ({variable} is set)")
            yield {DEFAULT: name}
            return
    async with ModelServer(*replies) as server:
        print(f"model: scripted answers at {server.url} (for a real one set {' or '.join(KEYS)})")
        yield {DEFAULT: ModelEndpoint("scripted", server.url)}
