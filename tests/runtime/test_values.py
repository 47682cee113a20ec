"""Values at the border: large ones by content, lists split once, and what is no list refused."""

import pytest

from ripresa.core.values import LARGE, Pick, by_content
from ripresa.errors import InvalidValue
from ripresa.runtime.values import Keeper, Values, split


def values() -> tuple[Values, dict[str, bytes]]:
    blobs: dict[str, bytes] = {}
    return Values(blobs.__getitem__), blobs


def test_every_kind_of_value_is_read() -> None:
    reader, blobs = values()
    reference, digest = by_content(b'["large", 2]')
    blobs[digest] = b'["large", 2]'
    assert reader.read(b"[1, 2]", list[int]) == [1, 2]
    assert reader.read(reference, list) == ["large", 2]
    assert reader.read(Pick(reference, 0), str) == "large"
    assert reader.read((b"1", b"2"), list[int]) == [1, 2]
    assert reader.read((b"1", reference, (Pick((b"7", b"8"), 1),)), list) == [1, ["large", 2], [8]]


def test_a_list_is_split_once_while_it_is_worked_through() -> None:
    reader, _ = values()
    value = b"[1, 2, 3]"
    assert reader.items(value) is reader.items(value)
    others = [b"[%d]" % number for number in range(20)]
    for other in others:
        assert reader.items(other) == [other[1:-1]]
    assert len(reader.known) <= reader.REMEMBERED
    assert reader.items(value) == [b"1", b"2", b"3"]


def test_what_is_no_list_is_refused() -> None:
    for text in (b"7", b'{"a": 1}', b'"text"'):
        with pytest.raises(InvalidValue, match="list"):
            split(text)


def test_only_large_values_are_kept_apart_and_taken_once() -> None:
    keeper = Keeper()
    small, large = b"1" * LARGE, b"1" * (LARGE + 1)
    assert keeper.keep(small) is small
    assert keeper.take() == ()
    assert keeper.keep(large) == keeper.keep(bytes(large)) == by_content(large)[0]
    assert keeper.take() == ((by_content(large)[1], large),)
    assert keeper.take() == ()
