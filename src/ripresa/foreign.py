"""Agents and graphs of other frameworks, where a step is expected: recognised without importing any framework.

Law: an object is recognised by the classes that it descends from. Its framework is imported already, or there would be
no such object; only then is what adapts it imported too.
"""

from __future__ import annotations

from inspect import iscoroutinefunction, isroutine
from typing import Any, Final, Literal, TypeAlias, cast

from .errors import InvalidConfig

Family: TypeAlias = Literal["pydantic-ai", "openai-agents", "langchain", "langgraph-builder"]
"""What something of another framework is."""

FAMILIES: Final[dict[tuple[str, str], Family]] = {
    ("pydantic_ai.agent.abstract", "AbstractAgent"): "pydantic-ai",
    ("agents.agent", "AgentBase"): "openai-agents",
    ("langchain_core.runnables.base", "Runnable"): "langchain",
    ("langgraph.graph.state", "StateGraph"): "langgraph-builder",
}
"""Module and name of the class that everything of a family descends from."""


def family_of(thing: object) -> Family | None:
    """The framework that an object comes from; None for everything else, classes among it."""
    return None if isinstance(thing, type) or isroutine(thing) else _family(type(thing))


def _family(of: type) -> Family | None:
    for kind in of.__mro__:
        found = FAMILIES.get((kind.__module__, kind.__name__))
        if found is not None:
            return found
    return None


def is_agent_like(thing: object) -> bool:
    """Whether something is no function but has `async run(input, ctx)`."""
    return not callable(thing) and iscoroutinefunction(getattr(thing, "run", None))


def no_object(kind: type, op: str) -> InvalidConfig:
    """A class stands where one of its objects is wanted."""
    name = kind.__name__
    return InvalidConfig(f"{name} is a class, not an agent", op=op, hint=f"make one of it: {name}(...)")


def adopted(thing: Any) -> Any:
    """Something of another framework, or an object with `async run(input, ctx)`, as a step; all else as it is.

    Raises `InvalidConfig`, or `RipresaError(framework_unsupported)`, for what is recognised and cannot be run.
    """
    if isinstance(thing, type) and _family(thing) is not None:
        raise no_object(thing, "agent")
    if family_of(thing) is None and not is_agent_like(thing):
        return thing
    from .agents.agent import agent

    return agent(cast("Any", thing))
