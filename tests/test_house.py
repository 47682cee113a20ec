"""The rules of the house that no linter knows, held over every source file."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import SOURCE, TOGETHER, trees

ROOT = Path(__file__).parent.parent
pytestmark = TOGETHER

#: The only files that may catch any exception of code that is not ours, each with the reason.
MAY_CATCH_EVERYTHING = {
    "authoring/owf/going.py": "whatever a call of a task failed of is raised as the task's problem",
    "authoring/migration.py": "a migration is the user's: what it raises is why nothing was changed",
    "authoring/failures.py": "the text of an exception may raise itself",
    "cli/inputs.py": "importing a target runs the user's module: what it raises is shown as theirs",
    "client.py": "outcome() gives whatever result() raises as a value",
    "executors/perform.py": "the border in the child process",
    "executors/threads.py": "what a function raises is handed to whoever awaits it",
    "runtime/querying.py": "the border: what answers a query beside a flow is code of the user's",
    "runtime/attempts.py": "the border: what a step raises becomes data here",
    "runtime/driver.py": "the border: what a predicate raises becomes data here",
    "runtime/reconciling.py": "the border: what a reconciliation raises becomes data here",
    "runtime/feed.py": "a listener is told afterwards and cannot change what happened",
    "runtime/pump.py": "a hook watches a stream and steers it; what it raises is not the stream's failure",
    "runtime/outbox.py": "the border: what a sender of the user's raises is why it is tried again",
    "runtime/stages.py": "the border for items: what a function raises makes them dead letters, by policy",
    "runtime/streams.py": "a reader that goes away does not hear how the stream ended",
    "runtime/hooks.py": "the border to hooks: what an interceptor or an observer raises becomes data here",
    "runtime/fibers.py": "the border: what a durable function raises is its outcome",
    "runtime/deaf.py": "the border: what a durable function that is thrown away raises, nobody hears",
    "runtime/interpreter.py": "the border: what answers a query is user code",
    "runtime/targets.py": "importing a target runs the user's module: a worker that cannot leaves its runs to others",
    "testing/real_code.py": "the border of a simulation: what a condition raises becomes data here",
}

MOST_LINES = {"module": 700, "function": 60}
LISTS = {"core/events.py"}
"""Modules that are one list, of small classes all alike: as long as there are such things."""

TESTS = {path.relative_to(ROOT / "tests").as_posix(): path for path in sorted((ROOT / "tests").rglob("*.py"))}

LONG_SLEEP = 0.05
"""Seconds from which a sleep of a constant length makes a test slow, or dependent on the machine."""

#: The only tests that may sleep so long, each with the reason.
MAY_SLEEP = {
    "authoring/test_check.py": "bodies that are looked at and never run",
    "runtime/test_sleeping.py": "what another process wrote is noticed by looking five times a second",
    "cli/test_stopping.py": "a terminal says nothing when a program is ready for Ctrl-C",
    "executors/jobs.py": "jobs that are killed long before",
    "executors/test_processes.py": "a timeout of the system's, which no clock of ours moves, must have passed",
    "runtime/test_attempts.py": "a thread that goes on after the timeout of its step",
    "runtime/test_cancellation.py": "a child process says nothing when it has begun",
    "runtime/test_concurrency.py": "timeouts of steps run on the loop's own time",
    "runtime/test_functions.py": "a durable function that awaits it is an error",
    "runtime/test_moments.py": "the patience of the engine runs on the loop's own time",
    "runtime/test_two_apps.py": "another process is looked at in intervals",
}

EMPTY_WORDS = {"utils", "helpers", "common", "base", "types", "manager"}

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def mentions(node: ast.AST | None, *names: str) -> bool:
    return node is not None and any(
        (isinstance(part, ast.Name) and part.id in names) or (isinstance(part, ast.Attribute) and part.attr in names)
        for part in ast.walk(node)
    )


def names_everything(node: ast.expr) -> bool:
    return mentions(node, "Exception", "BaseException")


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public classes, functions and methods; what stands inside a function is not public."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from public_definitions(node.body, prefix)
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def says_nothing_new(node: Definition) -> bool:
    """Overloads, overrides and setters are documented where the name is first defined."""
    return any(mentions(decorator, "overload", "override", "setter", "deleter") for decorator in node.decorator_list)


def catches_everything(tree: ast.Module) -> Iterator[int]:
    """Lines that swallow any exception; cleaning up and raising it again is not swallowing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            passes_on = isinstance(last, ast.Raise) and last.exc is None
            if (node.type is None or names_everything(node.type)) and not passes_on:
                yield node.lineno
        elif isinstance(node, ast.Call) and mentions(node.func, "suppress") and any(map(names_everything, node.args)):
            yield node.lineno


def test_everything_public_says_what_it_is_for() -> None:
    silent = [f"{file}: module" for file, tree in trees().items() if not ast.get_docstring(tree)]
    silent += [
        f"{file}:{node.lineno}: {name}"
        for file, tree in trees().items()
        for name, node in public_definitions(tree.body)
        if not ast.get_docstring(node) and not says_nothing_new(node)
    ]
    assert silent == []


def test_only_the_borders_catch_every_exception() -> None:
    found = [
        f"{file}:{line}"
        for file, tree in trees().items()
        if file not in MAY_CATCH_EVERYTHING
        for line in catches_everything(tree)
    ]
    assert found == []


def test_each_of_the_borders_is_one() -> None:
    assert [file for file in MAY_CATCH_EVERYTHING if not list(catches_everything(trees()[file]))] == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("try: f()\nexcept Exception: pass", [2]),
        ("try: f()\nexcept (ValueError, Exception): pass", [2]),
        ("try: f()\nexcept: pass", [2]),
        ("with contextlib.suppress(Exception): f()", [1]),
        ("try: f()\nexcept BaseException:\n    clean()\n    raise", []),
        ("try: f()\nexcept ValueError: pass", []),
    ],
)
def test_a_handler_that_swallows_everything_is_seen(code: str, lines: list[int]) -> None:
    assert list(catches_everything(ast.parse(code))) == lines


def test_nothing_is_left_unimplemented() -> None:
    assert [file for file, tree in trees().items() if mentions(tree, "NotImplementedError")] == []


def test_every_module_is_named_for_what_is_in_it() -> None:
    words = {file: {part.lstrip("_") for part in Path(file).with_suffix("").parts} for file in trees()}
    assert [file for file in trees() if EMPTY_WORDS & words[file]] == []


def test_no_module_and_no_function_is_long() -> None:
    modules = {file: len((SOURCE / file).read_text(encoding="utf-8").splitlines()) for file in trees()}
    functions = {
        f"{file}:{node.lineno}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {file: lines for file, lines in modules.items() if lines > MOST_LINES["module"] and file not in LISTS}
    assert long == {}
    assert {name: lines for name, lines in functions.items() if lines > MOST_LINES["function"]} == {}


def long_sleeps(tree: ast.Module) -> Iterator[int]:
    """Lines that sleep for a constant time that is long."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="time" | "asyncio" | "anyio"), attr="sleep"),
                args=[ast.Constant(value=int() | float() as length)],
            ) if length >= LONG_SLEEP:
                yield node.lineno
            case _:
                pass


def test_tests_do_not_sleep() -> None:
    texts = {file: path.read_text(encoding="utf-8") for file, path in TESTS.items()}
    found = {file: list(long_sleeps(ast.parse(text))) for file, text in texts.items() if "sleep" in text}
    assert {file: lines for file, lines in found.items() if lines and file not in MAY_SLEEP} == {}


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("time.sleep(0.05)", [1]),
        ("async def f():\n    await asyncio.sleep(1)", [2]),
        ("await anyio.sleep(3)", [1]),
        ("time.sleep(0.01); asyncio.sleep(0); clock.sleep(9); time.sleep(wait)", []),
    ],
)
def test_a_long_sleep_is_seen(code: str, lines: list[int]) -> None:
    assert list(long_sleeps(ast.parse(code))) == lines


def test_the_package_index_shows_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = "README.md" if (ROOT / "README.md").exists() else None
    assert project.get("readme") == expected
