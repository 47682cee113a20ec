"""Knowledge: texts that are found by their meaning, for prompts and as a tool; and the port for whatever stores them.

Law: learning is idempotent by the id of a passage, so that a step that is repeated learns nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

from ..authoring.document.recipe import Recipe
from ..authoring.document.write import retry_data
from ..authoring.options import bad_count, check_name, refuse
from ..authoring.step import Step, step
from ..context import current
from ..core.retry import Retry
from ..errors import InvalidValue, RipresaError
from ..steps.asking import is_model
from ..steps.embedding import batches, embedded
from ..steps.gateway import ModelEndpoint
from .tools import Tool, tool


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that can be found; what has its `id` is replaced. `about` is plain data that comes with it."""

    id: str
    text: str
    about: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found, and how far it is from what was looked for: 0 is the same."""

    passage: Passage
    distance: float


Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Gives the vectors of texts, in order: asks an embedding model, for example."""


class Vectors(Protocol):
    """A store of passages by their vectors. Each method is atomic; `put` and `remove` are idempotent.

    A store whose vectors have so many numbers says so as its `size`.
    """

    async def put(self, passages: Sequence[tuple[Passage, Sequence[float]]]) -> None:
        """Keep passages with their vectors; those of the same ids are replaced."""
        ...

    async def nearest(self, vector: Sequence[float], limit: int) -> list[Found]:
        """The passages nearest to a vector, the nearest first."""
        ...

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget passages; those that are not there do not matter."""
        ...


class Knowledge:
    """Passages in a store, found by meaning: `learn` and `look_up` are steps, `look_up` is a tool for agents too.

    `embedder` gives the vectors of texts: an embedding model, by name as `model=` of llm steps
    (`openai:text-embedding-3-small`, one of the app's, a `ModelEndpoint`), or an async function. What a model used
    counts for the run. Passages are learned in batches, each journaled, so that no other attempt pays for one again.
    `limit` is how many passages `look_up` finds. Raises `InvalidConfig`; steps fail with `wrong_dimension` where the
    vectors do not fit the store.
    """

    def __init__(
        self,
        name: str,
        vectors: Vectors,
        embedder: Embed | str | ModelEndpoint,
        *,
        limit: int = 5,
        retry: Retry | int | None = 3,
    ) -> None:
        fine = callable(embedder) or is_model(embedder)
        wrong = None if fine else f"embedder is {embedder!r}, must be a function or name an embedding model"
        refuse("Knowledge", check_name(name, "name"), bad_count(limit, "limit"), wrong, where=str(name))
        self.name = name
        self._vectors = vectors
        self._embedder = embedder

        @step(name=f"{name}_batch")
        async def keep(passages: list[Passage]) -> int:
            found = await self._embedded([each.text for each in passages])
            await vectors.put(list(zip(passages, found, strict=True)))
            return len(passages)

        async def learn(passages: list[Passage]) -> int:
            """Keep passages; how many."""
            parts = batches([each.text for each in passages])
            return sum([await current().call(keep, passages[part]) for part in parts])

        async def look_up(text: str) -> list[Found]:
            """Find the passages that are nearest in meaning to a text."""
            (vector,) = await self._embedded([text], query=True)
            return await vectors.nearest(vector, limit)

        async def forget(ids: list[str]) -> None:
            """Forget passages."""
            await vectors.remove(ids)

        self.learn: Step[[list[Passage]], int] = step(name=f"{name}_learn", retry=retry)(learn)
        self.look_up: Tool[[str], list[Found]] = tool(name=f"{name}_look_up", effect="read", retry=retry)(look_up)
        self.forget: Step[[list[str]], None] = step(name=f"{name}_forget", retry=retry)(forget)
        said = partial(self._said, limit, retry)
        for what, made in (("learn", self.learn), ("look_up", self.look_up), ("forget", self.forget)):
            made.recipe = _recipe(self.name, what, made, said)

    def __repr__(self) -> str:
        return f"<knowledge {self.name}>"

    def _said(self, limit: int, retry: Retry | int | None) -> dict[str, Any]:
        """How a document declares it; what is no plain data there is a target."""
        kept: Any = self._vectors
        store = {"path": kept.path, "size": kept.size} if _is_file(kept) else {}
        more = {"limit": None if limit == 5 else limit, "retry": None if retry == 3 else retry_data(_tries(retry))}
        vectors = {} if store else {"vectors": self._vectors}
        return {**store, **vectors, "embedder": self._embedder, **{key: each for key, each in more.items() if each}}

    async def _embedded(self, texts: list[str], *, query: bool = False) -> Sequence[Sequence[float]]:
        embedder = self._embedder
        if isinstance(embedder, str | ModelEndpoint):
            found = await embedded(embedder, texts, query=query)
        else:
            found = await embedder(texts)
        sizes = sorted({len(each) for each in found})
        if len(found) != len(texts) or len(sizes) > 1:
            message = f"the embedder gave {len(found)} vectors, of {sizes} numbers, for {len(texts)} texts"
            raise InvalidValue(message, code="invalid_output", where=self.name)
        wanted = getattr(self._vectors, "size", None)
        if wanted is not None and sizes != [wanted]:
            raise wrong_dimension(f"the embedder of {self.name} gives vectors of {sizes[0]} numbers", wanted)
        return found


def _recipe(name: str, what: str, made: Step[..., Any], said: Callable[[], dict[str, Any]]) -> Recipe:
    more = {} if what == "look_up" else {"do": what}
    return Recipe("knowledge", lambda: made, lambda: {"of": name, **more}, knowledge={name: said})


def _tries(retry: Retry | int | None) -> Retry:
    return retry if isinstance(retry, Retry) else Retry(retry or 1)


def _is_file(vectors: Any) -> bool:
    """Whether this is our own store, which a document may say."""
    from .vectors import SQLiteVectors

    return type(vectors) is SQLiteVectors


def wrong_dimension(what: str, wanted: int) -> RipresaError:
    """The error of vectors that do not fit their store."""
    return RipresaError(
        f"{what}, the store has those of {wanted}",
        code="wrong_dimension",
        op="knowledge",
        hint="use the embedder that the store was filled with, or learn everything anew in a store of that size",
    )
