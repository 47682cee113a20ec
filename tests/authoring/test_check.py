"""What can be said about a workflow before it runs."""
# ruff: noqa: ASYNC210, ASYNC230, ASYNC250, ASYNC251, SIM115 - the mistakes are meant

from __future__ import annotations

import asyncio
import inspect
import random
import time
import uuid
from datetime import date, datetime
from random import randint
from types import SimpleNamespace
from typing import Any

from ripresa import Context, Graph, chain, current, workflow
from ripresa.authoring import check as module
from ripresa.authoring.check import check, doubts
from ripresa.authoring.flow import Flow
from ripresa.errors import Problem

from .samples import double, fetch, greet, length


@workflow
async def doubtful(ctx: Context, number: int) -> int:
    import os.path as path
    import urllib.request
    from os import urandom as noise

    time.time()
    datetime.now()
    date.today()
    random.random()
    randint(1, 2)
    uuid.uuid4()
    open("x")
    input()
    urllib.request.urlopen("x")
    noise(3)
    time.sleep(1)
    await asyncio.sleep(3)
    await asyncio.gather()
    path.join("a", "b")
    ctx.random.random()
    random.Random(3)
    unknown = SimpleNamespace(call=print)
    unknown.call()
    (lambda: 3)()
    await current().call(fetch, "x")
    return number


EXPECTED = [
    (4, "nondeterminism", "calls time.time(): use ctx.now()"),
    (5, "nondeterminism", "calls datetime.datetime.now(): use ctx.now()"),
    (6, "nondeterminism", "calls datetime.date.today(): use ctx.now().date()"),
    (7, "nondeterminism", "calls random.random(): use ctx.random"),
    (8, "nondeterminism", "calls random.randint(): use ctx.random"),
    (9, "nondeterminism", "calls uuid.uuid4(): use ctx.uuid()"),
    (10, "nondeterminism", "calls open(): read and write files in a @step"),
    (11, "nondeterminism", "calls input(): ask in a @step"),
    (12, "nondeterminism", "calls urllib.request.urlopen(): do it in a @step"),
    (13, "nondeterminism", "calls os.urandom(): use ctx.random"),
    (14, "foreign_await", "calls time.sleep(): await ctx.sleep(...)"),
    (15, "foreign_await", "calls asyncio.sleep(): await ctx.sleep(...)"),
    (16, "foreign_await", "calls asyncio.gather(): await ctx.gather(...)"),
    (23, "usage", "calls ripresa.context.current(): await the @step itself, or ask the function's Context"),
]


def test_a_graph_whose_result_may_be_null_is_doubtful() -> None:
    g = Graph("g", input=str)
    size = g.add(length(g.input))
    found = check(g.returns(g.add(double(size.out), when=size.out > 3).out))
    assert [(problem.where, problem.code, problem.severity) for problem in found] == [
        ("g", "invalid_output", "warning")
    ]
    h = Graph("h", input=str)
    size = h.add(length(h.input))
    assert check(h.returns(h.first(h.add(double(size.out), when=size.out > 3), size).out)) == []


def test_what_differs_in_replay_is_found_with_its_line() -> None:
    first = inspect.getsourcelines(doubtful.fn)[1] + 2
    assert check(doubtful) == [Problem(f"{__file__}:{first + line}", message, code) for line, code, message in EXPECTED]


def test_durable_functions_are_found_wherever_they_stand() -> None:
    assert len(check(chain(length).then(doubtful).then(doubtful))) == len(EXPECTED)


def test_what_was_built_and_asks_only_its_context_is_fine() -> None:
    assert [check(thing) for thing in (greet, chain(fetch), length)] == [[], [], []]


def test_what_cannot_be_run_is_a_problem() -> None:
    assert check(3) == [Problem("", "3 is no step, flow or workflow")]


def test_a_flow_that_cannot_be_built_says_why() -> None:
    def broken(place: Any) -> Any:
        place.note("broken", "cycle")

    class Unchecked(Flow[Any, Any]):
        def _check(self) -> None:
            """Left for later."""

    assert check(Unchecked(broken, name="x")) == [Problem("x", "broken", "cycle")]


def test_a_function_without_source_says_nothing() -> None:
    scope: dict[str, Any] = {}
    exec("async def typed(ctx): return time.time()", scope)
    assert doubts(scope["typed"]) == []


def test_methods_of_modules_own_objects_are_known_by_the_module() -> None:
    things = (random.gauss, time.monotonic, datetime, date.today, time)
    assert [module._full_name(thing) for thing in things] == [
        "random.gauss",
        "time.monotonic",
        "datetime.datetime",
        "datetime.date.today",
        "time",
    ]
    assert module._full_name([].append) == "builtins.append"
    assert module._full_name(3) is None
