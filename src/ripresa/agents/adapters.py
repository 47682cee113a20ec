"""Which adapter an object of another framework is handed to; each is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from ..authoring.options import bad_names, refuse
from ..authoring.step import Step
from ..foreign import family_of
from .adapting import Adapting, unsupported
from .agent import OF_STEPS

_OURS: Final = frozenset(each.name for each in fields(Adapting)) - {"options"}


def adapt(found: Any, name: str, options: Mapping[str, Any]) -> Step[[Any], Any]:
    """Something of a framework as a step. Raises `InvalidConfig` that names every bad option."""
    known = ("name", *sorted(_OURS), *OF_STEPS)
    refuse("agent", bad_names(options, "agent", known), where=name)
    ours = {key: value for key, value in options.items() if key in _OURS}
    rest = {key: value for key, value in options.items() if key not in _OURS}
    adapting = Adapting(**ours, options=rest).checked(name)
    match family_of(found):
        case "pydantic-ai":
            from .pydantic_agents import pydantic_step

            return pydantic_step(found, name, adapting)
        case "openai-agents":
            from .openai_agents import openai_step

            return openai_step(found, name, adapting)
        case "langchain":
            from .runnables import runnable_step

            return runnable_step(found, name, adapting)
        case _:
            raise unsupported("langgraph", f"{type(found).__name__} cannot be run", "give what compile() makes of it")
