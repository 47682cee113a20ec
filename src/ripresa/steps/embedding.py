"""Embedding models: the vectors of texts, by the clients of pydantic-ai, retried by nobody but the engine.

Law: as for `providers`, what a provider says never leaves with a key in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..context import current
from .gateway import Gateway, ModelEndpoint, Named
from .providers import coded, imported, load_clients, named_model, openai_client, other_client, price_of

MOST_TEXTS: Final = 256
"""How many texts one request has at most."""

MOST_BYTES: Final = 400_000
"""How long the texts of one request are together, unless one alone is longer; providers count tokens, of about 4."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of texts, in order, and what they cost: money in dollars, None where the price is not known."""

    vectors: Sequence[Sequence[float]]
    tokens: int = 0
    cost: float | None = None


class EmbeddingModel(Protocol):
    """Whatever gives the vectors of texts."""

    async def embed(self, texts: Sequence[str], *, query: bool) -> Embedded:
        """The vectors of texts that are looked for (`query`), or are to be found."""
        ...


class ProviderEmbedder:
    """An embedding model of a provider; its client is made when it is first asked."""

    def __init__(self, endpoint: ModelEndpoint, address: str, key: str) -> None:
        self._endpoint = endpoint
        self._address = address
        self._key = key
        self._model: Any = None
        self._client: Any = None
        self.provider, self.name = named_model(endpoint, address)

    async def embed(self, texts: Sequence[str], *, query: bool) -> Embedded:
        """See `EmbeddingModel`. Raises `ModelError` and `RipresaError` as models do."""
        if self._model is None:
            await asyncio.to_thread(load_clients)
            self._model = self._openai() if self.provider in ("openai", "openai-chat") else self._other()
        exceptions = imported("pydantic_ai.exceptions")
        try:
            found = await self._model.embed(list(texts), input_type="query" if query else "document")
        except (exceptions.AgentRunError, exceptions.UserError) as error:
            raise coded(error, f"{self.provider}:{self.name}", self._key) from None
        tokens = int(found.usage.input_tokens)
        return Embedded(found.embeddings, tokens, self.price(tokens))

    def price(self, tokens: int) -> float | None:
        """What so many tokens cost in dollars; None if nobody knows."""
        return price_of(self.provider, self.name, tokens)

    async def close(self) -> None:
        """Close its connections."""
        client, self._client, self._model = self._client, None, None
        if client is not None:
            await client.close()

    def _openai(self) -> Any:
        self._client = openai_client(self._endpoint, self._address, self._key)
        provider = imported("pydantic_ai.providers.openai").OpenAIProvider(openai_client=self._client)
        return imported("pydantic_ai.embeddings.openai").OpenAIEmbeddingModel(self.name, provider=provider)

    def _other(self) -> Any:
        infer = imported("pydantic_ai.embeddings").infer_embedding_model
        return other_client(self._endpoint, self.provider, self.name, self._key, infer)


async def embedded(model: Named, texts: Sequence[str], *, query: bool) -> Sequence[Sequence[float]]:
    """The vectors of texts by a model that is found as llm steps find theirs; what it used counts for the run."""
    context = current()
    known = context.models
    gateway = known if isinstance(known, Gateway) else Gateway(known)
    try:
        expected = sum(len(text.encode()) for text in texts) // 4 + 1
        embedder = gateway.embedder(model)
        price = embedder.price(expected) if isinstance(embedder, ProviderEmbedder) else 0.0
        await context.ensure(tokens=expected, cost=price)
        found = await embedder.embed(texts, query=query)
        context.usage(tokens=found.tokens, cost=found.cost)
    finally:
        if gateway is not known:
            await gateway.close()
    return found.vectors


def batches(texts: Sequence[str]) -> Iterator[slice]:
    """Which texts go into one request."""
    start = size = 0
    for index, text in enumerate(texts):
        length = len(text.encode())
        if index > start and (index - start == MOST_TEXTS or size + length > MOST_BYTES):
            yield slice(start, index)
            start, size = index, 0
        size += length
    if texts:
        yield slice(start, len(texts))
