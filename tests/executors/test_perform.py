"""What a child does with a job, seen in this process: decode, run in the attempt's context, encode, or tell why not."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from ripresa.core.codec import failure_from
from ripresa.core.events import Failure
from ripresa.executors.frames import Inbound, pack
from ripresa.executors.perform import perform
from ripresa.executors.targets import target_of
from tests.executors import jobs

CONTEXT = {"run": "r1", "workflow": "flow", "path": "a/b", "attempt": 3, "key": "r1/a/b", "deadline": None}


def done(fn: Any, arguments: bytes = b"{}", **head: Any) -> Any:
    failure, body = perform(json.dumps({"target": target_of(fn), "context": CONTEXT, **head}).encode(), arguments)
    assert failure == b""
    return json.loads(body)


def failed(fn: Any, arguments: bytes = b"{}", **head: Any) -> Failure:
    failure, body = perform(json.dumps({"target": target_of(fn), "context": CONTEXT, **head}).encode(), arguments)
    assert body == b""
    return failure_from(json.loads(failure)["failure"])


@pytest.mark.parametrize(
    ("fn", "arguments", "result"),
    [
        (jobs.mirrored, b'{"point":{"x":1,"y":2},"times":3}', {"x": 6, "y": 3}),
        (jobs.mirrored, b'{"point":{"x":1,"y":2}}', {"x": 2, "y": 1}),
        (jobs.mirrored_later, b'{"x":1,"y":2}', {"x": 2, "y": 1}),
        (jobs.promised, b"4", {"x": 0, "y": 4}),
        (jobs.Tools.double, b"4", 8),
        (jobs.plain, b"4", 5),
    ],
)
def test_arguments_are_decoded_and_the_result_is_encoded(fn: Any, arguments: bytes, result: Any) -> None:
    assert done(fn, arguments) == result


def test_a_step_knows_its_attempt() -> None:
    assert done(jobs.told) == {
        "run": "r1",
        "workflow": "flow",
        "path": "a/b",
        "attempt": 3,
        "key": "r1/a/b",
        "deadline": None,
        "cancelled": False,
    }
    due = datetime(2026, 7, 14, 12, 30, 0, 250_000, UTC)
    context = {**CONTEXT, "deadline": int(due.timestamp() * 1_000_000)}
    assert done(jobs.told, context=context)["deadline"] == due.isoformat()


def test_what_a_step_raises_is_data_with_its_cause_and_without_our_frames() -> None:
    failure = failed(jobs.fail, b'"the pump"')
    assert failure.code == "step_failed"
    assert failure.message == "the pump is broken (7)"
    assert failure.types == (f"{jobs.__name__}.Broken", "ValueError", "Exception")
    assert (failure.path, failure.attempt, failure.retryable) == ("a/b", 3, True)
    assert failure.cause is not None
    assert failure.cause.types[0] == "KeyError"
    assert "in fail" in failure.traceback
    assert "perform.py" not in failure.traceback


@pytest.mark.parametrize(
    ("fn", "arguments", "code", "message"),
    [
        (jobs.plain, b'"four"', "invalid_input", "valid integer"),
        (jobs.wrong, b"{}", "invalid_output", "valid integer"),
        (jobs.leave, b"{}", "step_failed", "3"),
        (jobs.progress, b"{}", "not_available", "progress does not work in a child process"),
        (jobs.taking, b"{}", "not_available", "checkout does not work in a child process"),
        (jobs.call, b"{}", "not_available", "call does not work in a child process"),
        (jobs.reserving, b"{}", "not_available", "reserve does not work in a child process"),
        (jobs.stating, b"{}", "not_available", "state does not work in a child process"),
        (jobs.writing, b"{}", "not_available", "to does not work in a child process"),
        (jobs.in_session, b"{}", "not_available", "belongs to no session"),
        (jobs.saving, b"{}", "not_available", "save_artifact"),
    ],
)
def test_whatever_goes_wrong_is_a_failure_with_a_code(fn: Any, arguments: bytes, code: str, message: str) -> None:
    failure = failed(fn, arguments)
    assert failure.code == code
    assert message in failure.message
    assert (failure.path, failure.attempt) == ("a/b", 3)


SESSION: dict[str, Any] = {"session": {"id": "s", "values": {"level": "4", "old": "1"}}}


def told(fn: Any, arguments: bytes = b"{}", **more: Any) -> tuple[list[Any], Failure | None]:
    """What a job reports, and of what it failed."""
    job = {"target": target_of(fn), "context": {**CONTEXT, **more}}
    head = json.loads(perform(json.dumps(job).encode(), arguments)[0])
    failure = head.get("failure")
    return [json.loads(text) for text in head["told"]], None if failure is None else failure_from(failure)


def test_a_step_reads_what_the_session_held_with_its_own_changes_and_tells_them() -> None:
    context = {**CONTEXT, "session": {"id": "s", "values": {"level": "4"}}}
    assert done(jobs.in_session, context=context) == ["s", ["level"], 4, 7]
    assert told(jobs.changing_session, **SESSION) == (
        [
            ["session", "place", "set", '"Ostia"'],
            ["session", "level", "add", "3"],
            ["session", "heights", "append", "7"],
            ["session", "tide", "merge", '{"low":1}'],
            ["session", "old", "delete", "null"],
        ],
        None,
    )
    job = {"target": target_of(jobs.changing_session), "context": {**CONTEXT, **SESSION}}
    seen = json.loads(perform(json.dumps(job).encode(), b"{}")[1])
    assert seen == {"place": "Ostia", "level": 7, "heights": [7], "tide": {"low": 1}}


@pytest.mark.parametrize(
    ("to", "amount", "why"),
    [("", 1, "is no printable text"), ("level", "high", "add takes a number"), ("place", 1, "add does not fit")],
)
def test_changes_that_do_not_fit_are_refused_where_they_are_made(to: str, amount: object, why: str) -> None:
    values = {"session": {"id": "s", "values": {"place": '"Ostia"'}}}
    found, failure = told(jobs.adding, json.dumps({"to": to, "amount": amount}).encode(), **values)
    assert found == []
    assert failure is not None
    assert failure.code == "invalid_input"
    assert why in failure.message


def test_what_a_step_used_and_touched_is_told() -> None:
    assert told(jobs.using) == ([["use", 3, None], ["touch", "chart"]], None)


def test_a_closed_stdout_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def flush(self) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", Closed())
    assert done(jobs.plain, b"1") == 2


def test_messages_are_put_together_from_any_pieces() -> None:
    messages = [(b"", b""), (b"head", b""), (b"", b"body"), (b"head", b"body" * 1000)]
    for size in (1, 3, 5000):
        inbound = Inbound()
        for message in messages:
            stream = pack(*message)
            pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
            assert [inbound.feed(piece) for piece in pieces] == [None] * (len(pieces) - 1) + [message]
