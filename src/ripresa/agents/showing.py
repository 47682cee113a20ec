"""`as_runnable`: one of our flows for LangChain and LangGraph, which are imported when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RipresaError

if TYPE_CHECKING:
    from ..app import App
    from .runnables import FlowRunnable


def as_runnable(flow: Any, /, *, app: App | None = None) -> FlowRunnable[Any, Any]:
    """A step, flow or workflow as a runnable of LangChain: a node of a LangGraph graph, a part of an LCEL chain.

    It has `invoke`, `ainvoke`, `stream`, `astream`, `batch` and `abatch`. Without an app it runs in memory; with one
    each call is a run of its own, of the id that `config["configurable"]["ripresa_run"]` says, if it does. Raises
    `InvalidConfig`, and `RipresaError(extra_missing)` where langchain-core is not installed.
    """
    try:
        from .runnables import shown
    except ImportError as error:
        raise RipresaError(
            "langchain-core is not installed", code="extra_missing", op="as_runnable", hint="pip install langgraph"
        ) from error
    return shown(flow, app)
