"""Standard output holds the result and nothing else, whoever prints."""

import json
import os
import subprocess
import sys

import pytest

from ripresa.cli.output import own_output
from tests.cli.program import Terminal

NOISY = """
import os, subprocess
from ripresa import chain, step

@step
def noisy(x: int) -> int:
    print("printed")
    subprocess.run(["echo", "of a child"], check=True)
    os.write(1, b"of native code\\n")
    return x + 1

@step(executor="process")
def apart(x: int) -> int:
    print("of a process", flush=True)
    os.write(1, b"of a process's native code\\n")
    return x + 1

flow = chain(noisy).then(apart)
"""


def test_what_child_processes_and_native_code_print_goes_beside_the_result(terminal: Terminal) -> None:
    terminal.write("noisy.py", NOISY)
    done = terminal("run", "noisy.py:flow", "--input", "1", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["output"] == 3
    for noise in ("printed", "of a child", "of native code", "of a process", "of a process's native code"):
        assert f"{noise}\n" in done.err
    assert terminal("run", "noisy.py:flow", "--input", "1", "-q").out == "3\n"


def interrupted() -> None:
    with own_output():
        print("result")
        os.write(1, b"noise\n")
        subprocess.run(["echo", "of a child"], check=True)
        raise KeyError


def test_the_descriptor_is_what_it_was_afterwards(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(1, "w", encoding="utf-8", closefd=False) as out:
        monkeypatch.setattr(sys, "stdout", out)
        out.write("before\n")
        with pytest.raises(KeyError):
            interrupted()
        assert sys.stdout is out
        os.write(1, b"after\n")
        monkeypatch.undo()
    assert capfd.readouterr() == ("before\nresult\nafter\n", "noise\nof a child\n")


def test_standard_output_that_is_kept_in_memory_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = sys.stdout
    with own_output():
        assert sys.stdout is found
        print("result")
    assert capsys.readouterr().out == "result\n"
