"""Interactions: decoded, as lines, as a diagram, and by the command line."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ripresa import App, Interaction, Retry, chain, current, sequence_diagram, step
from ripresa.cli.screen import Lines
from ripresa.core.events import Interacted, Recorded
from tests.cli.program import Terminal

AT = datetime(2026, 11, 21, tzinfo=UTC)


@step(retry=Retry(2, wait=0))
async def plan(topic: str) -> str:
    current().interaction("planner", "writer", "delegate", {"topic": topic, "long": "x" * 100})
    if current().attempt == 1:
        raise ValueError("not yet")
    current().interaction("model", "planner", "answer", "said to nobody else")
    return topic


@step
async def write(topic: str) -> str:
    current().interaction("writer", "planner", "reply", f'"{topic}"; <done>\n# 1')
    return topic


both = chain(plan, name="both").then(write)


def test_a_line_says_who_sent_what_to_whom() -> None:
    said = Interaction(AT, "a", 1, "ann", "bob", "reply", "  two\nlines ")
    assert str(said) == "ann -> bob  reply  two lines"
    assert str(Interaction(AT, "a", 2, "ann", "bob", "call", {"n": 1})) == 'ann -> bob  call (attempt 2)  {"n": 1}'
    assert Interaction(AT, "a", 1, "ann", "bob", "reply", "12345").summary(4) == "123…"


def test_a_diagram_draws_answers_dashed_and_escapes_what_mermaid_reads() -> None:
    sent = [
        Interaction(AT, "a", 1, "ann; x", "bob", "delegate", "a;b"),
        Interaction(AT, "a", 1, "bob", "ann; x", "reply", "<c>#"),
        Interaction(AT, "a", 1, "bob", "gpt", "request", "[]"),
        Interaction(AT, "a", 1, " ", "bob", "vote", ""),
    ]
    assert sequence_diagram(sent).splitlines() == [
        "sequenceDiagram",
        "    participant p1 as ann#59; x",
        "    participant p2 as bob",
        "    participant p3 as ?",
        "    p1->>p2: delegate: a#59;b",
        "    p2-->>p1: reply: #lt;c#gt;#35;",
        "    p3-->>p2: vote",
    ]


async def test_a_handle_gives_them_decoded_in_order() -> None:
    async with App("memory:") as app:
        handle = await app.start(both("tides"))
        await handle.result()
        found = await handle.interactions()
        assert [(each.kind, each.attempt, each.path) for each in found] == [
            ("delegate", 1, "plan"),
            ("delegate", 2, "plan"),
            ("answer", 2, "plan"),
            ("reply", 1, "write"),
        ]
        assert found[0].content == {"topic": "tides", "long": "x" * 100}
        assert found[0].at <= found[3].at


async def test_a_run_without_any_has_none() -> None:
    async with App("memory:") as app:
        handle = await app.start(step(lambda: 1)())
        assert await handle.interactions() == []


def test_the_command_line_shows_them(tmp_path: Path) -> None:
    async def tell() -> None:
        async with App(f"sqlite:{tmp_path}/.ripresa/ripresa.db") as app:
            await app.run(both("tides"), id="r")

    asyncio.run(tell())
    terminal = Terminal(tmp_path)
    lines = terminal.here("show", "r", "--interactions").out.splitlines()
    assert lines[0].startswith('planner -> writer  delegate  {"topic": "tides", "long": "xxx')
    assert lines[1].startswith("planner -> writer  delegate (attempt 2)  ")
    diagram = terminal.here("show", "r", "--diagram").out
    assert diagram.splitlines()[-1] == "    p2-->>p1: reply: #quot;tides#quot;#59; #lt;done#gt; #35; 1"
    told = terminal.here("show", "r", "--interactions", "--json").json
    assert [(each["from"], each["to"], each["kind"]) for each in told][:2] == [("planner", "writer", "delegate")] * 2
    assert terminal.here("show", "r", "--json").json["interactions"] == told
    assert "4 interactions" in terminal.here("show", "r").out
    assert "sender=planner  receiver=writer  kind=delegate" in terminal.here("events", "r").out
    assert terminal.here("show", "x", "--interactions").code == 3


def test_they_are_told_as_they_happen(capsys: pytest.CaptureFixture[str]) -> None:
    lines, later = Lines(), 4_000_000_000_000_000
    for seq, (path, kind) in enumerate((("a", "delegate"), ("a", "request"), ("map/a[3]", "delegate")), 1):
        lines.take("r", Recorded("r", seq, later, Interacted(later, path, 1, "ann", "bob", kind, b"1")))
    assert capsys.readouterr().err == "ann → bob (delegate)\n"
