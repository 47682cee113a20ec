"""Collections that are made when they are first looked at."""

from typing import ClassVar

import pytest

from ripresa.core.lazily import Lazily


class Box(Lazily):
    __slots__ = ("found", "given")
    made_late: ClassVar = {"found": list}
    found: list[int]

    def __init__(self) -> None:
        self.given = 1


def test_what_is_made_late_is_made_once_and_for_each_object_anew() -> None:
    one, other = Box(), Box()
    one.found.append(1)
    assert one.found == [1]
    assert other.found == []


def test_a_name_that_is_none_is_told_as_ever() -> None:
    with pytest.raises(AttributeError, match="'Box' object has no attribute 'lost'"):
        _ = Box().lost  # type: ignore[attr-defined]
    assert not hasattr(Box(), "lost")
