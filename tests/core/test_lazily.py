"""Collections that are made when they are first looked at."""

from ripresa.core.lazily import Late


class Box:
    __slots__ = ("_found",)
    found = Late[list[int]](list)


def test_what_is_made_late_is_made_once_and_for_each_object_anew() -> None:
    one, other = Box(), Box()
    assert not hasattr(one, "_found")
    one.found.append(1)
    assert one.found == [1]
    assert other.found == []


def test_it_may_be_something_else() -> None:
    box = Box()
    box.found = [2]
    assert box.found == [2]
