"""The gateway to language models: which model a name means, and who answers for it.

Law: a name is looked up among the app's own names first, then it is `provider:model`, then a model that the price list
knows. Clients of providers are imported and made when a model is first asked, and closed with the app.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from ..errors import RipresaError
from .conversation import Model

if TYPE_CHECKING:
    from .embedding import EmbeddingModel

C = TypeVar("C")

DEFAULT: Final = "default"
"""The name that llm steps and agents use where they name no model."""

ANY: Final = "*"
"""The name under which an app may have what answers for every model that it does not name."""

KEY: Final = "OPENAI_API_KEY"
BASE_URL: Final = "OPENAI_BASE_URL"

PROVIDERS: Final = {"x-ai": "xai", "aws": "bedrock", "google": "google", "azure": "azure"}
"""Providers that the price list and the clients call by different names."""


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A model at an address: `ModelEndpoint("llama3", "http://127.0.0.1:11434/v1")`, or one with a key of its own.

    `name` is that of the model, alone or as `provider:model`; the server at `base_url` speaks OpenAI's chat
    completions.
    `key_variable` is the environment variable with its key, which is never written down anywhere.
    """

    name: str
    base_url: str = ""
    key_variable: str = ""


Named: TypeAlias = str | ModelEndpoint | Model
"""What a name of a model may stand for."""


class Gateway(Mapping[str, Any]):
    """The models of one app, by name."""

    def __init__(self, names: Mapping[str, Named]) -> None:
        self._names = names
        self._made: dict[tuple[object, ModelEndpoint, str, str], Any] = {}

    def __getitem__(self, name: str) -> Named:
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, model: Named) -> Model:
        """Who answers for a model.

        Raises `RipresaError` with the codes `model_not_configured`, `unknown_model` or `extra_missing`.
        """
        found = self._meant(model)
        if not isinstance(found, str | ModelEndpoint):
            return found
        if found == DEFAULT:
            raise _none_configured()
        return self._client(found if isinstance(found, ModelEndpoint) else ModelEndpoint(found))

    def embedder(self, model: Named) -> EmbeddingModel:
        """Who gives the vectors of texts, by name as `find` looks models up. Raises the same, and `unknown_model`."""
        found = self._meant(model)
        if isinstance(found, str | ModelEndpoint):
            from .embedding import ProviderEmbedder

            return self._kept(found if isinstance(found, ModelEndpoint) else ModelEndpoint(found), ProviderEmbedder)
        if not hasattr(found, "embed"):
            raise RipresaError(
                f"{model!r} stands for {found!r}, which gives no vectors", code="unknown_model", op="llm"
            )
        return cast("EmbeddingModel", found)

    def _meant(self, model: Named) -> Named:
        seen: dict[str, None] = {}
        while isinstance(model, str) and model not in seen:
            seen[model] = None
            if model not in self._names and ANY not in self._names:
                return model
            model = self._names.get(model, self._names.get(ANY, model))
        return model

    def _client(self, endpoint: ModelEndpoint) -> Model:
        from .providers import ProviderModel

        return self._kept(endpoint, ProviderModel)

    def _kept(self, endpoint: ModelEndpoint, make: Callable[[ModelEndpoint, str, str], C]) -> C:
        """The client of an endpoint, made once for each address and key."""
        address = endpoint.base_url or os.environ.get(BASE_URL, "")
        variable = endpoint.key_variable or ("" if endpoint.base_url else KEY)  # OpenAI's key is nobody else's
        key = os.environ.get(variable, "")
        at = make, endpoint, address, key
        if at not in self._made:
            self._made[at] = make(endpoint, address, key)
        found: C = self._made[at]
        return found

    async def close(self) -> None:
        """Close the connections to providers."""
        made, self._made = self._made, {}
        for each in made.values():
            await each.close()


def _none_configured() -> RipresaError:
    return RipresaError(
        "no model is configured",
        code="model_not_configured",
        op="llm",
        hint='give the step model="provider:name", the app App(models={"default": ...}), or set RIPRESA_MODELS_DEFAULT',
    )
