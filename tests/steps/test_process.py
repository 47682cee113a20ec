"""Programs are run in groups of their own, and nothing of them is left."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC240, ASYNC251

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from ripresa import StepError
from ripresa.steps.process import Bounds, Ended, Process, Program, find_program, run_program, started, usual_environment

FAMILY = textwrap.dedent("""
    import os, signal, subprocess, sys, time
    stubborn = len(sys.argv) > 2
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if stubborn else "pass"
    child = subprocess.Popen(
        [sys.executable, "-c", f"import signal, time; {deaf}; print('on', flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)
""")


def python(code: str, *args: str, cwd: Path = Path(), grace: float = 5.0) -> Program:
    script = textwrap.dedent(code)
    return Program((sys.executable, "-c", script, *args), cwd, usual_environment(), grace)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def family(file: Path) -> list[int]:
    """The processes that `FAMILY` tells of."""
    while not file.exists():
        await asyncio.sleep(0.005)
    return [int(word) for word in file.read_text().split()]


async def gone(pids: list[int]) -> bool:
    """Whether all of them end: what is killed takes a moment."""
    for _ in range(400):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.005)
    return False


async def run(program: Program, text: bytes = b"", **bounds: float) -> Ended:
    return await run_program(program, text, Bounds(**bounds))  # type: ignore[arg-type]


async def test_a_program_is_given_its_input_and_says_what_it_says() -> None:
    ended = await run(python("import sys; print(sys.stdin.read().upper()); print('hm', file=sys.stderr)"), b"word")
    assert ended == Ended(0, b"WORD\n", b"hm\n")


async def test_much_goes_in_and_out_at_once() -> None:
    text = b"x" * 3_000_000
    echo = python("import sys; [sys.stdout.buffer.write(p) for p in iter(lambda: sys.stdin.buffer.read(5000), b'')]")
    assert (await run(echo, text, output=4_000_000)).output == text


async def test_a_program_that_does_not_read_its_input_is_left_in_peace() -> None:
    assert (await run(python("print('done')"), b"x" * 1_000_000)).output == b"done\n"


async def test_what_it_says_last_of_its_errors_is_kept() -> None:
    ended = await run(python("import sys; sys.stderr.write('a' * 100000 + 'end'); sys.exit(3)"))
    assert (ended.status, len(ended.errors), ended.errors[-4:]) == (3, 65_536, b"aend")


async def test_a_status_may_be_a_signal() -> None:
    assert (await run(python("import os; os.kill(os.getpid(), 9)"))).status == -9


async def test_too_much_output_ends_it() -> None:
    with pytest.raises(StepError, match="more than 1,000 bytes") as caught:
        await run(python("while True: print('x' * 500)"), output=1000)
    assert (caught.value.code, caught.value.retryable) == ("too_large", False)


async def test_one_that_says_nothing_for_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    begun = asyncio.ensure_future(run(python(FAMILY, str(tmp_path / "pids")), silence=0.6))
    pids = await family(tmp_path / "pids")
    with pytest.raises(StepError, match=r"said nothing for 0\.6 s") as caught:
        await begun
    assert (caught.value.code, caught.value.retryable) == ("no_output", True)
    assert await gone(pids)


async def test_one_that_goes_on_speaking_is_not_stopped() -> None:
    speaker = python("import time\nfor _ in range(12): print('.', flush=True); time.sleep(0.05)")
    assert (await run(speaker, silence=0.5)).output == b".\n" * 12


@pytest.mark.parametrize("stubborn", [False, True])
async def test_cancelling_ends_the_whole_group(tmp_path: Path, stubborn: bool) -> None:
    args = [str(tmp_path / "pids"), *(["stubborn"] if stubborn else [])]
    task = asyncio.ensure_future(run(python(FAMILY, *args, grace=0.1 if stubborn else 60)))
    pids = await family(tmp_path / "pids")
    assert all(map(alive, pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pids)


async def test_being_cancelled_again_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    task = asyncio.ensure_future(run(python(FAMILY, str(tmp_path / "pids"), "stubborn", grace=600)))
    pids = await family(tmp_path / "pids")
    task.cancel()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pids)


async def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    leaver = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid)
    """
    ended = await run(python(leaver))
    assert ended.status == 0
    assert await gone([int(ended.output)])


async def test_one_that_escapes_with_the_output_does_not_hold_up_the_end(tmp_path: Path) -> None:
    escape = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print(child.pid)
    """
    ended = await run(python(escape))
    os.kill(int(ended.output), signal.SIGKILL)
    assert ended.status == 0


async def test_closing_the_loop_while_it_is_being_stopped_kills_it(tmp_path: Path) -> None:
    script = f"""
        import asyncio, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from tests.steps.test_process import FAMILY, family, python, run

        async def main():
            task = asyncio.ensure_future(run(python(FAMILY, sys.argv[1], "stubborn", grace=600)))
            print(*await family(pathlib.Path(sys.argv[1])))
            task.cancel()
            await asyncio.sleep(0.02)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pids")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert await gone([int(word) for word in done.stdout.split()])


@pytest.mark.skipif(sys.platform != "linux", reason="only this kernel kills a group for a pipe that closes")
async def test_nothing_outlives_this_process_even_if_that_is_killed(tmp_path: Path) -> None:
    script = f"""
        import asyncio, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from tests.steps.test_process import FAMILY, python, run

        asyncio.run(run(python(FAMILY, sys.argv[1], "stubborn")))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pids")])
    pids = await family(tmp_path / "pids")
    time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert await gone(pids)


async def test_leaving_it_early_stops_it() -> None:
    async with started(python("import time; print('on', flush=True); time.sleep(600)")) as process:
        assert await process.stdout.readline() == b"on\n"
        assert alive(process.pid)
    assert not alive(process.pid)


# --- what cannot be run


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "./no-such-file", "/no/such/file", "folder"])
async def test_a_program_that_is_not_there_is_an_error_that_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StepError, match="there is no such program") as caught:
        await run(Program((name,), tmp_path, usual_environment()))
    assert (caught.value.code, caught.value.retryable) == ("executable_missing", False)


async def test_a_file_that_is_not_executable_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for name in ("./text", str(tmp_path / "text")):
        with pytest.raises(StepError, match="cannot be run: it is not executable") as caught:
            await run(Program((name,), tmp_path, usual_environment()))
        assert (caught.value.code, caught.value.retryable) == ("executable_missing", False)


async def test_a_file_that_is_no_program_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(StepError, match="cannot be run: Exec format error"):
        await run(Program(("./text",), tmp_path, {}))


def test_a_path_is_taken_from_the_folder_and_a_name_from_the_path(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    assert find_program("./tool", tmp_path, {}) == str(tmp_path / "tool")
    assert find_program("tool", Path(), {"PATH": str(tmp_path)}) == str(tmp_path / "tool")
    assert find_program("sh", tmp_path, {}).endswith("/sh")


def test_the_environment_is_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "sesame")
    monkeypatch.setenv("MODE", "quick")
    found = usual_environment(("MODE", "NOT_SET"))
    assert found["MODE"] == "quick"
    assert "API_KEY" not in found
    assert "NOT_SET" not in found


async def test_a_program_ends_also_where_no_descriptor_is_left_to_watch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(pid: int) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    program = Program((sys.executable, "-c", "print(1)"), Path.cwd(), usual_environment())
    async with asyncio.timeout(20):
        assert (await run_program(program, b"", Bounds())).output == b"1\n"


async def test_pipes_that_were_not_connected_yet_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Process, pipe: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(Process, "_reader", never)
    with pytest.raises(asyncio.CancelledError):
        async with started(python("pass")):
            raise AssertionError
    gc.collect()  # a file that is left open is told as a warning, which is an error here
