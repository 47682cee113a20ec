"""Coding agents of the command line: scripted ones for whatever can go wrong, and the real Kilo Code where it is."""

# ruff: noqa: ASYNC110, ASYNC221, ASYNC240

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, InvalidConfig, InvalidValue, Limits, Retry, RunFailed, StepError, StepTimeout, chain, step
from ripresa.errors import is_retryable
from ripresa.steps import AgentStep, AgentWork, Dialect, Secret, cli_agent
from ripresa.steps.dialects import DIALECTS, Broke, Event, Said, SessionSeen, Sign, Turned, Used
from ripresa.steps.worktrees import Worktree
from ripresa.testing.model_server import ModelServer
from tests.steps.test_process import alive, gone

FAKE = Path(__file__).parent / "fake_agent.py"
SESSION = "ses_e0125401affeSWlkWp2ZdR0iYZ"

Agent = Callable[..., AgentStep]


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    return subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a change that nobody committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "tide.txt").write_text("low\n")
    (folder / "old.txt").write_text("old\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    (folder / "tide.txt").write_text("not committed\n")
    return folder


@pytest.fixture
def agent(repository: Path, tmp_path: Path) -> Agent:
    """A step that runs the scripted agent in the repository."""

    def make(dialect: str | Dialect = "kilo", **options: Any) -> AgentStep:
        env = {"FAKE_LOG": str(tmp_path / "log"), **options.pop("env", {})}
        given = {"workspace": repository, "worktrees": tmp_path / "trees", "program": [sys.executable, str(FAKE)]}
        return cli_agent(dialect, **{**given, "acp": False, "env": env, **options})

    return make


def asked(tmp_path: Path) -> list[Any]:
    """What the scripted agent was asked: arguments, prompt, folder, environment."""
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


def failure_of(caught: pytest.ExceptionInfo[RunFailed]) -> Any:
    return caught.value.failure


# --- it works


async def test_the_diff_of_a_fresh_worktree_is_the_result(agent: Agent, repository: Path, tmp_path: Path) -> None:
    work = await agent()("work")
    assert (work.text, work.session, work.tokens, work.cost) == ("It is done.", SESSION, 246, 0.5)
    assert work.files == ("new file.txt", "old.txt", "tide.txt")
    assert work.base == git(repository, "rev-parse", "HEAD").strip()
    assert (repository / "tide.txt").read_text() == "not committed\n"
    assert git(repository, "status", "--porcelain") == " M tide.txt\n"
    assert git(repository, "worktree", "list").count("\n") == 1
    assert list((tmp_path / "trees").iterdir()) == []
    git(repository, "checkout", "--quiet", ".")
    subprocess.run(["git", "apply", "-"], cwd=repository, input=work.diff, text=True, check=True)
    assert (repository / "tide.txt").read_text() == "high\n"
    assert not (repository / "old.txt").exists()


async def test_what_an_agent_does_not_say_was_paid_is_missing_in_the_cost(agent: Agent) -> None:
    def tell(event: Event) -> Iterator[Sign]:
        for sign in DIALECTS["kilo"].read(event):
            yield replace(sign, cost=None) if isinstance(sign, Used) else sign

    async with App("memory:") as app:
        handle = await app.start(agent(replace(DIALECTS["kilo"], read=tell))("work"))
        work = await handle.result()
        view = await handle.status()
    assert (work.tokens, work.cost, view.tokens, view.cost) == (246, None, 246, 0.0)
    assert view.unpriced > 0


async def test_what_the_agent_committed_is_in_the_diff_too(agent: Agent) -> None:
    work = await agent()("commit")
    assert work.files == ("bytes.bin", "tide.txt")
    assert "+committed" in work.diff
    assert "GIT binary patch" in work.diff


async def test_the_prompt_goes_in_by_standard_input_and_nothing_else_of_it(agent: Agent, tmp_path: Path) -> None:
    prompt = "work --help; $(touch x) `id` 'quoted'\n" + "x" * 300_000
    await agent(model="loop/one", args=["--agent", "build"])(prompt)
    [[args, heard, folder, _]] = asked(tmp_path)
    assert args == ["run", "--auto", "--format", "json", "--model", "loop/one", "--agent", "build"]
    assert heard == prompt
    assert Path(folder).parent == (tmp_path / "trees").resolve()


async def test_it_runs_in_a_chain_and_counts_what_it_uses(agent: Agent) -> None:
    @step
    async def plan(topic: str) -> str:
        return f"work on {topic}"

    @step
    async def review(work: AgentWork) -> int:
        return len(work.files)

    async with App("memory:") as app:
        handle = await app.start(chain(plan).then(agent(name="code")).then(review)("tides"))
        assert await handle.result() == 3
        view = await handle.status()
    assert (view.tokens, view.cost) == (246, 0.5)
    assert set(view.files) == {"new file.txt", "old.txt", "tide.txt"}


async def test_it_may_work_in_place(agent: Agent, repository: Path, tmp_path: Path) -> None:
    work = await agent(in_place=True)("work")
    assert (work.diff, work.files, work.base) == ("", (), "")
    assert (repository / "tide.txt").read_text() == "high\n"
    with pytest.raises(StepError) as caught:
        await agent(in_place=True, workspace=tmp_path / "none")("work")
    assert caught.value.code == "outside_workspace"


async def test_what_is_no_event_is_left_aside(agent: Agent) -> None:
    work = await agent()("chatter")
    assert (work.text, work.tokens, work.cost, work.session) == ("Hello", 0, 0.0, SESSION)
    assert (await agent()("no_break")).session == SESSION


async def test_watchers_are_told_of_events(agent: Agent) -> None:
    async with App("memory:") as app:
        handle = await app.start(agent()("work"))
        seen = [each async for each in handle.watch() if type(each).__name__ == "StepProgressed"]
        assert await handle.result()
    assert [each.message for each in seen][:2] == ["step_start", "step_finish"]  # type: ignore[union-attr]


# --- another attempt goes on with the conversation


async def test_another_attempt_takes_up_the_session_and_the_worktree(agent: Agent, tmp_path: Path) -> None:
    async with App("memory:") as app:
        handle = await app.start(agent(retry=Retry(2, wait=0))("resume"))
        work = await handle.result()
        view = await handle.status()
    assert work.text == f"went on with {SESSION}"
    assert "+first second" in work.diff
    first, second = asked(tmp_path)
    assert "--session" not in first[0]
    assert second[0][-2:] == ["--session", SESSION]
    assert first[2] == second[2]
    assert work.tokens == 123
    assert view.tokens == 246


async def test_another_process_takes_it_up_too(agent: Agent, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'runs.db'}"
    flow = chain(agent(name="code"), name="coding")
    async with App(store) as app:
        with pytest.raises(RunFailed):
            await app.run(flow("resume"), id="r")
    async with App(store) as app:
        assert (await (await app.resume("r", flow)).result()).text == f"went on with {SESSION}"
    assert len(asked(tmp_path)) == 2


async def test_the_commit_stays_the_same_over_attempts(agent: Agent, repository: Path, tmp_path: Path) -> None:
    store, flow = f"sqlite:{tmp_path / 'runs.db'}", chain(agent(name="code"), name="coding")
    before = git(repository, "rev-parse", "HEAD").strip()
    async with App(store) as app:
        with pytest.raises(RunFailed):
            await app.run(flow("resume"), id="r")
    git(repository, "commit", "--quiet", "--all", "--message=second")
    async with App(store) as app:
        assert (await (await app.resume("r", flow)).result()).base == before


# --- what goes wrong


@pytest.mark.parametrize(
    ("prompt", "message", "code", "again"),
    [
        ("fails", "ended with status 1: no model is configured", "agent_failed", True),
        ("late", r"its time was up \(status 124\)", "timeout", True),
        ("error", "kilo: no ", "agent_failed", True),
        ("no_end", "ended without a final event", "agent_failed", True),
        ("resume", "was killed by signal 9", "agent_failed", True),
        ("long", "more than 16 MiB", "too_large", False),
    ],
)
async def test_a_failure_is_coded(agent: Agent, prompt: str, message: str, code: str, again: bool) -> None:
    with pytest.raises((StepError, StepTimeout), match=message) as caught:
        await agent(env={"KEY": "one"})(prompt)
    assert caught.value.code == code
    assert is_retryable(caught.value) == again


async def test_an_error_event_counts_though_the_status_is_0_and_the_end_was_told(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", "open-sesame")
    with pytest.raises(StepError, match=r"kilo: no \*\*\*"):
        await agent(env={"KEY": Secret("env:FAKE_KEY")})("error")


async def test_a_status_that_is_final_is_not_tried_again(agent: Agent) -> None:
    with pytest.raises(StepError, match="status 42") as caught:
        await agent("gemini")("input")
    assert not caught.value.retryable


async def test_a_missing_program_is_an_error_that_says_how_to_get_it(agent: Agent) -> None:
    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(agent(program="no-such-kilo", retry=3)("work"))
    assert failure_of(caught).code == "executable_missing"
    assert "npm install -g @kilocode/cli" in failure_of(caught).message
    assert failure_of(caught).attempt == 1


async def test_one_that_tells_of_nothing_is_stopped_with_all_that_it_started(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"kilo said nothing for 0\.4 s") as caught:
        await agent(silence=0.4, grace=0.2)("silent")
    assert caught.value.code == "no_output"
    assert await gone([int((tmp_path / "log.pid").read_text())])


async def test_cancelling_stops_it_and_a_timeout_does(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(StepTimeout):
        await agent(timeout=0.7, grace=0.2)("silent")
    (tmp_path / "log.pid").unlink(missing_ok=True)
    async with App("memory:") as app:
        handle = await app.start(agent()("silent"))
        while not (tmp_path / "log.pid").exists():
            await asyncio.sleep(0.01)
        pid = int((tmp_path / "log.pid").read_text())
        assert alive(pid)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert await gone([pid])


async def test_what_it_leaves_running_does_not_hold_it_up(agent: Agent, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        assert (await agent()("leave")).text == "It is done."
        assert (await agent()("escape")).session == SESSION


async def test_a_limit_of_the_run_holds_for_what_it_uses(agent: Agent) -> None:
    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(
                chain(agent(name="one")).then(_again).then(agent(name="two"))("work"), limits=Limits(tokens=200)
            )
    assert failure_of(caught).code == "limit_exceeded"


@step
async def _again(work: AgentWork) -> str:
    return "work"


# --- what must not get in or out


async def test_it_is_given_no_other_variable(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    monkeypatch.setenv("KILO_API_KEY", "given")
    await agent(pass_env=["KILO_API_KEY"])("work")
    env = asked(tmp_path)[0][3]
    assert env["KILO_API_KEY"] == "given"
    assert env["PWD"] == asked(tmp_path)[0][2]
    assert "AWS_SECRET_ACCESS_KEY" not in env


async def test_a_secret_that_it_tells_is_not_recorded(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", "open-sesame")
    async with App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        work = await app.run(agent(env={"KEY": Secret("env:FAKE_KEY")})("leak"))
    assert work.text == "the key is ***"
    assert b"open-sesame" not in b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))


async def test_the_hooks_of_a_repository_are_not_run(agent: Agent, repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/hooked'\n")
    hook.chmod(0o755)
    await agent()("work")
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize("name", ["--upload-pack=x", "nothing", "-1", ""])
async def test_a_commit_that_is_none_is_an_error(agent: Agent, name: str) -> None:
    with pytest.raises(StepError) as caught:
        await agent(at=name)("work")
    assert (caught.value.code, caught.value.retryable) == ("process_failed", False)
    assert caught.value.hint == f"there is no commit {name!r} here: make a first one, or name another by at"


async def test_a_workspace_that_is_no_repository_is_an_error(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for folder, code in ((tmp_path / "plain", "process_failed"), (tmp_path / "none", "outside_workspace")):
        with pytest.raises(StepError) as caught:
            await agent(workspace=folder)("work")
        assert caught.value.code == code
        assert "git repository" in caught.value.hint


async def test_an_empty_prompt_is_refused(agent: Agent) -> None:
    with pytest.raises(InvalidValue, match="empty"):
        await agent()(" \n")


def test_bad_options_are_refused_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        cli_agent("kiko", args="x", env={"A": 3}, max_diff=0, colour="red")  # type: ignore[call-arg, dict-item]
    for part in ("'kiko'", "args", "'A'", "max_diff", "colour"):
        assert part in str(caught.value)
    with pytest.raises(InvalidConfig, match="program"):
        cli_agent(program=[])
    with pytest.raises(InvalidConfig, match="env must be"):
        cli_agent(env="A=1")  # type: ignore[arg-type]


# --- dialects


def read(name: str, *events: dict[str, Any]) -> list[Any]:
    return [sign for event in events for sign in DIALECTS[name].read(event)]


def test_kilo_code_is_understood() -> None:
    tokens = {"total": 2080, "input": 2077, "output": 3, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    found = read(
        "kilo",
        {"type": "step_start", "sessionID": "ses_1", "part": {"type": "step-start"}},
        {"type": "text", "sessionID": "ses_1", "part": {"text": "The tide turns."}},
        {"type": "tool_use", "part": {"tool": "read"}},
        {"type": "step_finish", "part": {"reason": "stop", "cost": 0.002083, "tokens": tokens}},
        {"type": "error", "error": {"name": "APIError", "data": {"message": "scripted", "statusCode": 401}}},
        {"type": "error", "error": {"name": "Unknown"}},
        {"type": "error"},
    )
    assert found == [
        SessionSeen("ses_1"),
        Turned(final=False),
        SessionSeen("ses_1"),
        Said("The tide turns."),
        Used(2080, 0.002083),
        Turned(final=True),
        Broke("scripted"),
        Broke("Unknown"),
        Broke("an error"),
    ]


def test_the_older_kilo_code_is_understood() -> None:
    found = read(
        "kilocode",
        {"source": "cli", "type": "welcome", "metadata": {"sessionId": "s"}},
        {"type": "say", "say": "api_req_started", "metadata": {"tokensIn": 5, "tokensOut": 2, "cost": 0.1}},
        {"type": "say", "say": "text", "content": "half", "partial": True},
        {"type": "say", "say": "text", "content": "whole"},
        {"type": "say", "say": "completion_result", "content": "done"},
        {"type": "ask", "ask": "completion_result"},
        {"type": "say", "say": "error", "content": "no model"},
        {"type": "error"},
    )
    assert found == [
        SessionSeen("s"),
        Used(7, 0.1),
        Said("whole"),
        Said("done", whole=True),
        Turned(final=True),
        Turned(final=True),
        Broke("no model"),
        Broke("an error"),
    ]


def test_codex_is_understood() -> None:
    found = read(
        "codex",
        {"type": "thread.started", "thread_id": "th_1"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}},
        {"type": "turn.completed", "usage": {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 5}},
        {"type": "turn.failed", "error": {"message": "quota"}},
        {"type": "error"},
    )
    assert found == [
        SessionSeen("th_1"),
        Turned(final=False),
        Said("done", whole=True),
        Used(15),
        Turned(final=True),
        Broke("quota"),
        Broke("an error"),
    ]


def test_gemini_is_understood() -> None:
    found = read(
        "gemini",
        {"type": "init", "session_id": "g1", "model": "x"},
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": "do", "delta": True},
        {"type": "error", "severity": "warning", "message": "slow"},
        {"type": "error", "severity": "error", "message": "loop"},
        {"type": "result", "status": "success", "stats": {"input_tokens": 3, "output_tokens": 4}},
        {"type": "result", "status": "error", "error": {"message": "quota"}, "stats": {"total_tokens": 9}},
        {"type": "tool_use"},
    )
    assert found == [
        SessionSeen("g1"),
        Said("do"),
        Broke("loop"),
        Used(7, total=True),
        Turned(final=True),
        Used(9, total=True),
        Broke("quota"),
        Turned(final=True),
    ]


def test_claude_code_is_understood() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3}
    found = read(
        "claude",
        {"type": "system", "subtype": "init", "session_id": "c1"},
        {"type": "assistant", "message": {}},
        {"type": "result", "subtype": "success", "result": "done", "total_cost_usd": 0.5, "usage": usage},
        {"type": "result", "subtype": "error_max_turns", "is_error": True},
    )
    assert found == [
        SessionSeen("c1"),
        Used(6, 0.5, total=True),
        Said("done", whole=True),
        Turned(final=True),
        Used(0, total=True),
        Broke("the result is 'error_max_turns'"),
        Said("", whole=True),
        Turned(final=True),
    ]


def test_each_dialect_asks_and_takes_up_in_its_own_way() -> None:
    commands = {name: " ".join(each.command("m", "s")) for name, each in DIALECTS.items()}
    assert commands == {
        "kilo": "kilo run --auto --format json --model m --session s",
        "kilocode": "kilocode --auto --json --model m --session s",
        "codex": "codex exec --json --sandbox workspace-write --model m resume s -",
        "gemini": "gemini --output-format stream-json --approval-mode yolo --model m --resume s",
        "claude": "claude -p --output-format stream-json --verbose --permission-mode acceptEdits --model m --resume s",
        "opencode": "opencode run --format json --model m --session s",
    }
    assert DIALECTS["codex"].command("", "") == ("codex", "exec", "--json", "--sandbox", "workspace-write", "-")


async def test_a_dialect_of_ones_own_is_as_good(agent: Agent) -> None:
    def understand(event: Any) -> Any:
        yield Used(10, 0.5, total=True)
        yield Used(4, 0.1, total=True)
        yield Said(str(event["type"]), whole=True)
        yield Turned(final=True)

    own = Dialect("own", ("own",), understand)
    work = await agent(own)("work")
    assert (work.text, work.tokens, work.cost, work.session) == ("step_finish", 10, 0.5, "")


# --- the real one

KILO = os.environ.get("RIPRESA_KILO", "")


@pytest.mark.skipif(not KILO, reason="make conformance-kilo installs the real one and names it in RIPRESA_KILO")
async def test_the_real_kilo_code_works_with_a_model_on_this_machine(
    repository: Path, tmp_path: Path
) -> None:  # pragma: no cover - see the reason
    async with ModelServer(*["The tide turns."] * 4) as server:
        models = {
            "one": {"name": "one", "limit": {"context": 100_000, "output": 4000}, "cost": {"input": 1, "output": 2}}
        }
        options = {"baseURL": server.url, "apiKey": "x"}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "loop", "options": options, "models": models}
        config = {"model": "loop/one", "small_model": "loop/one", "autoupdate": False, "provider": {"loop": provider}}
        kilo = cli_agent(
            "kilo",
            workspace=repository,
            worktrees=tmp_path / "trees",
            program=KILO,
            model="loop/one",
            env={"HOME": str(tmp_path), "KILO_CONFIG_CONTENT": json.dumps(config), "KILO_TELEMETRY_LEVEL": "off"},
            timeout=300,
        )
        async with App("memory:") as app:
            work = await app.run(kilo("Say when the tide turns."))
        assert work.text == "The tide turns."
        assert work.session.startswith("ses_")
        assert work.tokens > 1000
        assert (work.cost or 0) > 0
        server.reply("It turned.")
        assert any("tide turns" in json.dumps(each.body) for each in server.requests)


async def test_a_worktree_that_was_not_finished_is_made_anew(repository: Path, tmp_path: Path) -> None:
    base = git(repository, "rev-parse", "HEAD").strip()
    place = tmp_path / "trees" / "a"
    git(repository, "worktree", "add", "--detach", "--no-checkout", str(place), base)
    (repository / ".git" / "worktrees" / "a" / "locked").write_text("initializing")  # as git leaves it when killed
    worktree = Worktree(repository, place, base)
    await worktree.make()
    assert await worktree.changes(1000) == ("", [])
    (place / "new.txt").write_text("new")
    await worktree.make()
    assert (await worktree.changes(1000))[1] == ["new.txt"]
