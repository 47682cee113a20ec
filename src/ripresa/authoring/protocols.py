"""The small contracts behind chains, graphs and workflows: whoever has these methods can stand in for ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from ..context import StepContext

A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Answered(Protocol[R_co]):
    """What an agent of pydantic-ai gives."""

    @property
    def output(self) -> R_co:
        """Its answer."""
        ...


class PydanticAgent(Protocol[A_contra, R_co]):
    """An agent of pydantic-ai, which takes a text; for type checkers, which need not have it installed."""

    def run(self, user_prompt: A_contra, /, *, deps: Any) -> Awaitable[Answered[R_co]]:
        """Run to the end."""
        ...


class OpenAIAgent(Protocol):
    """An agent of the OpenAI Agents SDK; for type checkers."""

    name: str
    handoffs: Any
    model_settings: Any
    output_type: Any


class OwnAgent(Protocol[A_contra, R_co]):
    """An object of one's own that runs like an agent; for type checkers."""

    def run(self, input: A_contra, ctx: StepContext, /) -> Awaitable[R_co]:
        """Do the work."""
        ...


class Invocable(Protocol[A_contra, R_co]):
    """A runnable of LangChain, such as a compiled graph of LangGraph; for type checkers.

    It is known by the method that no runnable overloads.
    """

    def atransform(self, input: AsyncIterator[A_contra], /) -> AsyncIterator[R_co]:
        """Run for what comes."""
        ...


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
