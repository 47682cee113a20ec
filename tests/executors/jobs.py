"""Functions that the tests run in child processes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ripresa.authoring.step import step
from ripresa.context import current


@dataclass
class Point:
    x: int
    y: int


class Broken(ValueError):
    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} is broken ({number})")


class Tools:
    @staticmethod
    @step
    def double(number: int) -> int:
        return 2 * number

    def method(self) -> None: ...


@step(executor="process")
def mirrored(point: Point, *, times: int = 1) -> Point:
    assert isinstance(point, Point)
    return Point(point.y * times, point.x * times)


@step(executor="process")
async def mirrored_later(point: Point) -> Point:
    await asyncio.sleep(0)
    return Point(point.y, point.x)


def plain(number: int) -> int:
    return number + 1


def promised(number: int) -> Any:
    return mirrored_later(Point(number, 0))


def pid() -> int:
    return os.getpid()


def echo(text: str) -> str:
    return text


def wrong() -> int:
    return "three"  # type: ignore[return-value]


def fail(what: str) -> None:
    try:
        raise KeyError(what)
    except KeyError as error:
        raise Broken(what, 7) from error


def leave() -> None:
    sys.exit(3)


def die(status: int) -> None:
    os._exit(status)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def shut_everything() -> None:
    os.closerange(3, 100)
    time.sleep(100)


def talk() -> str:
    print("said by print")
    os.write(1, b"written to 1\n")
    print("complained", file=sys.stderr)
    return sys.stdin.read()


def lose_stdout() -> None:
    sys.stdout.close()
    sys.stdout = None
    sys.stderr.close()


def hang(started: str, *, locked: bool = True) -> None:
    """Say who is there, a grandchild too, and hang, with the lock of the interpreter held or not."""
    import ctypes

    grandchild = subprocess.Popen(["sleep", "100"])
    say(started, f"{os.getpid()} {grandchild.pid}")
    (ctypes.PyDLL if locked else ctypes.CDLL)(None).sleep(100)


def never_end() -> None:
    """Leave a thread behind for which the interpreter waits at its end."""
    threading.Thread(target=time.sleep, args=(100,)).start()


def fork(started: str) -> int:
    """A forked process goes on while the child is asked for the next job."""
    forked = os.fork()
    if forked == 0:
        time.sleep(100)
        os._exit(0)
    say(started, str(forked))
    return forked


def wait_for(file: str, said: str = "") -> str:
    """Say that it began, and wait for a file."""
    if said:
        say(said, str(os.getpid()))
    while not Path(file).exists():
        time.sleep(0.002)
    return Path(file).name


def say(file: str, text: str) -> None:
    Path(file + "~").write_text(text, encoding="utf-8")
    Path(file + "~").rename(file)


def told() -> dict[str, Any]:
    context = current()
    return {
        "run": context.run,
        "workflow": context.workflow,
        "path": context.path,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "deadline": context.deadline and context.deadline.isoformat(),
        "cancelled": context.cancelled,
    }


def progress() -> None:
    current().progress(1)


async def reserving() -> None:
    await current().reserve(tokens=1)


def stating() -> None:
    current().state(Point)


def writing() -> None:
    current().to(Point)


def in_session() -> list[object]:
    session = current().session
    return [session.id, session.names(), session.get("level", int), session.get("none", int, 7)]


def changing_session() -> dict[str, Any]:
    session = current().session
    session.set("place", "Ostia")
    session.add("level", 3)
    session.append("heights", 7)
    session.merge("tide", low=1)
    session.delete("old")
    return {name: session.get(name) for name in session.names()}


def adding(to: str, amount: Any) -> None:
    current().session.add(to, amount)


def using() -> None:
    current().usage(tokens=3, cost=None)
    current().touched(Path("chart"))


def saving() -> None:
    current().save_artifact("chart", b"")


async def call() -> None:
    await current().call(mirrored_later, Point(1, 2))


def surroundings() -> dict[str, Any]:
    return {"path": sys.path, "argv": sys.argv, "cwd": os.getcwd(), "variable": os.environ.get("RIPRESA_TEST")}


def default_timeout(seconds: float) -> None:
    socket.setdefaulttimeout(seconds)


def outer() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


nameless: Callable[[int], int] = lambda number: number  # noqa: E731
half_done = partial(plain, 1)
hidden = plain


def shadowed() -> None: ...


shadowed_before = shadowed
shadowed = plain  # type: ignore[assignment]
number = 1


def lent() -> object:
    """The member of a pool that the child was lent."""
    return current().resource


async def taking() -> None:
    from ripresa import Pool

    async with Pool("gpu", size=1).take():
        pass
