"""Teams: who is next, what each is told, what is recorded, and where it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydantic_ai
import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel

from ripresa import (
    Agent,
    App,
    Handoff,
    InvalidConfig,
    Limits,
    Meeting,
    RunFailed,
    Said,
    StepContext,
    agent,
    chain,
    debate,
    fallback,
    group_chat,
    handoff,
    step,
    supervisor,
    tells,
    tool,
)
from ripresa.testing.answers import Answer, use, value
from ripresa.testing.exchanges import exchanges
from ripresa.testing.fake_model import FakeModel


@dataclass
class Report:
    text: str


class Poet:
    name = "poet"

    async def run(self, text: str, ctx: StepContext) -> str:
        return f"ode to {text}"


@step
def count(text: str) -> int:
    """Count the letters of a text."""
    return len(text)


anything: Any = 3
untyped: Any = group_chat
chair: Any = Agent("chair", input=str, output=str)
lead = Agent("lead", input=str, output=Report, model="leads", role="an editor")
researcher = Agent("researcher", input=str, output=str, model="works", role="a researcher")
editor = Agent("editor", input=str, output=str)
desk = supervisor(lead, researcher, count, Poet(), at_most=3, name="desk")


def hand(to: str, task: str) -> Answer:
    return value({"value": {"to": to, "task": task}})


def final(content: Any) -> Answer:
    return value({"value": content})


# --- supervisor


async def test_a_lead_gives_tasks_until_it_has_the_answer() -> None:
    leads = FakeModel(hand("researcher", "find"), hand("count", "moon"), hand("poet", "4"), final({"text": "done"}))
    works = FakeModel("the moon")
    async with App("memory:", models={"leads": leads, "works": works}) as app:
        handle = await app.start(desk("Why tides?"))
        assert await handle.result() == Report("done")
        assert await exchanges(handle) == [
            "lead delegate researcher",
            "researcher reply lead",
            "lead delegate count",
            "count reply lead",
            "lead delegate poet",
            "poet reply lead",
            "lead reply desk",
        ]
    assert [text["content"] for text in leads.requests[2].messages] == [
        "You are an editor.\n\nYou lead a team. Either give one of its members a task, in full, or give the final"
        " answer:\n- researcher: a researcher\n- count: Count the letters of a text.\n- poet",
        "Why tides?",
        "(to researcher) find",
        "researcher to lead: the moon",
        "(to count) moon",
        "count to lead: 4",
    ]
    assert works.requests[0].messages[-1]["content"] == "find"


async def test_a_team_has_limits_like_any_workflow_and_a_worker_may_fail() -> None:
    @step
    async def broken(task: str) -> str:
        raise ConnectionError(task)

    @step
    async def sorry(task: str) -> str:
        return f"nobody could {task}"

    team = supervisor(lead, fallback(broken, sorry, name="helper"))
    models = {"leads": FakeModel(hand("helper", "help"), final({"text": "done"})), "works": FakeModel()}
    async with App("memory:", models=models) as app:
        handle = await app.start(team("?"))
        assert await handle.result() == Report("done")
        assert (await handle.interactions())[3].content == "nobody could help"
        models["leads"].reply(hand("helper", "help"))
        with pytest.raises(RunFailed) as caught:
            await app.run(team.with_limits(Limits(tokens=20))("?"))
    assert caught.value.failure.code == "limit_exceeded"


async def test_a_lead_may_answer_with_a_list() -> None:
    lists = Agent("lists", input=str, output=list[str])
    model = FakeModel(hand("count", "a"), final(["count", "a", "b"]))
    async with App("memory:", models={"default": model}) as app:
        assert await app.run(supervisor(lists, count)("?")) == ["count", "a", "b"]


async def test_an_agent_of_another_framework_is_a_member() -> None:
    foreign: Any = pydantic_ai.Agent(
        FunctionModel(lambda messages, info: ModelResponse([TextPart("found")])), name="foreign"
    )
    speaks = agent(foreign, input=Meeting[str], prompt=lambda meeting: meeting.text, name="speaks")
    model = FakeModel(hand("foreign", "look"), final("done"))
    boss = Agent("boss", input=str, output=str)
    async with App("memory:", models={"default": model}) as app:
        handle = await app.start(supervisor(boss, foreign)("?"))
        assert await handle.result() == "done"
        assert "foreign reply boss" in await exchanges(handle)
        meeting = await app.run(group_chat(parrot, speaks, at_most=2, name="chat")("tides"))
    assert meeting.text == "tides\n\nparrot to chat: tides\n\nspeaks to chat: found"


async def test_a_lead_that_does_not_come_to_an_end_fails_the_team() -> None:
    leads = FakeModel(*[hand("count", "a")] * 4)
    async with App("memory:", models={"leads": leads}) as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(desk("?"))
    assert caught.value.failure.code == "too_many_transitions"
    assert len(leads.requests) == 4


async def test_a_step_that_leads_is_given_the_meeting() -> None:
    meetings: list[Meeting[int]] = []

    @step
    def chief(meeting: Meeting[int]) -> Handoff[int] | str:
        meetings.append(meeting)
        return "-".join(said.text for said in meeting.said) if meeting.said else Handoff("double", meeting.topic)

    @step
    async def more(number: int) -> int:
        return number + 1

    team = supervisor(chief, step(double))
    async with App("memory:") as app:
        assert await app.run(chain(more).then(team)(1)) == "2-4"
    assert meetings == [
        Meeting(2),
        Meeting(2, (Said("chief", "double", "2"), Said("double", "chief", "4"))),
    ]
    assert team.input_type is int
    assert team.output_type is str


async def test_a_team_may_work_for_another_and_people_may_be_asked_in_it() -> None:
    @tool(approval="Send this?")
    async def send(text: str) -> str:
        """Send a text."""
        return "sent"

    clerk = Agent("clerk", input=str, output=str, model="works", tools=[send])
    boss = Agent("boss", input=str, output=str, model="leads")
    office = supervisor(boss, supervisor(lead, clerk, name="desk"), name="office")
    leads = FakeModel(hand("desk", "tell ann"), hand("clerk", "send it"), final({"text": "it is sent"}), final("well"))
    async with App("memory:", models={"leads": leads, "works": FakeModel(use("send", text="hello"), "yes")}) as app:
        handle = await app.start(office("Greet Ann."))
        async for recorded in handle.events():
            if type(recorded.event).__name__ == "ApprovalRequested":
                break
        await handle.approve(by="bob")
        assert await handle.result() == "well"
        assert await exchanges(handle) == [
            "boss delegate desk",
            "lead delegate clerk",
            "clerk call send",
            "send result clerk",
            "clerk reply lead",
            "lead reply desk",
            "desk reply boss",
            "boss reply office",
        ]
    assert leads.requests[-1].messages[-1]["content"] == 'desk to boss: {"text":"it is sent"}'


def test_an_agent_that_would_have_to_ask_people_neither_leads_nor_speaks() -> None:
    @tool(approval="Send this?")
    async def send(text: str) -> str:
        """Send a text."""
        return "sent"

    asks = Agent("asks", input=str, output=str, tools=[send])
    for make in (
        lambda: supervisor(asks, count),
        lambda: group_chat(asks, at_most=1),
        lambda: handoff(asks, researcher),
    ):
        with pytest.raises(InvalidConfig, match="people are asked about tools of asks"):
            make()


async def test_an_agent_that_is_a_tool_is_told_as_a_worker() -> None:
    boss = Agent("boss", input=str, output=str, model="leads", tools=[researcher, count])
    leads = FakeModel(use("researcher", input="find"), use("count", text="moon"), "done")
    async with App("memory:", models={"leads": leads, "works": FakeModel("the moon")}) as app:
        handle = await app.start(boss("?"))
        assert await handle.result() == "done"
        assert await exchanges(handle) == [
            "boss delegate researcher",
            "researcher reply boss",
            "boss call count",
            "count result boss",
        ]


# --- handoff


async def test_members_hand_on_until_one_answers() -> None:
    triage = Agent("triage", input=str, output=Report, model="triage")
    billing = Agent("billing", input=str, output=Report, model="billing", role="who knows the bills")

    @step
    async def archive(meeting: Meeting[str]) -> Handoff[str] | Report:
        return Handoff("billing", f"order 7, says the archive about {meeting.topic}")

    swarm = handoff(triage, archive, billing, name="desk")
    first = FakeModel(hand("archive", "Which order?"))
    second = FakeModel(final({"text": "refunded"}))
    async with App("memory:", models={"triage": first, "billing": second}) as app:
        handle = await app.start(swarm("a refund"))
        assert await handle.result() == Report("refunded")
        assert await exchanges(handle) == ["triage handoff archive", "archive handoff billing", "billing reply desk"]
    assert "- billing: who knows the bills" in first.requests[0].system
    assert "- triage\n- archive" in second.requests[0].system
    assert second.requests[0].prompt == (
        "a refund\n\ntriage to archive: Which order?\n\narchive to billing: order 7, says the archive about a refund"
    )


async def test_a_swarm_is_bounded_and_knows_its_members() -> None:
    @step
    async def ping(meeting: Meeting[str]) -> Handoff[str] | int:
        return Handoff("pong" if meeting.topic == "play" else "nobody", "your turn")

    @step
    async def pong(meeting: Meeting[str]) -> Handoff[str] | int:
        return Handoff("ping", "yours")

    async with App("memory:") as app:
        for topic, code in (("play", "too_many_transitions"), ("?", "no_case")):
            with pytest.raises(RunFailed) as caught:
                await app.run(handoff(ping, pong, at_most=3)(topic))
            assert caught.value.failure.code == code


async def test_an_agent_hears_what_was_said_since_it_spoke() -> None:
    @step
    async def echo(meeting: Meeting[str]) -> Handoff[str] | str:
        return Handoff("talker", "a")

    talker = Agent("talker", input=str, output=str)
    model = FakeModel(hand("echo", "a"), final("b"))
    async with App("memory:", models={"default": model}) as app:
        assert await app.run(handoff(talker, echo)("?")) == "b"
    assert [message["role"] for message in model.requests[1].messages[1:]] == ["user", "assistant", "user"]
    assert model.requests[1].prompt == "echo to talker: a"


# --- group chat and debate


@step
async def parrot(meeting: Meeting[str]) -> str:
    return meeting.said[-1].text if meeting.said else meeting.topic


@step
def counter(meeting: Meeting[str]) -> int:
    """Count what was said."""
    return len(meeting.said)


async def test_speakers_take_turns_and_hear_everything() -> None:
    talker = Agent("talker", input=str, output=str)
    chat = group_chat(talker, parrot, counter, at_most=5, name="chat")
    model = FakeModel("one", "two")
    async with App("memory:", models={"default": model}) as app:
        handle = await app.start(chat("tides"))
        meeting = await handle.result()
        assert await exchanges(handle) == [
            "talker broadcast chat",
            "parrot broadcast chat",
            "counter broadcast chat",
            "talker broadcast chat",
            "parrot broadcast chat",
        ]
    assert meeting.topic == "tides"
    assert [said.text for said in meeting.said] == ["one", "one", "2", "two", "two"]
    assert meeting.said[2] == Said("counter", "chat", "2")
    assert model.requests[1].prompt == "parrot to chat: one\n\ncounter to chat: 2"


async def test_a_chat_ends_when_enough_was_said() -> None:
    chat = group_chat(parrot, counter, until=lambda meeting: "1" in meeting.said[-1].text, at_most=100)
    meeting = await chat.invoke("x")
    assert [said.text for said in meeting.said] == ["x", "1"]


async def test_a_speaker_that_spoke_last_is_told_to_go_on() -> None:
    model = FakeModel("one", "two")
    async with App("memory:", models={"default": model}) as app:
        await app.run(group_chat(Agent("talker", input=str, output=str), at_most=2)("?"))
    assert model.requests[1].prompt == "Go on."


async def test_a_chair_gives_the_floor_and_ends_the_meeting() -> None:
    chair = Agent("chair", input=str, output=Report)
    panel = group_chat(parrot, counter, chair=chair, at_most=2, name="panel")
    model = FakeModel(hand("counter", "How many?"), hand("parrot", "What?"), final({"text": "enough"}))
    async with App("memory:", models={"default": model}) as app:
        handle = await app.start(panel("tides"))
        assert await handle.result() == Report("enough")
        assert await exchanges(handle) == [
            "chair delegate counter",
            "counter broadcast panel",
            "chair delegate parrot",
            "parrot broadcast panel",
            "chair reply panel",
        ]
        assert model.requests[2].prompt == "parrot to panel: What?"
        model.reply(*[hand("parrot", "And?")] * 3)
        with pytest.raises(RunFailed) as caught:
            await app.run(panel("tides"))
    assert caught.value.failure.code == "too_many_transitions"
    assert "You are in the chair." in model.requests[0].system


async def test_debaters_hear_the_rounds_before_and_a_judge_answers() -> None:
    @step
    async def judge(meeting: Meeting[str]) -> list[str]:
        return [said.text for said in meeting.said]

    fors = Agent("for", input=str, output=str, model="for")
    against = Agent("against", input=str, output=str, model="against")
    yes, no = FakeModel("yes", "yes!"), FakeModel("no", "no!")
    async with App("memory:", models={"for": yes, "against": no}) as app:
        handle = await app.start(debate(fors, against, judge=judge)("More ports?"))
        assert await handle.result() == ["yes", "no", "yes!", "no!"]
        assert (await exchanges(handle))[-1] == "judge reply debate"
        assert sorted(await exchanges(handle)) == [
            "against broadcast debate",
            "against broadcast debate",
            "for broadcast debate",
            "for broadcast debate",
            "judge reply debate",
        ]
    assert yes.requests[0].prompt == "More ports?"
    assert yes.requests[1].prompt == "against to debate: no"
    assert no.requests[1].messages[0]["content"] == "More ports?\n\nfor to debate: yes"


# --- what is told


async def test_any_link_tells_to_whom_its_results_go() -> None:
    @step(cache="1 day", effect="pure")
    async def look(word: str) -> str:
        return word.upper()

    async def shout(word: str) -> str:
        return word + "!"

    crew = chain(tells(look, "writer", "handoff")).then(tells(chain(shout, name="writer"), "editor"))
    whole = crew.then(tells(count, "desk")).then(tells(step(name="last")(double), "desk"))
    async with App("memory:") as app:
        for _ in range(2):
            handle = await app.start(whole("tide"))
            assert await handle.result() == 10
            found = [str(each) for each in await handle.interactions()]
            assert found == [
                "look -> writer  handoff  TIDE",
                "writer -> editor  reply  TIDE!",
                "count -> desk  reply  5",
                "last -> desk  reply  10",
            ]


async def test_what_tells_can_be_undone_as_before() -> None:
    undone: list[str] = []

    @step(effect="reversible")
    async def post(text: str) -> str:
        return text

    @post.undo
    async def withdraw(posted: str) -> None:
        undone.append(posted)

    @step
    async def fail(text: str) -> str:
        raise ConnectionError(text)

    async with App("memory:") as app:
        handle = await app.start(chain(tells(post, "reader")).then(fail)("news"))
        with pytest.raises(RunFailed):
            await handle.result()
        assert (undone, await exchanges(handle)) == (["news"], ["post reply reader"])


async def double(number: int) -> int:
    return 2 * number


# --- what is refused


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: supervisor(lead), "there are no workers"),
        (lambda: supervisor(lead, count, at_most=0), "at_most is 0"),
        (lambda: supervisor(lead, count, name="a/b"), "name"),
        (lambda: supervisor(lead, count, count), "several members are named count"),
        (lambda: supervisor(lead, anything), "3"),
        (lambda: handoff(lead), "nobody to hand on to"),
        (lambda: handoff(researcher, editor, at_most=0), "at_most is 0"),
        (lambda: untyped(at_most=3), "nothing to run|no speakers"),
        (lambda: group_chat(parrot, at_most=0), "at_most is 0"),
        (lambda: group_chat(parrot, until=anything, at_most=1), "until is 3"),
        (lambda: untyped(parrot, at_most=1, chair=chair, until=bool), "chats without a chair"),
        (lambda: group_chat(at_most=1, chair=chair), "no speakers"),
        (lambda: debate(parrot, judge=counter), "nobody to debate"),
        (lambda: debate(parrot, counter, judge=chair, rounds=0), "rounds is 0"),
        (lambda: tells(count, ""), "to is ''"),
        (lambda: tells(count, "a", ""), "kind is ''"),
    ],
)
def test_what_is_no_team_is_refused(make: Callable[[], Any], wrong: str) -> None:
    with pytest.raises(InvalidConfig, match=wrong):
        make()


def test_who_cannot_hear_a_meeting_is_refused_when_the_team_is_written() -> None:
    @step
    async def deaf(word: str) -> str:
        return word

    listed: Any = deaf
    foreign: Any = pydantic_ai.Agent(name="teller")
    teams: list[Callable[[], object]] = [
        lambda: group_chat(listed, at_most=1),
        lambda: group_chat(parrot, chair=listed, at_most=1),
        lambda: debate(parrot, counter, judge=listed),
        lambda: debate(parrot, listed, judge=counter),
        lambda: handoff(lead, listed),
        lambda: supervisor(listed, count),
    ]
    for make in teams:
        with pytest.raises(InvalidConfig, match="deaf takes str, but is given a Meeting"):
            make()
    with pytest.raises(InvalidConfig, match="teller takes str, but is given a Meeting"):
        group_chat(foreign, at_most=1)
