"""Every workflow of the corpus keeps every promise: its result, its journal, and itself after any interruption."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from ripresa import App, Handle, Recorded, RipresaError
from ripresa.authoring.check import check
from ripresa.authoring.draw import draw
from ripresa.core.codec import decode_events, decode_state, encode_events, encode_state
from ripresa.core.events import StepCompleted, StepScheduled
from ripresa.core.lifecycle import TERMINAL
from ripresa.core.replay import is_fact
from ripresa.core.state import RunState
from ripresa.core.view import view_of
from ripresa.errors import StoreError
from ripresa.ports import RunHead
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.real_code import RealCode
from tests.corpus.cases import Case
from tests.corpus.control_flow import PATTERNS
from tests.corpus.sharing import SHARING
from tests.corpus.workflows import WORKFLOWS
from tests.runtime.stage import Failing, in_memory

CASES = [*PATTERNS.values(), *WORKFLOWS, *SHARING]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))


async def begun(app: App, case: Case) -> Handle[Any]:
    """The run of a case, as it stands or from its beginning."""
    head = await app.store.find_run("run")
    if head is None:
        return await app.start(case.flow(*case.input), id="run", **case.options)
    return await (app.handle("run", case.flow) if head.status in TERMINAL else app.resume("run", case.flow))


async def seen_through(app: App, case: Case) -> tuple[str, Any]:
    """How it ends."""
    handle = await begun(app, case)
    if case.act is not None and not (await handle.status()).ended:
        try:
            await case.act(handle)
        except RipresaError as error:
            if error.code != "illegal_transition":  # else it ended meanwhile
                raise
    outcome = await asyncio.wait_for(handle.outcome(), 20)
    if outcome.error is not None and outcome.status not in TERMINAL:
        raise outcome.error
    return outcome.status, outcome.value


def check_journal(journal: list[Recorded], case: Case) -> None:
    """What holds for every journal."""
    assert [item.seq for item in journal] == list(range(1, len(journal) + 1))
    assert [item.at for item in journal] == sorted(item.at for item in journal)
    text = encode_events(item.event for item in journal)
    assert [item.event for item in decode_events(text, "run")] == [item.event for item in journal]
    scheduled = [(e.path, e.attempt) for e in (item.event for item in journal) if isinstance(e, StepScheduled)]
    completed = [e.path for e in (item.event for item in journal) if isinstance(e, StepCompleted)]
    assert len(set(scheduled)) == len(scheduled)
    assert len(set(completed)) == len(completed)
    view = view_of(journal)
    assert view.status == case.status
    assert view.seq == len(journal)
    assert not view.current


def check_replay(journal: list[Recorded], case: Case) -> None:
    """The journal gives the state, also from a state that was written and read again between any two facts.

    Durable functions are stepped along, and rebuilt from the state that was read, as a process does it that takes
    the run up.
    """
    whole = encode_state(followed(case, journal).state)
    for cut in (index for index, item in enumerate(journal) if is_fact(item.event)):
        before = followed(case, journal[:cut]).state
        after = decode_state(encode_state(before), before.definition)
        assert encode_state(followed(case, journal[cut:], after).state) == whole


def followed(case: Case, journal: list[Recorded], state: RunState | None = None) -> RealCode:
    """The run of a case as far as a journal leads, from a state or from the beginning."""
    code = RealCode(case.flow, RunHead("run", "", "", "running", "", 0, 0), state)
    code.replay(journal)
    code.close()
    return code


@EVERY
async def test_it_ends_as_it_should_and_its_journal_is_sound(case: Case, tmp_path: Any) -> None:
    assert [problem for problem in check(case.flow) if problem.severity == "error"] == []
    assert draw(case.flow)
    async with App(f"sqlite:{tmp_path}/store.db", durability="normal", patience=0.05) as app:
        assert await seen_through(app, case) == (case.status, case.output)
        journal = await app.engine.history("run")
    check_journal(journal, case)
    check_replay(journal, case)


@EVERY
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_stopped_at_any_write_it_ends_as_if_nothing_had_happened(case: Case, after: bool) -> None:
    number = 0
    stopped = True
    while stopped:
        number += 1
        memory = Memory()
        stopped = await stopped_at(number, memory, case, after=after)
        async with in_memory(memory) as app:
            assert await seen_through(app, case) == (case.status, case.output), f"stopped at write {number}"
            check_journal(await app.engine.history("run"), case)
    assert number > 1


async def stopped_at(number: int, memory: Memory, case: Case, *, after: bool) -> bool:
    """Run a case until the write of this number fails; False if it had no so many."""
    store = Failing(MemoryStore(memory), number, after=after)
    async with App(store, patience=0.05) as app:
        with suppress(StoreError):
            await seen_through(app, case)
        return store.writes >= number


def test_there_are_sixty_workflows_and_at_least_36_of_the_43_patterns() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(PATTERNS) >= 36
    assert set(PATTERNS) <= set(range(1, 44))
