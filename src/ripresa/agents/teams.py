"""Teams: several agents, steps or flows that talk with one another, as durable functions.

Law: every turn is a call that is journaled, and what was said is handed from turn to turn as a `Meeting`. Each team is
bounded, and records who sent what to whom.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, overload

from ..authoring.document.recipe import Recipe
from ..authoring.function import Workflow, workflow
from ..authoring.options import bad_count, bad_predicate, check_name, refuse
from ..authoring.routing import Handoff
from ..core.calling import told
from ..errors import RipresaError
from ..function_context import Context
from .agent import Agent, AgentLike
from .meeting import Meeting, deciding, decision, is_handoff, members, output_of, speaking, topic_of
from .telling import Told, telling

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
T = TypeVar("T")

Part: TypeAlias = Callable[[A], Awaitable[B]] | AgentLike[A, B]
"""A member that is no `Agent`: a step, a flow, a workflow, or any object with `async run(input, ctx)`."""

Speaker: TypeAlias = Agent[A, Any] | Part[Meeting[A], object]
"""Somebody who is given the meeting and says something."""

LEAD: Final = "You lead a team. Either give one of its members a task, in full, or give the final answer:"
FLOOR: Final = "You are in the chair. Either ask one of these to speak, or end the meeting with the final answer:"
NOTHING: Final[Mapping[str, Any]] = {}
HAND: Final = "Either give the final answer, or hand the matter on to one of these, with all that they need to know:"


@told
def supervisor(
    lead: Agent[A, R] | Part[Meeting[A], Handoff[T] | R],
    /,
    *workers: Part[T, object],
    at_most: int = 20,
    name: str = "supervisor",
) -> Workflow[[A], R]:
    """A lead that gives tasks to workers, one after another, is told what they answer, and ends with its own answer.

    An `Agent` as lead chooses by itself, and its tasks are texts. Anything else is given the `Meeting` and returns a
    `Handoff` to a worker, or the answer. After `at_most` tasks it fails with `too_many_transitions`; a worker that
    fails, fails the team. A worker may be a team. Raises `InvalidConfig`.
    """
    first, *others = members((lead, *workers), "supervisor")
    refuse("supervisor", bad_count(at_most, "at_most"), None if others else "there are no workers", where=name)
    led = deciding(first, {each.name: each.about for each in others}, LEAD, _decided(name, "delegate"))
    working = {each.name: telling(each.link, each.name, _sends(first.name, "reply")) for each in others}

    run = _led(led, name, first.name, working, at_most)
    said = {"lead": first.link, "workers": [each.link for each in others]}
    return _said(_team(run, name, topic_of(first), output_of(first)), "supervisor", said, _more(at_most, 20))


@told
def handoff(
    first: Agent[A, R] | Part[Meeting[A], Handoff[str] | R],
    /,
    *others: Agent[A, R] | Part[Meeting[A], Handoff[str] | R],
    at_most: int = 10,
    name: str = "handoff",
) -> Workflow[[A], R]:
    """A swarm: one member is active at a time, and either answers or hands the matter on to another, with a word.

    All are given the `Meeting`: what the team was asked and what was said at each handoff. An `Agent` chooses by
    itself; anything else returns the answer, or `Handoff(name, text)`. After `at_most` turns it fails with
    `too_many_transitions`. Raises `InvalidConfig`.
    """
    team = members((first, *others), "handoff")
    refuse("handoff", bad_count(at_most, "at_most"), None if others else "there is nobody to hand on to", where=name)
    turns = {
        each.name: deciding(
            each,
            {other.name: other.about for other in team if other is not each},
            HAND,
            _decided(name, "handoff"),
        )
        for each in team
    }

    async def run(ctx: Context, topic: Any) -> Any:
        meeting, active = Meeting(topic), team[0].name
        for _ in range(at_most):
            found = decision(await turns[active](meeting))
            if not is_handoff(found):
                return found
            _known(found.to, turns, name)
            meeting, active = meeting.says(active, found.to, found.value), found.to
        raise _endless(name, at_most)

    made = _team(run, name, topic_of(team[0]), output_of(team[0]))
    return _said(made, "handoff", {"members": [each.link for each in team]}, _more(at_most, 10))


# --- talking to all


@overload
def group_chat(
    *speakers: Speaker[A], until: Callable[[Meeting[A]], bool] | None = ..., at_most: int, name: str = ...
) -> Workflow[[A], Meeting[A]]: ...
@overload
def group_chat(
    *speakers: Speaker[A],
    chair: Agent[A, R] | Part[Meeting[A], Handoff[str] | R],
    at_most: int,
    name: str = ...,
) -> Workflow[[A], R]: ...
@told
def group_chat(
    *speakers: Any,
    chair: Any = None,
    until: Callable[[Meeting[Any]], bool] | None = None,
    at_most: int,
    name: str = "group_chat",
) -> Workflow[..., Any]:
    """Speakers who hear everything, one after another.

    Without a `chair` they take turns: `at_most` of them, or until `until` holds (a plain function that only looks at
    the meeting); the result is the `Meeting`. A `chair` gives the floor to one after the other, as the lead of a
    `supervisor` does, and ends with its own answer, or fails with `too_many_transitions`. Raises `InvalidConfig`.
    """
    found = members((*speakers, *([] if chair is None else [chair])), "group_chat")
    talking = found if chair is None else found[:-1]
    refuse(
        "group_chat",
        bad_count(at_most, "at_most"),
        None if talking else "there are no speakers",
        None if until is None else bad_predicate(until, "until"),
        None if chair is None or until is None else "until is for chats without a chair, who decides when it ends",
        where=name,
    )
    speak = {each.name: speaking(each, name, "broadcast") for each in talking}

    async def take_turns(ctx: Context, topic: Any) -> Any:
        meeting, names = Meeting(topic), list(speak)
        for turn in range(at_most):
            speaker = names[turn % len(names)]
            meeting = meeting.says(speaker, name, await speak[speaker](meeting))
            if until is not None and until(meeting):
                break
        return meeting

    if chair is None:
        topic = topic_of(talking[0])
        chat = _team(take_turns, name, topic, Meeting[topic])  # type: ignore[valid-type] # a type that is known here
        things = {} if until is None else {"until": until}
        return _said(chat, "group_chat", {"speakers": [each.link for each in talking]}, {"at_most": at_most}, things)
    led = deciding(found[-1], {each.name: each.about for each in talking}, FLOOR, _decided(name, "delegate"))

    be_led = _led(led, name, found[-1].name, speak, at_most, aloud=True)
    links = {"speakers": [each.link for each in talking], "chair": found[-1].link}
    chaired = _team(be_led, name, topic_of(found[-1]), output_of(found[-1]))
    return _said(chaired, "group_chat", links, {"at_most": at_most})


@told
def debate(
    *debaters: Speaker[A],
    judge: Agent[A, R] | Part[Meeting[A], R],
    rounds: int = 2,
    name: str = "debate",
) -> Workflow[[A], R]:
    """Debaters speak side by side, in rounds, each having heard all rounds before; then the judge answers.

    The judge is given the whole `Meeting`. Raises `InvalidConfig`.
    """
    *sides, last = members((*debaters, judge), "debate")
    refuse("debate", bad_count(rounds, "rounds"), None if len(sides) > 1 else "there is nobody to debate", where=name)
    speak = {each.name: speaking(each, name, "broadcast") for each in sides}
    judged = speaking(last, name, "reply")

    async def run(ctx: Context, topic: Any) -> Any:
        meeting = Meeting(topic)
        for _ in range(rounds):
            heard = await ctx.gather(*(link(meeting) for link in speak.values()))
            for speaker, said in zip(speak, heard, strict=True):
                meeting = meeting.says(speaker, name, said)
        return await judged(meeting)

    links = {"debaters": [each.link for each in sides], "judge": last.link}
    more = {} if rounds == 2 else {"rounds": rounds}
    return _said(_team(run, name, topic_of(last), output_of(last)), "debate", links, more)


# --- what they share


def _team(run: Any, name: str, topic: Any, output: Any) -> Workflow[[Any], Any]:
    refuse("team", check_name(name, "name"))
    run.__annotations__ = {"ctx": Context, "topic": topic, "return": output}
    return workflow(name=name)(run)


def _said(
    made: Workflow[[Any], Any],
    kind: str,
    links: Mapping[str, Any],
    more: Mapping[str, Any],
    things: Mapping[str, Any] = NOTHING,
) -> Workflow[[Any], Any]:
    """A team that knows how a document makes it."""
    made.recipe = Recipe(kind, lambda: made, dict(more).copy, links=links, things=things)
    return made


def _more(at_most: int, usual: int) -> dict[str, Any]:
    return {} if at_most == usual else {"at_most": at_most}


def _led(led: Any, team: str, lead: str, links: Mapping[str, Any], at_most: int, *, aloud: bool = False) -> Any:
    """A lead that says who is next, until it answers.

    Whoever is next is given the task and answers the lead; `aloud`: is given the meeting and speaks to the team.
    """

    async def run(ctx: Context, topic: Any) -> Any:
        meeting = Meeting(topic)
        for left in reversed(range(at_most + 1)):
            found = decision(await led(meeting))
            if not is_handoff(found):
                return found
            member = _known(found.to, links, team)
            if left:
                meeting = meeting.says(lead, found.to, found.value)
                said = await member(meeting if aloud else found.value)
                meeting = meeting.says(found.to, team if aloud else lead, said)
        raise _endless(team, at_most)

    return run


def _sends(to: str, kind: str) -> Callable[[Any], Iterable[Told]]:
    return lambda result: ((to, kind, result),)


def _decided(team: str, kind: str) -> Callable[[Any], Iterable[Told]]:
    """What a decision tells: a task to whom it goes, an answer to the team."""

    def told(result: Any) -> Iterable[Told]:
        found = decision(result)
        if is_handoff(found):
            return ((found.to, kind, found.value),)
        return ((team, "reply", found),)

    return told


def _known(to: str, links: Mapping[str, Any], team: str) -> Any:
    if to not in links:
        raise RipresaError(
            f"{team} has no member {to!r} to hand on to",
            code="no_case",
            op="team",
            where=team,
            hint=f"there are {', '.join(links)}",
        )
    return links[to]


def _endless(team: str, at_most: int) -> RipresaError:
    return RipresaError(
        f"{team} did not come to an end within {at_most} turns",
        code="too_many_transitions",
        op="team",
        where=team,
        hint="raise at_most, or mend the instructions of its members",
    )
