"""Runs the examples of the specification unchanged, with what each of them needs: input, events, what stands in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ripresa import App, InvalidWorkflow, RunFailed, Surroundings, load_document
from ripresa.authoring.owf.inbox import EVENT
from ripresa.authoring.owf.problems import problem_of
from ripresa.testing.clock import ManualClock

from .playing import Unlike, expect

REFUSED: Final = ("run-container", "run-return", "call-asyncapi")
"""How the names of those begin that are refused when they are loaded: `run: container`, `call: asyncapi`."""


@dataclass(frozen=True)
class Case:
    """What an example is given, and what is to come of it: an output, or a problem with this status.

    Of one that goes on for ever, the requests are looked at that it made, and it is cancelled.
    """

    input: Any = None
    events: tuple[Any, ...] = ()
    output: Any = None
    status: int = 0
    asked: tuple[str, ...] = ()
    runs_on: bool = False
    waits: int = 0
    workflows: tuple[Any, ...] = field(default=())


def pet(number: int, token: str = "") -> dict[str, Any]:
    """A pet as the store answers it."""
    return {"id": number, "name": f"pet {number}", "status": "available", "caller": token}


def event(kind: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "id": "1", "source": "https://my.home.com/sensor", "type": kind, "data": data, **more}


VITALS: Final = "com.fake-hospital.vitals.measurements."
HEARTBEAT: Final = event("com.example.hospital.events.patients.heartbeat.low", {
    "patient": {"id": 1, "name": "Ann", "room": {"number": 3}, "vitals": {"bpm": 40}}, "timestamp": "now"
})  # fmt: skip
REGISTER: Final = {
    "document": {"dsl": "1.0.3", "namespace": "test", "name": "register-customer", "version": "0.1.0"},
    "do": [{"register": {"set": {"registered": "${ .customer }"}}}],
}
ALARM: Final = {"patient": {"fullName": "Ann"}, "room": {"number": 3}}
TOKEN: Final = "realms-fake-authority-"

CASES: Final[dict[str, Case]] = {
    "accumulate-room-readings": Case(
        events=(
            event("my.home.sensors.temperature", {"reading": 21}, roomid=1),
            event("my.home.sensors.humidity", {"reading": 50}, roomid=2),
            event("my.home.sensors.humidity", {"reading": 40}, roomid=1),
        ),
        status=400,  # `output.as: .data.reading` looks for a field in the list that listen leaves
    ),
    "authentication-bearer": Case({"token": "t"}, output=pet(1, "Bearer t")),
    "authentication-oauth2": Case({"petId": 2}, output=pet(2, f"{TOKEN}auth-token")),
    "authentication-oidc": Case({"petId": 2}, output=pet(2, f"{TOKEN}tokens")),
    "call-custom-function-inline": Case(output=pet(69)),
    "call-http-endpoint-interpolation-shorthand": Case({"petId": 1}, output=pet(1)),
    "call-http-query-headers-expressions": Case(
        {"searchQuery": "luke"}, output={"results": ["luke"], "accept": "application/json"}
    ),
    "call-http-redirect": Case({"searchQuery": "led"}, output={"results": ["led"], "accept": "*/*"}),
    "call-openapi-redirect": Case(output=[{k: v for k, v in pet(n).items() if k != "caller"} for n in (1, 2, 69)]),
    "conditional-task": Case({"customer": {"age": 20}}, output={"done": True}),
    "do-single": Case({"petId": 1}, output=pet(1)),
    "for-inline-array": Case(
        output={"processed": [
            {"name": "red", "hex": "#FF0000"}, {"name": "green", "hex": "#00FF00"}, {"name": "blue", "hex": "#0000FF"}
        ]}
    ),
    "fork": Case(ALARM, output={"done": True}),
    "listen-to-all": Case(
        events=(event(f"{VITALS}bpm", {"bpm": 50}), event(f"{VITALS}temperature", {"temperature": 39})),
        output=[{"bpm": 50}, {"temperature": 39}],
    ),
    "listen-to-any-forever-foreach": Case(
        events=(event("gossip", {"roomId": 7}), event("gossip", {"roomId": 8})),
        asked=("/fake-chat-api.com/room/7", "/fake-chat-api.com/room/8"),
        runs_on=True,
    ),
    "listen-to-any-until-consumed": Case(
        events=(event(f"{VITALS}bpm", {"bpm": 50}), event("com.fake-hospital.patient.checked-out")),
        output=[{"bpm": 50}],
    ),
    "listen-to-one": Case(
        events=(event("com.virtual-wf-powered-race.events.race.started.v1", {}),), output={"done": True}
    ),
    "raise-inline": Case(status=500),
    "run-script-with-stdin-and-arguments": Case(
        output="stdin >  Hello Workflow\narg >  hello\nenv >  bar\n"
    ),
    "run-subflow": Case({"user": {"name": "Ann"}}, workflows=(REGISTER,), output={"registered": ".user"}),
    "schedule-event-driven": Case([HEARTBEAT], output={"done": True}),
    "set": Case([HEARTBEAT], output={"startEvent": HEARTBEAT}),
    "switch-then-string": Case(
        {"orderType": "physical"}, output={"inventory": "clear", "items": 1, "address": "Elmer St"}
    ),
    "try-catch-retry-reusable": Case({"petId": 1}, output=pet(1)),
    "try-catch-then": Case({"petId": 99}, output={"error": "$error"}),
    "wait-duration-inline": Case(waits=30),
}  # fmt: skip


async def run(path: Path, surroundings: Surroundings, asked: Callable[[], list[str]]) -> None:
    """Run an example. Raises `Unlike`."""
    if path.stem.startswith(REFUSED):
        _refuse(path, surroundings)
        return
    case = CASES.get(path.stem)
    if case is None:
        raise Unlike("it is not known what is to come of it")
    given = Surroundings(stand_ins=surroundings.stand_ins, workflows=case.workflows)
    flow = load_document(path, surroundings=given)
    clock = ManualClock() if case.waits else None
    async with App("memory:", clock=clock) as app:
        handle = await app.start(flow(case.input))
        for each in case.events:
            await handle.send(EVENT, each)
        if case.runs_on:
            await asyncio.wait_for(_asked(case.asked, asked), 30)
            await handle.cancel()
            return
        if clock is not None:
            expect(await clock.jump() == case.waits * 1_000_000, "it waits for another time")
        await _ended(handle, case)


async def _asked(wanted: tuple[str, ...], asked: Callable[[], list[str]]) -> None:
    """Wait until these paths were asked for, by a run that goes on for ever."""
    while not set(wanted) <= set(asked()):  # noqa: ASYNC110 - what is asked is seen by the server alone
        await asyncio.sleep(0.01)


async def _ended(handle: Any, case: Case) -> None:
    try:
        found = await asyncio.wait_for(handle.result(), 60)
    except RunFailed as error:
        problem = problem_of(error.failure)
        expect(problem is not None and problem["status"] == case.status, f"it faulted: {error}")
    else:
        expect(not case.status, f"it did not fault, but left {found!r}")
        expect(found == case.output, f"the output is {found!r}, not {case.output!r}")


def _refuse(path: Path, surroundings: Surroundings) -> None:
    try:
        load_document(path, surroundings=surroundings)
    except InvalidWorkflow as error:
        expect(error.code == "not_available", f"it is refused for another reason: {error}")
    else:
        raise Unlike("it is not refused")
