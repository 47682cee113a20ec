"""What can be said about a workflow before it runs: whether it can be built, and what its functions should not do."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, cast

from ..core.nodes.dynamic import Dynamic
from ..core.nodes.graph import Graph
from ..core.nodes.node import Node
from ..errors import InvalidWorkflow, Problem
from .fit import SKIPPED
from .flow import Runnable
from .function import Workflow
from .parameters import Parameters
from .placement import executors_of, placed
from .single import Single
from .step import Bound, Step

_NONE: Final = Parameters(len)

#: What a durable function must not call, with the code and what to do instead; the longest dotted name decides.
FORBIDDEN: Final[dict[str, tuple[str, str]]] = {
    "time": ("nondeterminism", "use ctx.now()"),
    "time.sleep": ("foreign_await", "await ctx.sleep(...)"),
    "datetime.datetime.now": ("nondeterminism", "use ctx.now()"),
    "datetime.datetime.utcnow": ("nondeterminism", "use ctx.now()"),
    "datetime.datetime.today": ("nondeterminism", "use ctx.now()"),
    "datetime.date.today": ("nondeterminism", "use ctx.now().date()"),
    "random": ("nondeterminism", "use ctx.random"),
    "secrets": ("nondeterminism", "use ctx.random, or a @step for a secret"),
    "os.urandom": ("nondeterminism", "use ctx.random"),
    "os.getenv": ("nondeterminism", "give it as input, or read it in a @step"),
    "uuid.uuid1": ("nondeterminism", "use ctx.uuid()"),
    "uuid.uuid4": ("nondeterminism", "use ctx.uuid()"),
    "input": ("nondeterminism", "ask in a @step"),
    "open": ("nondeterminism", "read and write files in a @step"),
    "requests": ("nondeterminism", "do it in a @step"),
    "httpx": ("nondeterminism", "do it in a @step"),
    "urllib.request": ("nondeterminism", "do it in a @step"),
    "socket": ("nondeterminism", "do it in a @step"),
    "subprocess": ("nondeterminism", "do it in a @step"),
    "asyncio": ("foreign_await", "await steps and what the context offers"),
    "asyncio.sleep": ("foreign_await", "await ctx.sleep(...)"),
    "asyncio.gather": ("foreign_await", "await ctx.gather(...)"),
    "asyncio.wait": ("foreign_await", "await ctx.race(...) or ctx.gather(...)"),
    "ripresa.context.current": ("usage", "await the @step itself, or ask the function's Context"),
    "anyio": ("foreign_await", "await steps and what the context offers"),
    "trio": ("foreign_await", "await steps and what the context offers"),
}


def check(thing: object) -> list[Problem]:
    """Everything that is wrong with a step, flow or workflow, and what is doubtful in its durable functions.

    What was built is valid, so of flows only the durable functions in them are looked at, as source text, one function
    deep (`where` is file and line), and what is doubtful: annotations that say nothing, executors of one's own.
    """
    if isinstance(thing, Step):
        thing = Single(cast("Step[..., Any]", thing))
    if not isinstance(thing, Runnable):
        return [Problem("", f"{thing!r} is no step, flow or workflow")]
    try:
        node: Node[Any] = thing.node
    except InvalidWorkflow as error:
        return list(error.problems)
    functions = {found.code.fn: None for found in walk(node) if isinstance(found, Dynamic)}
    return [*(problem for fn in functions for problem in doubts(fn)), *_warnings(node)]


def _warnings(node: Node[Any]) -> Iterator[Problem]:
    """What need not be wrong: annotations that say nothing, and what the app that runs it must have."""
    for where, part in placed(node, node.name):
        for each in _parameters(part).unresolved:
            message = f"the annotation of {each.subject} is {each.text}, which cannot be resolved here ({each.why})"
            hint = "anything is let through there: import it also while the program runs, before the function is used"
            yield Problem(where, f"{message}; {hint}", "unresolved_annotation", "warning")
        if isinstance(part, Graph) and SKIPPED in getattr(part.output_type, "__metadata__", ()):
            message = (
                "its result is null where the node that it is made of was skipped: join it with another, first(...)"
            )
            yield Problem(where, message, "invalid_output", "warning")
    for where, name in executors_of(node):
        message = f"names the executor {name!r}, which the app must have: App(executors={{{name!r}: ...}})"
        yield Problem(where, message, "unknown_executor", "warning")


def _parameters(node: Node[Any]) -> Parameters:
    code = getattr(node, "code", None)
    step = code.step if isinstance(code, Bound) else code
    return step.parameters if isinstance(step, Step | Workflow) else _NONE


def walk(node: Node[Any]) -> Iterator[Node[Any]]:
    """The node and those below it, parents before children."""
    yield node
    for child in node.children:
        yield from walk(child)


def doubts(fn: Callable[..., Any]) -> list[Problem]:
    """Calls in the body of a durable function that give other answers in replay, or wait for what is not journaled."""
    source = _source(fn)
    if source is None:
        return []
    seen = inspect.getclosurevars(fn)
    own = {name: name for name in seen.builtins} | _imported(source.tree)
    names = _Names({**seen.globals, **seen.nonlocals}, own)
    calls = [part for part in ast.walk(source.tree) if isinstance(part, ast.Call)]
    found = [(call, names.dotted(call.func)) for call in calls]
    problems = [
        (call.lineno, Problem(f"{source.file}:{source.line + call.lineno - 1}", f"calls {name}(): {advice}", code))
        for call, name in found
        if name is not None
        for code, advice in _rule(name)
    ]
    return [problem for _, problem in sorted(problems, key=lambda item: item[0])]


def _rule(name: str) -> Iterator[tuple[str, str]]:
    """The rule of the longest prefix of a dotted name, if there is one."""
    if name == "random.Random":  # seeded, it is the same in replay
        return
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        rule = FORBIDDEN.get(".".join(parts[:length]))
        if rule:
            yield rule
            return


@dataclass(frozen=True, slots=True)
class _Source:
    file: str
    line: int
    tree: ast.AST


def _source(fn: Callable[..., Any]) -> _Source | None:
    try:
        lines, first = inspect.getsourcelines(fn)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or part of a longer expression
        return None
    return _Source(inspect.getsourcefile(fn) or "", first, tree)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Names that the body imports, with what they stand for."""
    found: dict[str, str] = {}
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            for alias in part.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(part, ast.ImportFrom):
            for alias in part.names:
                found[alias.asname or alias.name] = f"{part.module}.{alias.name}"
    return found


@dataclass(frozen=True, slots=True)
class _Names:
    """What the names in a function stand for: objects it sees, and full names of what is built in or imported in it."""

    visible: dict[str, Any]
    named: dict[str, str]

    def dotted(self, expression: ast.expr) -> str | None:
        """The full name of what an expression such as `time.time` stands for."""
        if isinstance(expression, ast.Attribute):
            base = self.dotted(expression.value)
            return f"{base}.{expression.attr}" if base else None
        if not isinstance(expression, ast.Name):
            return None
        if expression.id in self.named:
            return self.named[expression.id]
        return _full_name(self.visible.get(expression.id))


def _full_name(found: Any) -> str | None:
    """Module and name of an object; of a method of a module's own instance, such as random.randint, the module's."""
    if isinstance(found, ModuleType):
        return found.__name__
    name = getattr(found, "__name__", None)
    if not isinstance(name, str):
        return None
    owner = getattr(found, "__self__", None)
    if inspect.isclass(owner):
        return f"{owner.__module__}.{owner.__qualname__}.{name}"
    module = owner.__name__ if isinstance(owner, ModuleType) else getattr(found, "__module__", None)
    return f"{module or type(owner).__module__}.{name}"
