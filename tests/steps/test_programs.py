"""Steps that run programs: by themselves, in runs, and what must not get in or out."""

# ruff: noqa: ASYNC110, ASYNC240

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    InvalidConfig,
    InvalidValue,
    Retry,
    RunFailed,
    StepError,
    StepTimeout,
    chain,
    map_each,
    step,
    workflow,
)
from ripresa.steps import Command, Completed, Secret, python, shell
from ripresa.steps.places import folder_inside
from tests.steps.test_process import FAMILY, family, gone

SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], sys.stdin.read(), os.getcwd(), dict(os.environ)]))"


@dataclass
class Count:
    words: int
    lines: int


def failing(error: BaseException) -> Any:
    """What a run that failed recorded."""
    assert isinstance(error, RunFailed)
    return error.failure


async def test_a_text_is_the_input_of_a_program() -> None:
    assert await shell("cat")("tide") == Completed(0, "tide")
    assert await shell("cat")() == Completed(0, "")


async def test_a_command_adds_arguments_and_names_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    show = python(SHOW, "--", cwd=tmp_path)
    args, text, cwd, _ = json.loads((await show(Command(("a b", "$(id)"), "in", "deep"))).stdout)
    assert (args, text, cwd) == (["--", "a b", "$(id)"], "in", str((tmp_path / "deep").resolve()))


async def test_its_output_is_read_by_a_type() -> None:
    count = python("import json; print(json.dumps({'words': 3, 'lines': 1}))", returns=Count)
    assert await count() == Count(3, 1)
    assert await python("print('[1, 2]')", returns=list[int])() == [1, 2]


@pytest.mark.parametrize(("kind", "code"), [(Count, "print('no')"), (int, "print('\"x\"')"), (Any, "print('{')")])
async def test_output_that_is_not_of_the_type_is_an_error(kind: Any, code: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await python(code, returns=kind)()
    assert caught.value.code == "invalid_output"


async def test_it_is_a_step_like_any_other() -> None:
    @step
    async def say(word: str) -> str:
        return word * 2

    @step
    async def read(done: Completed) -> int:
        return len(done.stdout)

    async with App("memory:") as app:
        handle = await app.start(chain(say).then(shell("cat")).then(read)("tide"))
        assert await handle.result() == 8
        paths = [each.path for each in (await handle.status()).steps.values()]
    assert paths == ["say", "cat", "read"]


async def test_a_script_in_a_file_runs_isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    (tmp_path / "main.py").write_text(f"import sys\nassert sys.flags.isolated\n{SHOW}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = await python(tmp_path / "main.py", "x", cwd=tmp_path, pass_env=["PYTHONPATH"])()
    assert json.loads(found.stdout)[0] == ["x"]
    assert python(tmp_path / "main.py").name == "main"


# --- failures


async def test_a_status_that_is_not_ok_is_a_failure_that_says_why() -> None:
    broken = python("import sys; print('out'); print('no tide', file=sys.stderr); sys.exit(4)")
    with pytest.raises(StepError, match="ended with status 4: no tide") as caught:
        await broken()
    assert (caught.value.code, caught.value.retryable) == ("process_failed", True)


async def test_what_it_printed_tells_why_if_nothing_else_does() -> None:
    with pytest.raises(StepError, match="ended with status 1: only this"):
        await python("import sys; print('only this'); sys.exit(1)")()
    with pytest.raises(StepError, match=r"was killed by signal 9 \("):
        await python("import os; os.kill(os.getpid(), 9)")()


async def test_what_counts_as_success_and_what_is_final_is_said() -> None:
    exits = "import sys; sys.exit(int(sys.argv[1]))"
    assert (await python(exits, ok=(0, 1))(Command(("1",)))).exit == 1
    with pytest.raises(StepError) as caught:
        await python(exits, final=[2])(Command(("2",)))
    assert not caught.value.retryable


async def test_a_failure_is_tried_again_unless_it_is_final(tmp_path: Path) -> None:
    grows = "import sys; f = open(sys.argv[1], 'a'); f.write('x'); f.close(); n = len(open(sys.argv[1]).read()); "
    twice = python(grows + "sys.exit(0 if n == 2 else 7)", retry=Retry(3, wait=0))
    final = python(grows + "sys.exit(8)", retry=Retry(3, wait=0), final=[8])
    async with App("memory:") as app:
        assert (await app.run(twice(Command((str(tmp_path / "a"),))))).exit == 0
        with pytest.raises(RunFailed):
            await app.run(final(Command((str(tmp_path / "b"),))))
    assert (tmp_path / "a").read_text() == "xx"
    assert (tmp_path / "b").read_text() == "x"


async def test_a_program_that_is_missing_fails_the_run_and_is_not_tried_again() -> None:
    async with App("memory:") as app:
        handle = await app.start(shell("no-such-program", retry=3)("x"))
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        assert failing(caught.value).code == "executable_missing"
        assert [each.attempt for each in (await handle.status()).steps.values()] == [1]


async def test_a_timeout_ends_the_program_in_a_run_and_outside(tmp_path: Path) -> None:
    slow = python(FAMILY, timeout=0.4)
    with pytest.raises(StepTimeout, match=r"longer than its timeout of 0\.4 s"):
        await slow(Command((str(tmp_path / "a"),)))
    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(slow(Command((str(tmp_path / "b"),))))
    assert failing(caught.value).code == "timeout"
    assert await gone([pid for name in "ab" if (tmp_path / name).exists() for pid in await family(tmp_path / name)])


async def test_cancelling_a_run_ends_its_program(tmp_path: Path) -> None:
    async with App("memory:") as app:
        handle = await app.start(python(FAMILY, grace="1s")(Command((str(tmp_path / "pids"),))))
        pids = await family(tmp_path / "pids")
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert await gone(pids)


async def test_an_irreversible_program_of_which_nobody_knows_what_it_did_is_not_repeated() -> None:
    killed = python("import os; os.kill(os.getpid(), 9)", effect="irreversible", retry=3, name="killed")
    silent = python("import time; time.sleep(600)", effect="irreversible", retry=3, silence=0.2, name="silent")
    async with App("memory:") as app:
        for program in (killed, silent):
            handle = await app.start(program())
            async with asyncio.timeout(10):
                while not (view := await handle.status()).parked:
                    await asyncio.sleep(0.01)
            assert [each.attempt for each in view.steps.values()] == [1]
            await handle.cancel()


async def test_results_that_are_kept_are_told_apart_by_what_is_run() -> None:
    async with App("memory:") as app:
        for word in ("ebb", "flow"):
            say = python(f"print({word!r})", effect="read", cache=True, name="say")
            assert (await app.run(say())).stdout == f"{word}\n"


# --- what must not get in or out


@pytest.mark.parametrize("place", ["..", "../x", "/", "deep/../..", "link", "link/x", "a\0b", "none", "file"])
async def test_a_folder_that_leads_out_is_refused(place: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "file").write_text("")
    with pytest.raises(StepError) as caught:
        await shell("pwd", cwd=root)(Command(cwd=place))
    assert (caught.value.code, caught.value.retryable) == ("outside_workspace", False)


async def test_no_other_variable_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "LD_PRELOAD", "RIPRESA_STORE", "GIVEN"):
        monkeypatch.setenv(name, "sesame")
    found = json.loads((await python(SHOW, pass_env=("GIVEN",), env={"LEVEL": "3"})()).stdout)[3]
    assert (found["GIVEN"], found["LEVEL"]) == ("sesame", "3")
    assert not {"API_KEY", "LD_PRELOAD", "RIPRESA_STORE"} & set(found)


async def test_a_secret_is_given_and_is_in_nothing_that_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "open-sesame")
    (tmp_path / "pin").write_text("swordfish\n")
    given = {"A": Secret("env:TOKEN"), "B": Secret(f"file:{tmp_path / 'pin'}")}
    code = "import os, sys; t = os.environ['A'] + os.environ['B']; print(t, len(t)); print(t, file=sys.stderr)"
    works, fails = python(code, env=given), python(code + "; sys.exit(1)", env=given)
    store = f"sqlite:{tmp_path / 'runs.db'}"
    async with App(store) as app:
        assert await app.run(works()) == Completed(0, "****** 20\n", "******\n")
        with pytest.raises(RunFailed):
            await app.run(fails())
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))
    assert b"ended with status 1" in kept
    assert not [word for word in (b"open-sesame", b"swordfish") if word in kept]


async def test_a_secret_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for reference in ("env:NOT_SET_ANYWHERE", f"file:{tmp_path / 'none'}", f"file:{tmp_path / 'empty'}"):
        with pytest.raises(StepError, match="there is no secret at") as caught:
            await shell("true", env={"A": Secret(reference)})()
        assert caught.value.code == "secret_missing"


def test_a_secret_cannot_be_written_in_the_place_of_its_reference() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Secret("sk-very-secret")
    assert "sk-very-secret" not in str(caught.value)


async def test_an_argument_with_a_null_is_refused() -> None:
    with pytest.raises(InvalidValue):
        await shell("echo")(Command(("a\0b",)))


def test_bad_options_are_refused_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        shell("true", ok="x", final=[999], max_output=0, env={"A=B": "1", "C": 3}, colour="red")  # type: ignore[call-overload]
    for part in ("colour", "ok is", "final is", "max_output is 0", "'A=B' is no name", "no Secret for 'C'"):
        assert part in str(caught.value)
    with pytest.raises(InvalidConfig, match="must be a mapping"):
        shell("true", env=["A"])  # type: ignore[call-overload]
    for bad in ((), ("",), ("a\0",), (3,)):
        with pytest.raises(InvalidConfig, match="argv"):
            shell(*bad)
    with pytest.raises(InvalidConfig, match="script"):
        python("")
    with pytest.raises(InvalidConfig, match="pass_env"):
        shell("true", pass_env="PATH")
    with pytest.raises(InvalidConfig, match="effect"):
        shell("true", effect="odd")  # type: ignore[call-overload]


def test_a_step_has_a_name_that_paths_can_have() -> None:
    assert shell("/usr/bin/[").name == "shell"
    assert shell("/opt/my tool").name == "my_tool"
    assert shell("true", name="check").name == "check"
    assert os.path.basename(sys.executable)


# --- in every form of a workflow


async def test_a_durable_function_and_a_graph_run_programs_too() -> None:
    count = python("import sys; print(len(sys.stdin.read()))", returns=int, name="count")

    @workflow
    async def twice(ctx: Context, word: str) -> int:
        first, second = await ctx.gather(count(word), count(word * 2))
        return first + second

    @step
    async def add(one: int, two: int) -> int:
        return one + two

    g = Graph("both", input=str)
    one, two = g.add(count(g.input)), g.add(python("print(40)", returns=int, name="forty")(g.input))
    both = g.returns(g.add(add(one=one.out, two=two.out)).out)
    async with App("memory:") as app:
        assert await app.run(twice("ebb")) == 9
        assert await app.run(both("ab")) == 42
        assert await app.run(chain(map_each(count))(["a", "bb"])) == [1, 2]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for root, place, words in ((gone, "", str(gone)), (gone, "x", str(gone)), (tmp_path, "x", f"'x' in {tmp_path}")):
        with pytest.raises(StepError) as caught:
            folder_inside(root, place)
        assert (caught.value.message, caught.value.code) == (f"there is no folder {words}", "outside_workspace")
