"""Compiled graphs of LangGraph as steps: what each of their supersteps did is journaled, and not done again.

Law: a graph runs one superstep at a time, each inside a journaled call whose result is what the graph told its
checkpointer meanwhile. The next attempt tells a fresh checkpointer the same, and the graph goes on from there. This
module is imported for graphs of LangGraph alone, which is imported then.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NotRequired, Required, Union, cast, get_args, get_origin

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.constants import START
from langgraph.errors import EmptyInputError, InvalidUpdateError
from langgraph.types import Command
from pydantic import TypeAdapter, ValidationError
from typing_extensions import ReadOnly, override

from ..authoring.encoding import decode, encode
from ..authoring.fit import hints_of
from ..authoring.function import Workflow, workflow
from ..authoring.step import Options, Step, step
from ..context import current
from ..core.durations import seconds
from ..errors import InvalidValue, RipresaError
from ..function_context import Context
from .adapting import Adapting, journaled, named, unsupported
from .runnables import Meter, text_in

MOST: Final = 10_000
"""Supersteps that a graph may take that says nothing else (`graph.with_config(recursion_limit=...)`)."""

INTERRUPT: Final = "__interrupt__"
THREAD: Final = "ripresa"
_KEYS: Final = ("thread_id", "checkpoint_ns", "checkpoint_id")


@dataclass(frozen=True, slots=True)
class Wait:
    """What a graph asks with `interrupt(about)`, as JSON text."""

    id: str
    about: str


@dataclass(frozen=True, slots=True)
class Superstep:
    """What one superstep did: what the graph told its checkpointer, and its values if it told them, as JSON text."""

    told: list[str]
    values: str = ""
    done: bool = False
    waits: list[Wait] = field(default_factory=list[Wait])


@dataclass(slots=True)
class GraphTalk:
    """How far a graph has come: what it told its checkpointer, what it waits for, and its values."""

    told: list[str] = field(default_factory=list[str])
    waits: list[Wait] = field(default_factory=list[Wait])
    values: str = "null"
    steps: int = 0


class JournalSaver(InMemorySaver):
    """A checkpointer that notes what it is told, so that another can be told the same."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.told: list[str] = []

    @override
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        values = {name: each for name, each in checkpoint["channel_values"].items() if name in new_versions}
        self._note("put", config, {**checkpoint, "channel_values": values}, metadata, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)

    @override
    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self._note("put_writes", config, list(writes), task_id, task_path)
        super().put_writes(config, writes, task_id, task_path)

    def _note(self, what: str, config: RunnableConfig, *given: Any) -> None:
        known = config.get("configurable") or {}
        kept = {"configurable": {key: known[key] for key in _KEYS if key in known}}
        kind, text = self.serde.dumps_typed([what, kept, *given])
        self.told.append(f"{kind}:{b64encode(text).decode()}")

    def tell(self, told: Sequence[str]) -> None:
        """Let it be told what another was told."""
        for each in told:
            kind, _, text = each.partition(":")
            what, config, *given = self.serde.loads_typed((kind, b64decode(text)))
            if what == "put":
                super().put(config, *given)
            else:
                super().put_writes(config, *given)


class Going:
    """A graph that goes on from where it stopped."""

    def __init__(self, graph: Any, adapting: Adapting) -> None:
        self.graph = graph
        self.adapting = adapting
        patience = adapting.patience
        self.options = Options("superstep", timeout=None if patience is None else seconds(patience, "patience"))
        config: dict[str, Any] = graph.config or {}
        self.most = int(config.get("recursion_limit", MOST))

    async def go_on(self, talk: GraphTalk, given: Any, deps: Any) -> GraphTalk:
        """Go on until the graph ends or waits. Raises `RipresaError(agent_limit)` where it does neither."""
        saver = JournalSaver()
        saver.tell(talk.told)
        graph = self.graph.copy({"checkpointer": saver})
        while True:
            if talk.steps == self.most:
                raise _endless(self.graph, self.most)
            talk.steps += 1
            found = await self._superstep(graph, saver, given, deps, talk.steps)
            talk.told += found.told
            talk.values = found.values or talk.values
            talk.waits = found.waits
            if found.done or found.waits:
                return talk
            given = None

    async def _superstep(self, graph: Any, saver: JournalSaver, given: Any, deps: Any, number: int) -> Superstep:
        performed: list[bool] = []

        async def perform(_: Any) -> Superstep:
            performed.append(True)
            return await self._performed(graph, saver, given, deps)

        asked = {"number": number, "given": given.resume if isinstance(given, Command) else given}
        found: Superstep = await journaled("superstep", perform, self.options, Superstep, asked)
        if not performed:
            saver.tell(found.told)
        return found

    async def _performed(self, graph: Any, saver: JournalSaver, given: Any, deps: Any) -> Superstep:
        _check(graph, given)
        context, meter = current(), Meter()
        await context.ensure()
        config: RunnableConfig = {"configurable": {"thread_id": THREAD}, "callbacks": [meter]}
        modes = ["updates", "values", *(["messages"] if self.adapting.stream else [])]
        options = {} if deps is None else {"context": deps}
        before, values = len(saver.told), ""
        try:
            async for mode, told in graph.astream(
                given, config, stream_mode=modes, interrupt_after="*", durability="sync", **options
            ):
                if mode == "updates":
                    for node in told:
                        if not node.startswith("__"):
                            context.progress(0, message=str(node))
                elif mode == "values":
                    values = encode(_told(told)).decode()
                else:
                    context.write(text_in(told[0]))
        except (EmptyInputError, InvalidUpdateError) as error:
            if isinstance(error, InvalidUpdateError) and not any(START in each for each in _notes(error)):
                raise  # a node gave what cannot be
            why = str(error).partition("\n")[0]
            raise InvalidValue(why, code="invalid_input", where=str(graph.name), hint=_takes(graph)) from None
        finally:
            meter.count()
        state = await graph.aget_state(config)
        waits = [Wait(each.id, encode(each.value).decode()) for each in state.interrupts]
        return Superstep(saver.told[before:], values, not state.next, waits)


def _notes(error: BaseException) -> list[str]:
    """What LangGraph adds to an error: in which task it was raised."""
    return getattr(error, "__notes__", [])


def _check(graph: Any, given: Any) -> None:
    """Raise `InvalidValue` that names the field of an input that has the wrong type, where that is a plain one.

    LangGraph does not look, and a node would fail of it. Messages and the like are for their reducers to read.
    """
    kind = _schema(graph)
    fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    for name, hint in hints_of(kind).items() if kind is not None else ():
        if name not in fields or not _is_plain(hint):
            continue
        try:
            TypeAdapter(_bare(hint)).validate_json(encode(fields[name]), strict=True)
        except ValidationError as error:
            wrong = error.errors()[0]
            path = ".".join(map(str, (name, *wrong["loc"])))
            raise InvalidValue(
                f"{path}: {wrong['msg']}", code="invalid_input", where=f"{graph.name}.{path}", hint=_takes(graph)
            ) from None


def _bare(hint: Any) -> Any:
    """A hint without its reducer, and without whether it must be given."""
    while get_origin(hint) in (Annotated, Required, NotRequired, ReadOnly):
        hint = get_args(hint)[0]
    return hint


def _is_plain(hint: Any) -> bool:
    """Whether values of a type are the same as JSON and as Python."""
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return True
    if get_origin(hint) in (list, dict, Union, UnionType):
        return all(map(_is_plain, get_args(hint)))
    return hint in (str, int, float, bool, NoneType)


def _schema(graph: Any) -> Any:
    return getattr(getattr(graph, "builder", None), "input_schema", None)


def _takes(graph: Any) -> str:
    """What a graph takes, as far as it says."""
    kind = _schema(graph)
    return "" if kind is None else f"it takes {kind.__name__}: {', '.join(hints_of(kind))}"


def _told(values: Any) -> Any:
    """The values without what says that it waits."""
    if not isinstance(values, dict) or INTERRUPT not in values:
        return values  # pyright: ignore[reportUnknownVariableType]
    fields = dict(cast("dict[str, Any]", values))
    del fields[INTERRUPT]
    return fields


def graph_step(found: Any, name: str, adapting: Adapting) -> Step[[Any], Any]:
    """A compiled graph as a step that ends with its values."""
    called = named(None, name, "graph" if found.name == "LangGraph" else found.name)
    going = Going(found, adapting)

    async def perform(input: Any) -> Any:
        given = input if adapting.prompt is None else adapting.prompt(input)
        talk = await going.go_on(GraphTalk(), given, await adapting.dependencies())
        if talk.waits:
            about = ", ".join(each.about for each in talk.waits)
            raise unsupported("langgraph", f"{called} waits for people: {about}", f"use supervised({called})")
        return decode(talk.values.encode())

    return adapting.step(called, perform, Any, Any)


@dataclass(frozen=True, slots=True)
class Answers:
    """What people answered to what a graph asks, by the ids of its interrupts, as JSON text."""

    by_id: dict[str, str]


def supervised_graph(found: Any, name: str | None, form: Any, options: Mapping[str, Any]) -> Workflow[[Any], Any]:
    """A compiled graph as a workflow that asks people what it asks with `interrupt`, and goes on with the answers."""
    called = named(None, name or "", "graph" if found.name == "LangGraph" else found.name)
    going = Going(found, Adapting())

    async def begin(input: Any) -> GraphTalk:
        return await going.go_on(GraphTalk(), input, None)

    async def answer(talk: GraphTalk, answers: Answers) -> GraphTalk:
        resume = {id: decode(text.encode()) for id, text in answers.by_id.items()}
        return await going.go_on(talk, Command(resume=resume), None)

    begins, answers = step(name="begin")(begin), step(name="answer")(answer)

    async def run(ctx: Context, input: Any) -> Any:
        talk = await begins(input)
        while talk.waits:
            said = {wait.id: await _answered(ctx, called, wait, form, options) for wait in talk.waits}
            talk = await answers(talk, Answers(said))
        return decode(talk.values.encode())

    run.__annotations__ = {"ctx": Context, "input": Any, "return": Any}
    return workflow(name=called)(run)


async def _answered(ctx: Context, name: str, wait: Wait, form: Any, options: Mapping[str, Any]) -> str:
    """What people answer, as JSON text: what they filled in, or whether they granted it."""
    about = decode(wait.about.encode())
    question = about if isinstance(about, str) and about else f"What shall {name} go on with?"
    if form is None:
        return encode((await ctx.approval(question, about, name=name, **options)).granted).decode()
    decision = await ctx.approval(question, about, form=form, name=name, **options)
    return encode(decision.form if decision.granted else False).decode()


def _endless(graph: Any, most: int) -> RipresaError:
    return RipresaError(
        f"{graph.name} did not come to an end within {most} supersteps",
        code="agent_limit",
        op="agent",
        hint="raise it: graph.with_config(recursion_limit=...)",
    )
