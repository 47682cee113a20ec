"""Agents and graphs of other frameworks, where a step is expected: recognised without importing any framework.

Law: an object is recognised by the classes that it descends from. Its framework is imported already, or there would be
no such object; only then is what adapts it imported too.
"""

from __future__ import annotations

from inspect import iscoroutinefunction, isroutine
from typing import Any, Final, Literal, TypeAlias

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
    if isinstance(thing, type) or isroutine(thing):
        return None
    for kind in type(thing).__mro__:
        found = FAMILIES.get((kind.__module__, kind.__name__))
        if found is not None:
            return found
    return None


def is_agent_like(thing: object) -> bool:
    """Whether something is no function but has `async run(input, ctx)`."""
    return not callable(thing) and iscoroutinefunction(getattr(thing, "run", None))


def adopted(thing: Any) -> Any:
    """Something of another framework, or an object with `async run(input, ctx)`, as a step; all else as it is.

    Raises `InvalidConfig`, or `RipresaError(framework_unsupported)`, for what is recognised and cannot be run.
    """
    if family_of(thing) is None and not is_agent_like(thing):
        return thing
    from .agents.agent import agent

    return agent(thing)
