"""`supervised`: an agent whose tools ask people first, as a durable function that waits as long as it takes.

A step cannot wait for days. So the agent's step ends where people have to be asked, with the conversation as its
result, and the next one goes on from there: nothing is repeated, and a run that waits costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, overload

from ..authoring.encoding import decode, encode
from ..authoring.function import Workflow, workflow
from ..authoring.options import refuse
from ..authoring.protocols import Invocable
from ..authoring.step import Options, step
from ..core.calling import told
from ..core.durations import Duration
from ..foreign import family_of
from ..function_context import Context
from ..messages import Approval
from ..steps.recipes import plain_config
from ..steps.saying import not_sayable
from ..terms import Expiry
from .agent import Agent
from .replying import replied
from .turns import Talk

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Turned:
    """How far an agent has come: its answer as JSON text, or the conversation in which people are to be asked."""

    answer: str
    talk: Talk


@dataclass(frozen=True, slots=True)
class Asked:
    """What people are shown: the tool that an agent wants to use, and the arguments, as the model wrote them."""

    agent: str
    tool: str
    arguments: Any


@overload
def supervised(
    made: Agent[A, R],
    /,
    *,
    name: str | None = ...,
    assignees: Sequence[str] = ...,
    quorum: int = ...,
    timeout: Duration | None = ...,
    expiry: Expiry = ...,
) -> Workflow[[A], R]: ...
@overload
def supervised(
    made: Invocable[A, R],
    /,
    *,
    form: type[Any] | None = ...,
    name: str | None = ...,
    assignees: Sequence[str] = ...,
    quorum: int = ...,
    timeout: Duration | None = ...,
    expiry: Expiry = ...,
) -> Workflow[[A], R]: ...
@told
def supervised(
    made: Any,
    /,
    *,
    form: type[Any] | None = None,
    name: str | None = None,
    assignees: Sequence[str] = (),
    quorum: int = 1,
    timeout: Duration | None = None,
    expiry: Expiry = "fail",
) -> Workflow[[Any], Any]:
    """The agent as a workflow that asks people before each call of a tool with `approval=`.

    They are shown the tool and the very arguments that it is called with. What they reject the model is told, with
    their comment. An agent with such tools that is used as it is does the same, without assignees and for as long as it
    takes; here it is said who is asked, and for how long. The options are those of `ctx.approval`; the name is the
    agent's. Of a compiled graph of LangGraph people are asked what it asks with `interrupt`: it goes on with what they
    fill in where there is a `form`, else with whether they granted it.

    Raises `InvalidConfig` for an agent none of whose tools asks.
    """
    options: dict[str, Any] = {"assignees": assignees, "quorum": quorum, "timeout": timeout, "expiry": expiry}
    if hasattr(made, "checkpointer") and family_of(made) == "langchain":
        from .langgraph_graphs import supervised_graph

        return supervised_graph(made, name, form, options)
    refuse(
        "supervised",
        None if isinstance(made, Agent) else f"{made!r} is no agent and no compiled graph",
        None if form is None else f"form is {form!r}: what tools ask is answered by yes or no",
    )
    return _of_agent(cast("Agent[Any, Any]", made), name, options)


def _of_agent(made: Agent[Any, Any], name: str | None, options: dict[str, Any]) -> Workflow[[Any], Any]:
    refuse("supervised", None if made.talker.asks else f"no tool of {made.name} asks for approval", where=made.name)

    async def turns(talk: Talk) -> Turned:
        answer = await made.go_on(talk)
        return Turned("" if talk.asks else encode(answer, made.output).decode(), talk)

    own = made.options
    going_on = step(name="turns", timeout=own.timeout, concurrency=own.concurrency, hooks=own.hooks, pool=own.pool)(
        turns
    )

    async def run(ctx: Context, input: Any) -> Any:
        turned = await going_on(made.begin(input))
        while turned.talk.asks:
            talk = turned.talk
            for index, call in enumerate(talk.asks):
                place, shown = str(index), Asked(made.name, call.name, _readable(call.arguments))
                question = talk.questions.get(call.name, made.talker.known.asking.get(call.name, ""))
                if place in talk.halts:
                    told = {"agent": made.name, "tool": call.name, "arguments": shown.arguments}
                    talk.replies[place] = await replied(ctx, call.name, told, talk.halts[place], options)
                elif question and place not in talk.granted:
                    talk.granted[place] = await _decided(ctx, question, shown, options)
            turned = await going_on(talk)
        return decode(turned.answer.encode(), made.output)

    run.__annotations__ = {"ctx": Context, "input": made.input, "return": made.output}
    found: Workflow[[Any], Any] = workflow(name=name or made.name)(run)
    said = {key: value for key, value in options.items() if value not in ((), 1, None, "fail")}

    def config() -> dict[str, Any]:
        if own != Options(made.name):
            raise not_sayable(made.name, "options beside those of supervised", own)
        return {**made.recipe.config(), "approval": plain_config(made.name, said)}

    found.recipe = replace(made.recipe, config=config, make=lambda: found)
    return found


async def _decided(ctx: Context, question: str, asked: Asked, options: dict[str, Any]) -> str:
    """Empty if people grant a call, else why not."""
    decision: Approval[None] = await ctx.approval(question, asked, name=asked.tool, **options)
    if decision.granted:
        return ""
    who = ", ".join(decision.by) or "nobody answered in time, which"
    return f"{who} said no" + (f": {decision.comment}" if decision.comment else "")


def _readable(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
