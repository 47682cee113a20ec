"""A link that starts a run of its own of a flow and goes on: whatever becomes of that run concerns this one no more.

Law: the run begins once, through the outbox, if and only if the link's completion is recorded.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any, ParamSpec, TypeVar, cast, overload

from ..context import current
from ..core.calling import told
from ..errors import InvalidConfig
from ..foreign import adopted
from .call import shortened
from .flow import Runnable
from .function import Workflow
from .protocols import Invocable, OpenAIAgent, OwnAgent, PydanticAgent
from .step import Options, Step

A = TypeVar("A")
P = ParamSpec("P")

_ONE = Signature([Parameter("input", Parameter.POSITIONAL_ONLY)])


@overload
def detached(flow: Runnable[P, Any] | Step[P, Any], /, *, name: str | None = ...) -> Step[P, str]: ...
@overload
def detached(flow: PydanticAgent[str, Any] | OpenAIAgent, /, *, name: str | None = ...) -> Step[[str], str]: ...
@overload
def detached(flow: OwnAgent[A, Any], /, *, name: str | None = ...) -> Step[[A], str]: ...
@overload
def detached(flow: Invocable[A, Any], /, *, name: str | None = ...) -> Step[[A], str]: ...
@told
def detached(flow: Any, /, *, name: str | None = None) -> Step[..., str]:
    """A step that starts a run of a flow, workflow or step with what it is given, and returns the id of that run.

        chain(order).then(detached(newsletter))

    It takes what the flow takes, and stands wherever a step can: in chains, graphs, branches and durable functions.
    The run begins once, when the step's completion is recorded, and outlives the one that started it. To wait for a
    run, or to close it with its parent, start it in a durable function: `ctx.start`. Its `name` is `start_` and that
    of the flow if none is given. Raises `InvalidConfig` for what cannot be run.
    """
    found: Any = adopted(flow)
    if not isinstance(found, Runnable | Step):
        raise InvalidConfig(f"{shortened(flow)} cannot be run: give a flow, a workflow or a step", op="detached")
    return _starting(cast("Runnable[..., Any] | Step[..., Any]", found), name)


def _starting(flow: Runnable[P, Any] | Step[P, Any], name: str | None) -> Step[P, str]:
    parameters = flow.parameters if isinstance(flow, Step | Workflow) else None
    signature = _ONE if parameters is None else parameters.signature
    kinds = {"input": flow.input_type} if isinstance(flow, Runnable) and parameters is None else {}

    async def start(*args: P.args, **kwargs: P.kwargs) -> str:
        return current().start(flow(*args, **kwargs))

    begins: Any = start
    begins.__signature__ = signature.replace(return_annotation=str)
    begins.__annotations__ = (kinds if parameters is None else dict(parameters.hints)) | {"return": str}
    begins.__doc__ = f"Start a run of {flow.name}."
    begins.__qualname__ = begins.__name__ = name or f"start_{flow.name}"
    return Step(start, Options(name or f"start_{flow.name}"))
