"""Coding agents that are spoken to by the Agent Client Protocol: a scripted one, made with its own library."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, InvalidConfig, Retry, RipresaError, RunFailed, StepError
from ripresa.steps import AgentStep, Secret, cli_agent
from ripresa.testing.model_server import ModelServer
from tests.steps.test_cli_agent import repository as repository

NO_METHOD = """
    error = {"code": -32601, "message": "no such method"}
    print(json.dumps({"jsonrpc": "2.0", "id": json.loads(sys.stdin.readline())["id"], "error": error}), flush=True)
    sys.stdin.read()
"""
"""What a program does that speaks JSON-RPC, and not this protocol."""

FAKE = Path(__file__).parent / "fake_acp_agent.py"

Agent = Callable[..., AgentStep]


@pytest.fixture
def agent(repository: Path, tmp_path: Path) -> Agent:
    def make(*args: str, **options: Any) -> AgentStep:
        env = {"FAKE_LOG": str(tmp_path / "log"), **options.pop("env", {})}
        given = {"workspace": repository, "worktrees": tmp_path / "trees", "program": [sys.executable, str(FAKE)]}
        return cli_agent("kilo", args=args, **{"acp": True, **given, "env": env, **options})

    return make


def noted(tmp_path: Path) -> list[Any]:
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


async def test_a_turn_gives_text_diff_and_what_it_used(agent: Agent, tmp_path: Path) -> None:
    async with App("memory:") as app:
        handle = await app.start(agent(name="code")("work on this"))
        work = await handle.result()
        view = await handle.status()
    assert (work.text, work.session, work.files) == ("It is done .", "acp_1", ("tide.txt",))
    assert "+high" in work.diff
    assert (work.tokens, work.cost) == (120, 0.75)
    assert (view.tokens, view.cost) == (120, 0.75)
    new, prompt = noted(tmp_path)
    assert prompt == ["prompt", "work on this", ["acp"]]
    assert new[1].startswith(str((tmp_path / "trees").resolve()))


async def test_another_attempt_loads_the_session(agent: Agent, tmp_path: Path) -> None:
    async with App("memory:") as app:
        work = await app.run(agent(retry=Retry(2, wait=0))("dies"))
    assert work.text == "It is done ."
    assert work.files == ("half.txt", "tide.txt")
    assert [each[0] for each in noted(tmp_path)] == ["new", "prompt", "load", "prompt"]


async def test_what_a_session_cost_before_is_counted_once(agent: Agent) -> None:
    async with App("memory:") as app:
        handle = await app.start(agent(retry=Retry(2, wait=0))("costly"))
        work = await handle.result()
        view = await handle.status()
    assert (work.cost, view.cost) == (0.75, 1.5)


async def test_a_turn_whose_cost_is_not_told_has_none(agent: Agent) -> None:
    async with App("memory:") as app:
        handle = await app.start(agent()("free of word"))
        work = await handle.result()
        view = await handle.status()
    assert (work.tokens, work.cost, view.tokens, view.unpriced) == (120, None, 120, 1)


async def test_an_agent_that_forgets_begins_anew_in_the_same_folder(agent: Agent, tmp_path: Path) -> None:
    async with App("memory:") as app:
        work = await app.run(agent("--forgetful", retry=Retry(2, wait=0))("dies"))
    assert work.files == ("half.txt", "tide.txt")
    assert [each[0] for each in noted(tmp_path)] == ["new", "prompt", "new", "prompt"]


@pytest.mark.parametrize(
    ("args", "outcome"),
    [
        ((), {"outcome": "selected", "option_id": "allow_once"}),
        (("--strict",), {"outcome": "cancelled"}),
    ],
)
async def test_it_is_permitted_once_what_can_be_permitted(
    agent: Agent, tmp_path: Path, args: tuple[str, ...], outcome: dict[str, str]
) -> None:
    await agent(*args)("asks")
    assert noted(tmp_path)[-1] == ["permission", outcome]


@pytest.mark.parametrize(
    ("prompt", "message", "code", "again"),
    [
        ("refusal", "its turn ended with 'refusal'", "agent_failed", False),
        ("max_tokens", "its turn ended with 'max_tokens'", "agent_failed", True),
        ("dies", r"it went away .*warming up", "agent_failed", True),
        ("hangs", r"said nothing for 1\.5 s", "no_output", True),
        ("long", "more than 16 MiB", "too_large", False),
    ],
)
async def test_a_failure_is_coded(agent: Agent, prompt: str, message: str, code: str, again: bool) -> None:
    silence = 1.5 if prompt == "hangs" else 60
    with pytest.raises(StepError, match=message) as caught:
        await agent(silence=silence, grace=0.2)(prompt)
    assert (caught.value.code, caught.value.retryable) == (code, again)


async def test_a_secret_that_it_tells_is_not_recorded(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", "open-sesame")
    env = {"KEY": Secret("env:FAKE_KEY")}
    assert (await agent(env=env)("work")).text == "It is done ***."
    with pytest.raises(StepError, match=r"Authentication required.*\*\*\*"):
        await agent("--broken", env=env)("work")


async def test_a_missing_program_is_an_error(agent: Agent) -> None:
    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(agent(program="no-such-kilo")("work"))
    failure = caught.value.failure
    assert failure.code == "executable_missing"
    assert "npm install" in failure.message


async def test_without_the_extra_it_says_which_one_is_missing(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acp", None)
    with pytest.raises(RipresaError, match=r"ripresa\[acp\]"):
        await agent()("work")


# --- which of the two


async def test_an_agent_that_speaks_it_is_spoken_to_by_it(agent: Agent) -> None:
    work = await agent(acp=None)("work")
    assert (work.session, work.text) == ("acp_1", "It is done .")


LINES = """
import json, sys
if "acp" in sys.argv: {sys}
sys.stdin.read()
def tell(**event): print(json.dumps(event), flush=True)
tell(type="text", sessionID="ses_1", part={{"text": "By lines."}})
tell(type="step_finish", sessionID="ses_1", part={{"reason": "stop"}})
"""
"""A program that does something else where it is asked to speak the protocol."""


@pytest.mark.parametrize("other", ["sys.exit(2)", "sys.stdin.read()", NO_METHOD])
async def test_a_program_that_does_not_answer_the_greeting_is_asked_by_lines(
    other: str, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ripresa.steps.acp_talk.GREETING", 1.0)
    program = [sys.executable, "-c", LINES.format(sys=other)]
    assert (await agent(acp=None, program=program)("work")).text == "By lines."
    with pytest.raises(StepError) as caught:
        await agent(acp=True, program=program, silence=1)("work")
    assert caught.value.code in ("agent_failed", "no_output")


async def test_lines_are_used_where_a_model_is_chosen_or_the_extra_is_not_there(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = [sys.executable, "-c", LINES.format(sys="sys.exit(2)")]
    assert (await agent(acp=None, program=program, model="one")("work")).text == "By lines."
    monkeypatch.setitem(sys.modules, "acp", None)
    assert (await agent(acp=None, program=program)("work")).text == "By lines."


async def test_what_an_agent_that_speaks_it_refuses_is_asked_no_other_way(agent: Agent) -> None:
    with pytest.raises(StepError, match="kilo: ") as caught:
        await agent("--broken", acp=None)("work")
    assert caught.value.code == "agent_failed"
    with pytest.raises(StepError) as caught:
        await agent(acp=None, program="no-such-kilo")("work")
    assert caught.value.code == "executable_missing"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="acp is 'yes'"):
        cli_agent("kilo", acp="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="codex does not speak"):
        cli_agent("codex", acp=True)
    with pytest.raises(InvalidConfig, match="model cannot be chosen"):
        cli_agent("kilo", acp=True, model="m")


KILO = os.environ.get("RIPRESA_KILO", "")


@pytest.mark.skipif(not KILO, reason="make conformance-kilo installs the real one and names it in RIPRESA_KILO")
async def test_the_real_kilo_code_speaks_it(repository: Path, tmp_path: Path) -> None:
    async with ModelServer(*["The tide turns."] * 4) as server:
        one = {"name": "one", "limit": {"context": 100_000, "output": 4000}, "cost": {"input": 1, "output": 2}}
        options = {"baseURL": server.url, "apiKey": "x"}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "l", "options": options, "models": {"one": one}}
        config = {"model": "loop/one", "small_model": "loop/one", "autoupdate": False, "provider": {"loop": provider}}
        env = {"HOME": str(tmp_path), "KILO_CONFIG_CONTENT": json.dumps(config), "KILO_TELEMETRY_LEVEL": "off"}
        trees = tmp_path / "trees"
        kilo = cli_agent("kilo", acp=True, workspace=repository, worktrees=trees, program=KILO, env=env, timeout=300)
        async with App("memory:") as app:
            work = await app.run(kilo("Say when the tide turns."))
        assert work.text == "The tide turns."
        assert work.session
