"""The examples with models: offline, with scripted answers over HTTP; they say so. And with a key, a real model."""

import asyncio
import runpy
from pathlib import Path

import pytest

from ripresa import ModelEndpoint
from ripresa.testing.loopback import CONFIGURED, KEYS, OPENAI, SWITCH, client_or_scripted, real_or_scripted
from tests.cli.program import Terminal

EXAMPLES = Path(__file__).parents[2] / "examples"

SAID = {
    "llm.py": ["Moon pulls sea", "5 steps, some tokens"],
    "agent.py": [
        "Send this report? {'to': 'ann', 'text': 'The moon does it.'}",
        "Tides: The moon pulls at the sea.",
        "writer called look_up\nwriter called send",
    ],
    "knowledge.py": ["learned 3 passages", "The moon pulls at the sea, page 12 says.", "tokens"],
    "teams/supervisor.py": [
        "The sentence about tides is filed.\nsequenceDiagram",
        "    p1->>p2: delegate: One sentence about tides.",
        "    p3-->>p2: reply: The moon pulls at the sea.",
        "    p1-->>p7: reply: The sentence about tides is filed.\n",
    ],
    "teams/crew.py": [
        "Moon pulls sea.\n",
        'researcher -> writer  handoff  ["the moon", "the sea", "twice a day"]\nwriter -> editor  handoff  Twice',
    ],
    "teams/handoff.py": [
        "45.00 are on their way back to you.\ntriage -> support  handoff  Something about order 7.",
        "support -> billing  handoff  Order 7, 45.00, arrived broken.\nbilling -> helpdesk  reply  45.00",
    ],
    "teams/group_chat.py": ["cook: Soup, it is cold outside.\nwaiter: Soup and bread", "owner: AGREED\ncook: AGREED\n"],
    "teams/debate.py": [
        "build=True because='of 33 words those for it weigh more'",
        "p1->>p2: broadcast: Ships bring trade, I said.",
    ],
    "teams/blackboard.py": ["4 notes:\n", "physics: the moon pulls, note 1", "history: harbours keep tables, note 3"],
    "teams/evaluator.py": [
        "The tide will go, high and low.\n",
        'critic -> writer  reply  {"good": false, "wrong": "it does not rhyme"}',
    ],
    "teams/classify.py": ["You will have it tomorrow.\nWe have lamps. (wants light)\n"],
}
FRESH = {"teams/scatter_gather.py": ["yes, with 2 of 3 votes", "tired -> panel  vote"]}
"""Run in a process of their own: what begins with several requests at once."""


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (CONFIGURED, SWITCH, *KEYS):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", SAID)
def test_an_example_says_what_answers_and_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    told = capsys.readouterr().out
    assert told.startswith("model: scripted answers at http://127.0.0.1:")
    for line in SAID[name]:
        assert line in told


@pytest.mark.parametrize("name", FRESH)
def test_an_example_runs_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    told = Terminal(tmp_path).script(EXAMPLES / name)
    assert told.code == 0, told.err
    for line in FRESH[name]:
        assert line in told.out


def test_no_team_is_left_out() -> None:
    assert {f"teams/{path.name}" for path in (EXAMPLES / "teams").glob("*.py")} <= {*SAID, *FRESH}


@pytest.mark.parametrize(
    ("variable", "value", "models", "line"),
    [
        (CONFIGURED, "openai:some", {}, f"model: openai:some ({CONFIGURED})\n"),
        (
            "OPENAI_API_KEY",
            "k",
            {"default": KEYS["OPENAI_API_KEY"], "vectors": "openai:text-embedding-3-small"},
            "model: openai:",
        ),
        ("ANTHROPIC_API_KEY", "k", {"default": KEYS["ANTHROPIC_API_KEY"]}, "model: anthropic:"),
    ],
)
def test_a_real_model_answers_where_there_is_a_key(
    variable: str,
    value: str,
    models: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)

    async def found() -> dict[str, str | ModelEndpoint]:
        async with real_or_scripted("never") as given:
            return given

    assert asyncio.run(found()) == models
    assert capsys.readouterr().out.startswith(line)


@pytest.mark.parametrize("variable", [CONFIGURED, *KEYS])
def test_no_real_model_answers_where_that_is_switched_off(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "openai:some")
    monkeypatch.setenv(SWITCH, "0")

    async def found() -> tuple[str | ModelEndpoint, str]:
        async with real_or_scripted("Hello.") as given, client_or_scripted("Hello.") as (_, client):
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
            return given["default"], str(answer.choices[0].message.content)

    endpoint, said = asyncio.run(found())
    assert isinstance(endpoint, ModelEndpoint)
    assert (endpoint.name, said) == ("scripted", "Hello.")


def test_clients_of_frameworks_ask_openai_where_there_is_its_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OPENAI, "k")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    async def found() -> tuple[str, str]:
        async with client_or_scripted("never") as (name, client):
            return name, str(client.base_url)

    name, url = asyncio.run(found())
    assert (name, url) == (KEYS[OPENAI].partition(":")[2], "https://api.openai.com/v1/")
    assert capsys.readouterr().out == f"model: openai:{name} ({OPENAI} is set)\n"
