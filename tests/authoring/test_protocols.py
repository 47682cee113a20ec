"""The small contracts: ours conform, and so may anybody's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ripresa import Graph, chain
from ripresa.authoring.protocols import ChainLike, GraphLike, RunnableLike, WorkflowLike

from .samples import fetch, greet, length


class Theirs:
    """A chain of somebody else."""

    name = "theirs"

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return args

    async def batch(self, inputs: Any, /, *, concurrency: int | None = None) -> list[Any]:
        return list(inputs)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield args

    def then(self, link: Any, /) -> Theirs:
        return self


class TheirWorkflow(Theirs):
    version = "1"
    fn = staticmethod(len)

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return b""


class TheirGraph:
    name = "graph"

    def add(self, call: Any, /) -> Any:
        return call

    def returns(self, out: Any, /) -> Any:
        return out


@pytest.mark.parametrize(
    ("thing", "protocols"),
    [
        (chain(fetch), {RunnableLike, ChainLike}),
        (greet, {RunnableLike, WorkflowLike}),
        (Graph("g", input=str), {GraphLike}),
        (length, set()),
        (Theirs(), {RunnableLike, ChainLike}),
        (TheirWorkflow(), {RunnableLike, ChainLike, WorkflowLike}),
        (TheirGraph(), {GraphLike}),
    ],
)
def test_what_has_the_methods_conforms(thing: Any, protocols: set[Any]) -> None:
    every = {RunnableLike, ChainLike, GraphLike, WorkflowLike}
    assert {protocol for protocol in every if isinstance(thing, protocol)} == protocols
