"""A meeting: what a team was asked and what has been said so far; and how agents take part in one.

Law: a meeting is plain data that is handed from turn to turn, so it is in the journal, and nobody remembers anything
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from inspect import getdoc
from typing import Any, Final, Generic, Literal, cast, get_args, get_origin

from pydantic import create_model
from typing_extensions import TypeIs, TypeVar

from ..authoring.fit import fits, union
from ..authoring.fit import members as parts_of
from ..authoring.fit import named as said_of
from ..authoring.flow import Runnable, as_links
from ..authoring.options import refuse
from ..authoring.routing import Handoff
from ..authoring.step import Step
from ..foreign import family_of
from ..steps.conversation import Message
from ..steps.forms import Form
from .agent import Agent, AgentLike, agent, as_text
from .telling import Told, telling
from .turns import Talk

A = TypeVar("A", default=Any)

GO_ON: Final = "Go on."
"""What an agent is told that spoke last."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said to somebody, by name; `text` is JSON where it was no text."""

    by: str
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Meeting(Generic[A]):
    """What a team was asked, and what has been said so far, in order."""

    topic: A
    said: tuple[Said, ...] = ()

    @property
    def text(self) -> str:
        """All of it, for prompts: the topic, and a paragraph for each thing that was said."""
        return "\n\n".join([as_text(self.topic), *map(_line, self.said)])

    def says(self, by: str, to: str, content: object) -> Meeting[A]:
        """The meeting after one more thing was said."""
        return replace(self, said=(*self.said, Said(by, to, as_text(content))))


def _line(said: Said) -> str:
    return f"{said.by} to {said.to}: {said.text}"


@dataclass(frozen=True, slots=True)
class Decided(Generic[A]):
    """What an agent decided: a task for somebody, or its answer, where it names nobody."""

    to: str = ""
    task: str = ""
    reason: str = ""
    answer: A | None = None


def decision(found: Any) -> Any:
    """What a member decided: a `Handoff`, or its answer."""
    if not is_decided(found):
        return found
    return Handoff(found.to, found.task, found.reason) if found.to else found.answer


def is_decided(found: object) -> TypeIs[Decided[Any]]:
    """Whether an agent decided this."""
    return isinstance(found, Decided)


# --- the members


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a team: a link with a name, and what is said of it to agents that may choose it."""

    name: str
    link: Any
    about: str = ""


def members(found: Iterable[Any], op: str) -> list[Member]:
    """The members of a team: agents, steps, flows, and objects with `async run(input, ctx)`.

    Raises `InvalidConfig` for anything else, and where two have one name.
    """
    links = as_links(tuple(map(_as_link, found)), op)
    names = [link.name for link in links]
    twice = sorted({name for name in names if names.count(name) > 1})
    refuse(op, f"several members are named {', '.join(twice)}: they are told apart by name" if twice else None)
    return [Member(link.name, link, _about(link)) for link in links]


def is_agent(found: object) -> TypeIs[Agent[Any, Any]]:
    """Whether something is an `Agent`, which is told who is in the team."""
    return isinstance(found, Agent)


def is_handoff(found: object) -> TypeIs[Handoff[Any]]:
    """Whether a member named the next."""
    return isinstance(found, Handoff)


def _as_link(found: Any) -> Any:
    if isinstance(found, Step | Runnable):
        return cast("Any", found)
    is_other = family_of(found) is not None or callable(getattr(found, "run", None))
    return agent(cast("AgentLike[Any, Any]", found)) if is_other else found


def _about(link: Any) -> str:
    told = (link.role or link.instructions) if is_agent(link) else getdoc(getattr(link, "fn", None))
    return (told or "").strip().partition("\n")[0]


def topic_of(member: Member) -> Any:
    """The type of the topics that a member takes, as far as it says."""
    link: Any = member.link
    if is_agent(link):
        return link.input
    kind = link.parameters.input_type if isinstance(link, Step) else link.input_type
    origin = get_origin(kind) or kind
    return next(iter(get_args(kind)), Any) if origin is Meeting else Any


def output_of(member: Member) -> Any:
    """The type of a member's final answers, as far as it says: handoffs are none."""
    link: Any = member.link
    if is_agent(link):
        return link.output
    kind = link.parameters.returns if isinstance(link, Step) else link.output_type
    kinds = [each for each in parts_of(kind) if (get_origin(each) or each) is not Handoff]
    return union(kinds) if kinds else Any


# --- agents in a meeting


def attending(made: Agent[Any, Any], kind: Any, form: Form | None, system: str, read: Callable[[Any], Any]) -> Any:
    """An agent as a step that is given a meeting, and answers in a form, which is read as a `kind`.

    Raises `InvalidConfig` for one whose tools ask people: a turn is a step, which cannot wait for them.
    """
    asks = f"people are asked about tools of {made.name}, so it can be a worker, but neither lead nor speak"
    refuse("team", asks if made.talker.asks else None, where=made.name)
    twin = copy(made)
    twin.talker = copy(made.talker)
    twin.talker.form = form
    told = "\n\n".join(filter(None, (made.system, system)))

    async def attend(meeting: Meeting[Any]) -> Any:
        talk = Talk(told, list(messages_for(made.name, meeting)))
        return read(await twin.go_on(talk))

    attend.__annotations__ = {"meeting": Meeting[made.input], "return": kind}  # type: ignore[name-defined]
    attend.__doc__ = made.__doc__
    return Step[..., Any](attend, made.options)


def messages_for(name: str, meeting: Meeting[Any]) -> Iterable[Message]:
    """A meeting as one member has heard it: what others said between two words of its own is one message."""
    heard = [as_text(meeting.topic)]
    for said in meeting.said:
        if said.by == name:
            yield Message("user", "\n\n".join(heard) or GO_ON)
            yield Message("model", f"(to {said.to}) {said.text}")
            heard = []
        else:
            heard.append(_line(said))
    yield Message("user", "\n\n".join(heard) or GO_ON)


def _refuse_deaf(member: Member) -> None:
    """Raise `InvalidConfig` for a member that says that it takes something that no meeting can be."""
    link: Any = member.link
    kind = link.parameters.input_type if isinstance(link, Step) else link.input_type
    deaf = not fits(Meeting, kind) and not fits(dict, kind)
    refuse(
        "team",
        f"{member.name} takes {said_of(kind)}, but is given a Meeting" if deaf else None,
        where=member.name,
        hint="let it take a Meeting; an agent of another making: agent(it, input=Meeting, prompt=lambda m: m.text)",
    )


def speaking(member: Member, to: str, kind: str) -> Any:
    """A member as a link that is given a meeting, and whose result is told to somebody."""
    link: Any = member.link
    if is_agent(link):
        link = attending(link, link.output, link.talker.form, "", lambda found: found)
    else:
        _refuse_deaf(member)
    return telling(link, member.name, lambda result: ((to, kind, result),))


def deciding(member: Member, others: Mapping[str, str], say: str, told: Callable[[Any], Iterable[Told]]) -> Any:
    """A member as a link that is given a meeting, and gives its answer or names one of the others: see `decision`.

    An agent is asked for one of both, and told who there is.
    """
    link: Any = member.link
    if is_agent(link):
        fields: Any = {"to": (Literal[tuple(others)], ...), "task": (str, ...), "reason": (str, "")}
        choice: Any = create_model("HandOn", **fields)
        listed = "\n".join(f"- {name}: {about}".removesuffix(": ") for name, about in others.items())
        form = Form(union((choice, link.output)))

        def read(found: Any) -> Any:
            handed = isinstance(found, choice)
            return Decided(found.to, found.task, found.reason) if handed else Decided(answer=found)

        link = attending(link, Decided[link.output], form, f"{say}\n{listed}", read)
    else:
        _refuse_deaf(member)
    return telling(link, member.name, told)
