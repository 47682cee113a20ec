"""Marks: beside each item of a stream, from where its source would go on after it.

A source's own mark is the number of its item, from 1, or for a source with positions a pair of number and position.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast


class Cut(NamedTuple):
    """A mark inside of what a stage holds open: `content` is what stage number `stage` goes on with after `mark`."""

    mark: Any
    stage: int
    content: tuple[Any, int]


def base_of(mark: Any) -> Any:
    """The source's own mark: the number of its item, for one with positions with the position."""
    while isinstance(mark, Cut):
        mark = mark.mark
    return mark


def number_of(mark: Any) -> int:
    """The number of the source's item that a mark stands behind."""
    base = base_of(mark)
    number: int = cast("tuple[int, Any]", base)[0] if isinstance(base, tuple) else base
    return number


def label(mark: Any) -> str:
    """A mark as text: the number of the source's item, and of what it became in which stages; no two are alike."""
    if isinstance(mark, Cut):
        return f"{label(mark.mark)}.{mark.stage}:{mark.content[1]}"
    return str(mark[0] if isinstance(mark, tuple) else mark)  # pyright: ignore[reportUnknownArgumentType]
