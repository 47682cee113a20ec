"""JSON for events and state: everything that can be recorded comes back as it was."""

import dataclasses
import json
import typing
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.core import events as events_module
from ripresa.core.codec import (
    EVENTS,
    decode_events,
    decode_state,
    decode_value,
    encode_events,
    encode_state,
    encode_value,
)
from ripresa.core.definition import Definition
from ripresa.core.events import (
    Asked,
    CallRecorded,
    CallSpec,
    Consequence,
    Event,
    Fact,
    Failure,
    Recorded,
    RunCompleted,
    RunFailed,
    RunStarted,
    StateRestored,
    StepCompleted,
    StepFailed,
    StepScheduled,
    TimerFired,
    Write,
)
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.parts import ValidationResult
from ripresa.core.values import Pick, Value, reference
from ripresa.errors import StoreError

from .play import START, Play, call, calls, define, failure

# --- values

texts = st.text(max_size=20)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts, lambda inner: st.lists(inner, max_size=3)
).map(lambda found: json.dumps(found, separators=(",", ":")).encode())
references = st.text("0123456789abcdef", min_size=8, max_size=8).map(reference)
values: st.SearchStrategy[Value] = st.recursive(
    json_texts | references,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.builds(Pick, inner, st.integers(0, 9)),
    max_leaves=6,
)


@given(values)
def test_a_value_comes_back_as_one_that_reads_the_same(value: Value) -> None:
    line = encode_value(value)
    assert b"\n" not in line
    assert encode_value(decode_value(line)) == line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b'{"x":1}', b'{"x":1}'),
        (reference("ab"), b"@ab"),
        ((b"1", (b"2",)), b"[1,[2]]"),
        (Pick((b"1", b"2"), 1), b'*{"of":"[1,2]","index":1}'),
        (Pick(b"[1,2]", 1), b'*{"of":"[1,2]","index":1}'),
        ((reference("ab"), (b"1", b"2")), b'*["@ab","[1,2]"]'),
    ],
)
def test_values_on_a_line(value: Value, line: bytes) -> None:
    assert encode_value(value) == line


# --- events

failures = st.recursive(
    st.builds(
        Failure, texts, texts, st.lists(texts, max_size=2).map(tuple), st.booleans(), texts, st.integers(0, 9), texts
    ),
    lambda inner: st.builds(
        Failure, texts, texts, cause=st.none() | inner, others=st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=3,
)
plain_values = values.map(encode_value).map(decode_value)
writes = st.lists(
    st.builds(Write, texts, st.sampled_from(["set", "append"]), plain_values, texts)
    | st.builds(Write, texts, st.just("custom"), plain_values, texts, plain_values),
    max_size=2,
).map(tuple)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    "int": st.integers(0, 2**62),
    "str": texts,
    "float": st.floats(0, 1e6),
    "bool": st.booleans(),
    "Value": values.map(encode_value).map(decode_value),
    "Failure": failures,
    "Failure | None": st.none() | failures,
    "tuple[int, ...]": st.lists(st.integers(0, 99), max_size=3).map(tuple),
    "tuple[str, ...]": st.lists(texts, max_size=3).map(tuple),
    "tuple[Failure, ...]": st.lists(failures, max_size=2).map(tuple),
    "tuple[Write, ...]": writes,
    "tuple[StateRestored, ...]": st.lists(
        st.builds(StateRestored, texts, writes, st.lists(texts, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    "tuple[ValidationResult, ...]": st.lists(
        st.builds(ValidationResult, texts, texts, st.booleans(), texts), max_size=2
    ).map(tuple),
    "tuple[CallSpec, ...]": st.lists(
        st.builds(CallSpec, st.integers(1, 9), texts, texts, values.map(encode_value).map(decode_value), texts, writes),
        max_size=2,
    ).map(tuple),
}


def any_event(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, *(FIELDS[annotation] for annotation in kind.__annotations__.values()))


@given(st.lists(st.sampled_from(sorted(EVENTS)).flatmap(lambda name: any_event(EVENTS[name])), max_size=6))
def test_every_event_comes_back_as_it_was(events: list[Any]) -> None:
    found = list(decode_events(encode_events(events, START), "r", 5))
    assert [recorded.event for recorded in found] == events
    assert [recorded.seq for recorded in found] == list(range(5, 5 + len(events)))
    at = START
    for recorded in found:
        at = getattr(recorded.event, "at", at)
        assert (recorded.run, recorded.at) == ("r", at)


def test_every_event_class_is_known_and_a_record() -> None:
    defined = {
        kind
        for kind in vars(events_module).values()
        if dataclasses.is_dataclass(kind) and kind not in (Failure, CallSpec, Recorded, ValidationResult, Write)
    }
    assert set(EVENTS.values()) == defined
    assert all("__slots__" in vars(kind) and kind.__dataclass_params__.unsafe_hash for kind in EVENTS.values())
    assert {kind.__name__ for kind in typing.get_args(Fact)} & {
        kind.__name__ for kind in typing.get_args(Consequence)
    } == set()
    assert all(kind.__annotations__["at"] == "int" for kind in typing.get_args(Fact))


def test_a_row_is_one_line_of_events_and_one_for_each_value() -> None:
    events: list[Event] = [
        StepCompleted(5, "a", 1, b'{"x":1}'),
        StepScheduled("b", 1),
        StepCompleted(6, "b", 1, b"2"),
        RunCompleted(b"2"),
    ]
    assert encode_events(events) == (
        b'[5,["StepCompleted","a",1,0],["StepScheduled","b",1],6,["StepCompleted","b",1,1],["RunCompleted",2]]\n'
        b'{"x":1}\n2\n2'
    )


def test_fields_that_were_added_later_have_their_defaults() -> None:
    (started,) = decode_events(b'[5,["RunStarted","r","w","1","h",0,3,""]]\n1')
    assert started.event == RunStarted(5, "r", "w", "1", "h", b"1", 3)
    row = b'[5,["StepFailed","a",1,["c","m",[],false,"",0,"",null,[]]],["BranchTaken","b","x","y"]]'
    first, second = decode_events(row)
    assert first.event == StepFailed(5, "a", 1, Failure("c", "m"), 0)
    assert second.event == EVENTS["BranchTaken"]("b", "x", "y", 0)


def test_half_a_surrogate_pair_does_not_break_a_journal() -> None:
    events: list[Event] = [StepFailed(5, "a", 1, failure("no file '\udcff' \n \u2028 ü")), RunFailed(failure("\udcff"))]
    row = encode_events(events)
    row.decode("utf-8")
    assert [recorded.event for recorded in decode_events(row)] == events


GARBLED = [
    b"",
    b"[",
    b"5",
    b"null",
    b'{"a":1}',
    b"[null]",
    b'["StepScheduled"]',
    b'[["Unheard"]]',
    b'[["StepScheduled"]]',
    b'[["StepScheduled","a",1,2]]',
    b"[[[]]]",
    b"[[5]]",
    b'[["RunCompleted",3]]\n1',
    b'[["RunCompleted","x"]]\n1',
    b'[["RunCompleted",0]]\n*{"off":1}',
    b'[["RunCompleted",0]]\n*[7]',
    b'[["RunCompleted",0]]\n*[',
    b'[["RunFailed",["only","this"]]]',
    b'[["FanOutEnded","a",1,2,3,7]]',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("row", GARBLED)
def test_a_row_that_cannot_be_read_says_so(row: bytes) -> None:
    with pytest.raises(StoreError, match=r"event 7 of run 'r' cannot be read") as caught:
        list(decode_events(row, "r", 7))
    assert (caught.value.code, caught.value.op) == ("store_corrupt", "read")


@given(st.binary(max_size=60))
def test_whatever_a_row_holds_it_is_read_or_refused(row: bytes) -> None:
    with suppress(StoreError):
        list(decode_events(row))


# --- state


def test_a_state_comes_back_with_its_nodes() -> None:
    play = Play(define(*calls("a b")))
    play.start(b"0", deadline=5)
    play.feed(CallRecorded(play.now, "a", 1, "k", b"1"))
    play.fail("a", retry_in=9)
    text = encode_state(play.state)
    again = decode_state(text, play.definition)
    assert encode_state(again) == text
    assert again.root is again.frames[""]
    assert again.frames["a"].node is play.definition.root.children[0]
    assert again.frames["a"].parent is again.root


def test_a_run_that_has_not_begun_has_a_state_too() -> None:
    play = Play(define(call("a")))
    assert encode_state(decode_state(encode_state(play.state), play.definition)) == encode_state(play.state)


def test_the_state_does_not_grow_with_what_is_done() -> None:
    def state_after(count: int) -> int:
        play = Play(Definition("w", Sequence("s", tuple(Call(f"n{index:04}") for index in range(count + 1)))))
        play.start(b"0")
        for index in range(count):
            play.feed(StepCompleted(play.now, f"n{index:04}", 1, b"1"))
        return len(encode_state(play.state))

    assert state_after(200) - state_after(100) < 10


def test_facts_are_written_with_their_time_and_consequences_without() -> None:
    started = RunStarted(7, "r", "w", "1", "h", b"1", 3)
    found = list(decode_events(encode_events([started, StepScheduled("a", 1), TimerFired(9, "a")])))
    assert [recorded.at for recorded in found] == [7, 7, 9]
    assert found[0].event == started


def test_calls_of_functions_are_written_with_their_inputs() -> None:
    asked = Asked(5, "f", (CallSpec(1, "step", "a", b'{"x":1}'), CallSpec(2, "flow", "b", reference("ab"), "s")), (1,))
    assert [recorded.event for recorded in decode_events(encode_events([asked]))] == [asked]
