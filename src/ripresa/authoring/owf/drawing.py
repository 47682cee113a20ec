"""Draws an Open Workflow document: its tasks, and the ways between them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ...core.durations import MICROSECONDS
from .composites import Do, For, Fork, Function, Wait
from .extensions import Extended, without
from .leaves import Switch
from .listening import Listen
from .tasks import CONTINUE, END, EXIT, Block, Task
from .trying import Try

if TYPE_CHECKING:
    from ..draw import Ends, Picture


def drawn(picture: Picture, block: Block, frame: str | None, label: str) -> Ends:
    """A list of tasks; one without tasks is a point with this label."""
    from ..draw import Ends

    if not block.tasks:
        return picture.shape(label, "join", frame)
    ends = [_task(picture, task, frame) for task in block.tasks]
    left: list[str] = []
    for index, task in enumerate(block.tasks):
        for way, then in _ways(task):
            place = index + 1 if then == CONTINUE else len(ends) if then == EXIT else _position(block, then)
            if place == len(ends):
                left += ends[index].exits
            elif place is not None:
                picture.join(ends[index].exits, ends[place].entries, way)
    return Ends(ends[0].entries, tuple(dict.fromkeys(left)))


def _ways(task: Task) -> list[tuple[str, str]]:
    """Where the flow goes after a task, each way with its label."""
    body = without(task).body
    if isinstance(body, Try) and body.catch.then is not None:
        return [("", task.then), ("caught", body.catch.then)]
    if not isinstance(body, Switch):
        return [("", task.then)]
    cases = [(case.name, case.then) for case in body.cases]
    return cases if any(case.when is None for case in body.cases) else [*cases, ("", task.then)]


def _position(block: Block, then: str) -> int | None:
    return None if then == END else block.position(then)


def _task(picture: Picture, task: Task, frame: str | None) -> Ends:
    from ..draw import Ends

    name = f"{task.name}?" if task.flow.when is not None else task.name
    match task.body:
        case Extended(before=before, after=after):
            return _around(picture, task, before, after, picture.frame(name, frame))
        case Do(block=block):
            return drawn(picture, block, picture.frame(name, frame), name)
        case For(each=each, block=block):
            return drawn(picture, block, picture.frame(f"{name}: each {each}", frame), name)
        case Function(task=inner):
            return _task(picture, inner, picture.frame(name, frame))
        case Fork(branches=branches, compete=compete):
            start = picture.shape(f"{name}: {'first to end' if compete else 'all'}", "fork", frame)
            arms = [_task(picture, branch, frame) for branch in branches]
            for arm in arms:
                picture.join(start.exits, arm.entries)
            return Ends(start.entries, tuple(key for arm in arms for key in arm.exits))
        case Try(block=block, catch=catch):
            return _tried(picture, picture.frame(name, frame), name, block, catch.block)
        case Switch():
            return picture.shape(name, "choice", frame)
        case Wait(length=length):
            told = f": {length / MICROSECONDS:g} s" if isinstance(length, int) else ""
            return picture.shape(f"{name}{told}", "wait", frame)
        case Listen(each=each):
            heard = picture.shape(f"{name}: events", "wait", frame)
            if each is None or each.block is None:
                return heard
            done = drawn(picture, each.block, picture.frame(f"{name}: each {each.item}", frame), name)
            picture.join(heard.exits, done.entries)
            return Ends(heard.entries, done.exits)
        case _:
            return picture.shape(name, "step", frame)


def _around(picture: Picture, task: Task, before: Block, after: Block, inside: str) -> Ends:
    from ..draw import Ends

    parts = [drawn(picture, before, inside, task.name)] if before.tasks else []
    parts.append(_task(picture, without(task), inside))
    parts += [drawn(picture, after, inside, task.name)] if after.tasks else []
    for one, other in pairwise(parts):
        picture.join(one.exits, other.entries)
    return Ends(parts[0].entries, parts[-1].exits)


def _tried(picture: Picture, inside: str, name: str, block: Block, handler: Block | None) -> Ends:
    from ..draw import Ends

    ends = drawn(picture, block, inside, name)
    if handler is None:
        return ends
    handled = drawn(picture, handler, inside, name)
    picture.join(ends.exits, handled.entries, "fails", dashed=True)
    return Ends(ends.entries, (*ends.exits, *handled.exits))
