"""What is public: it is there, it says what it is, importing it is cheap, and the core touches nothing of the world."""

import ast
import importlib
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ripresa

INIT = Path(ripresa.__file__)
TREE = ast.parse(INIT.read_text(encoding="utf-8"))

#: What is no class or function and has its docstring where it is defined, if any.
NO_DEFINITIONS = {"__version__", "Call"}

#: Modules whose import costs time, or that only some users need.
HEAVY = (
    "asyncio",
    "concurrent",
    "email",
    "http",
    "importlib.metadata",
    "logging",
    "multiprocessing",
    "pydantic",
    "pydantic_core",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "typer",
    "urllib",
)


def python(script: str) -> Any:
    """What a script prints as JSON in a process of its own, which nothing else is loaded into to measure it."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def type_checked_imports() -> Iterator[tuple[str, str]]:
    """Module and name of everything that `__init__` imports for type checkers."""
    for node in TREE.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                assert statement.level == 1
                for alias in statement.names:
                    assert alias.asname is None
                    yield statement.module or "", alias.name


def lazy_places() -> Iterator[tuple[str, str]]:
    """Module and name of everything that `__init__` imports when it is first used."""
    for node in TREE.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PLACES":
            for module, names in ast.literal_eval(node.value).items():
                for name in names:
                    yield module, name


# --- names


def test_type_checkers_see_what_is_imported_when_it_is_used() -> None:
    assert sorted(type_checked_imports()) == sorted(lazy_places())
    assert sorted([name for _, name in lazy_places()] + ["__version__"]) == sorted(ripresa.__all__)


@pytest.mark.parametrize("name", ripresa.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(ripresa, name)
    assert name in NO_DEFINITIONS or value.__doc__
    assert vars(ripresa)[name] is value  # which is found without asking from now on


def test_every_public_class_and_function_comes_from_where_the_table_says() -> None:
    for module, name in lazy_places():
        defined = getattr(importlib.import_module(f"ripresa.{module}"), name)
        assert defined is getattr(ripresa, name)
        assert name in NO_DEFINITIONS or defined.__module__ == f"ripresa.{module}"


def test_the_package_lists_what_is_public_and_knows_nothing_else() -> None:
    assert dir(ripresa) == sorted(ripresa.__all__)
    with pytest.raises(AttributeError, match="module 'ripresa' has no attribute 'nothing'"):
        ripresa.nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from ripresa import nothing")


def test_a_star_import_gives_what_is_public() -> None:
    names: dict[str, Any] = {}
    exec("from ripresa import *", names)
    del names["__builtins__"]
    assert sorted(names) == sorted(ripresa.__all__)


def test_no_public_name_is_that_of_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(INIT.parent)])}
    assert modules & set(ripresa.__all__) == set()


def test_every_public_name_is_used_by_a_test() -> None:
    """Not only imported: something is done with it, or said of it."""
    used: set[str] = set()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name | ast.Attribute):
                used.add(node.id if isinstance(node, ast.Name) else node.attr)
    assert sorted(set(ripresa.__all__) - used) == []


def test_the_version_is_that_of_the_distribution() -> None:
    assert ripresa.__version__ == importlib.metadata.version("ripresa")


# --- imports


def test_importing_the_package_loads_nothing_that_is_not_of_python_and_light() -> None:
    found = python(
        """
        import json, sys
        before = set(sys.modules)
        import ripresa
        ripresa.__version__, dir(ripresa)
        print(json.dumps(sorted(set(sys.modules) - before)))
        """
    )
    assert [name for name in found if name in HEAVY or name.startswith("ripresa.")] == []
    assert [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names] == ["ripresa"]


def test_the_core_loads_nothing_that_talks_to_the_world() -> None:
    found = python(
        """
        import json, sys
        before = set(sys.modules)
        import ripresa.core.advance, ripresa.core.events, ripresa.core.view, ripresa.errors
        print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
        """
    )
    assert [name for name in found if name in HEAVY and name not in ("pydantic_core",)] == []


@pytest.mark.parametrize("name", ["RipresaError", "Failure", "CancelToken", "RunView"])
def test_what_is_small_is_imported_without_what_is_not(name: str) -> None:
    found = python(
        f"""
        import json, sys
        from ripresa import {name}
        print(json.dumps([name for name in ("pydantic", "rich", "sqlite3", "typer") if name in sys.modules]))
        """
    )
    assert found == []


# --- purity


def test_the_core_decides_without_time_chance_or_the_world() -> None:
    """A history is played, replayed and encoded where everything that is not pure raises."""
    script = """
        import builtins, json, os, random, socket, subprocess, sys, time

        from ripresa.core.advance import advance, outstanding
        from ripresa.core.codec import decode_events, decode_state, encode_events, encode_state
        from ripresa.core.commands import Ask, RunStep, SetTimer
        from ripresa.core.definition import Definition
        from ripresa.core.events import (
            Answered, CancelRequested, RunReopened, RunStarted, RunTaken, StepCompleted, StepFailed, TimerFired, Failure
        )
        from ripresa.core.nodes.call import Call
        from ripresa.core.nodes.cleanup import Cleanup
        from ripresa.core.nodes.delay import Delay
        from ripresa.core.nodes.join import Join
        from ripresa.core.nodes.map import Map
        from ripresa.core.nodes.parallel import Parallel
        from ripresa.core.nodes.sequence import Sequence
        from ripresa.core.replay import replay
        from ripresa.core.retry import Retry, retry_after, spread_of
        from ripresa.core.state import RunState
        from ripresa.core.view import view_of

        def impure(*_, **__):
            raise AssertionError("the core is not pure")

        write = sys.stdout.write
        for module, names in (
            (builtins, ("open", "print", "input")),
            (os, ("urandom", "getenv", "open", "stat", "getpid")),
            (random, ("random", "randint", "choice", "seed", "getrandbits", "Random", "SystemRandom")),
            (socket, ("socket", "create_connection", "getaddrinfo", "gethostname")),
            (subprocess, ("Popen", "run")),
            (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep", "localtime", "gmtime")),
        ):
            for name in names:
                setattr(module, name, impure)

        body = Sequence("flow", (
            Call("a"),
            Map("m", Call("each"), join=Join(on_error="best_effort")),
            Parallel("p", (Call("x"), Delay("nap", 5)), join=Join()),
            Call("b"),
        ))

        def play(events):
            definition = Definition("flow", Cleanup("tidy", body, (Call("undo"),)))
            state, facts = RunState(definition), iter(events)
            journal, row = [], b""
            for fact in facts:
                consequences, _ = advance(state, fact)
                assert outstanding(decode_state(encode_state(state), definition)) is not None
                journal += [fact, *consequences]
            return definition, state, journal

        boom = Failure("step_failed", "boom", retryable=True)
        wait = retry_after(Retry(2, 1), 1, boom, spread_of(7, "a", 1))
        facts = [
            RunStarted(1, "r", "flow", "1", "", b"[1,2]", 7, deadline=1000),
            StepFailed(2, "a", 1, boom, 2 + round(wait)), TimerFired(9, "a"), StepCompleted(10, "a", 2, b"[1,2]"),
            RunTaken(10, 2, "me"), Answered(10, "m", b"2"), StepCompleted(11, "m/each[1]", 1, b"2"),
            StepCompleted(11, "m/each[0]", 1, b"1"), StepCompleted(12, "p/x", 1, b"3"), TimerFired(17, "p/nap"),
            StepFailed(18, "b", 1, boom), StepCompleted(19, "cleanup:undo", 1, b"4"), RunReopened(20),
            StepCompleted(21, "b", 2, b"5"),
        ]
        found = []
        for _ in range(2):
            definition, state, events = play(facts)
            journal = list(decode_events(encode_events(events), "r"))
            again = replay(RunState(definition), journal)
            assert encode_state(again) == encode_state(state)
            found.append((state.status, encode_events(events).decode(), view_of(journal).percent, definition.hash))
        assert found[0] == found[1]
        write(json.dumps([found[0][0], found[0][2], len(events)]))
        """
    status, percent, count = python(script)
    assert (status, percent) == ("completed", 100.0)
    assert count > 20
