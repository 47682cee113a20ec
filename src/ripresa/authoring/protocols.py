"""The small contracts behind chains, graphs and workflows: whoever has these methods can stand in for ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class RunnableLike(Protocol):
    """What can be run in memory."""

    name: str

    def invoke(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Run to the end."""
        ...

    def batch(self, inputs: Any, /, *, concurrency: int | None = None) -> Awaitable[list[Any]]:
        """Run for each input; results in the order of the inputs."""
        ...

    def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Run and tell what happens while it does."""
        ...


@runtime_checkable
class ChainLike(RunnableLike, Protocol):
    """Links one after another."""

    def then(self, link: Any, /) -> ChainLike:
        """The chain with one more link."""
        ...


@runtime_checkable
class GraphLike(Protocol):
    """Nodes by dependency, while they are written."""

    name: str

    def add(self, call: Any, /) -> Any:
        """A node for a call."""
        ...

    def returns(self, out: Any, /) -> Any:
        """Close the graph; what comes back can be run."""
        ...


@runtime_checkable
class WorkflowLike(RunnableLike, Protocol):
    """A durable function."""

    version: str
    fn: Any

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Validate arguments and write them as one value."""
        ...
