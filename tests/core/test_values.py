"""Values: moved about, never looked into."""

import pytest

from ripresa.core.values import Pick, Value, by_content, digest_of, is_inline, reference, text_of


@pytest.mark.parametrize(
    ("value", "inline"),
    [
        (b"1", True),
        (b'"@not a reference"', True),
        (reference("ab"), False),
        ((b"1", (b"2", b"3")), True),
        ((b"1", reference("ab")), False),
        (Pick(b"[1]", 0), False),
        ((Pick(b"[1]", 0),), False),
        ((), True),
    ],
)
def test_a_value_is_inline_if_nothing_else_must_be_read(value: Value, inline: bool) -> None:
    assert is_inline(value) is inline


def test_a_tuple_reads_as_an_array() -> None:
    assert text_of((b"1", (b'"x"', b"null"), ())) == b'[1,["x",null],[]]'
    assert text_of(b"7") == b"7"


def test_a_large_value_is_found_by_its_content() -> None:
    stored, digest = by_content(b'"much"')
    assert digest_of(stored) == digest
    assert stored == reference(digest)
    assert len(digest) == 64
    assert digest_of(b'"much"') is None
