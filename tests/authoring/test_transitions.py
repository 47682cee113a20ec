"""Tables of legal transitions: of runs, and of one's own tasks."""

from typing import Any

import pytest

from ripresa import Handoff, IllegalTransition, InvalidConfig, RunFailed, Transitions, chain, router, step, transitions
from ripresa.core.lifecycle import TRANSITIONS


@step
def draft(text: str) -> Handoff[str]:
    return Handoff("publish" if text == "quick" else "review", text)


@step
def review(text: str) -> Handoff[str]:
    return Handoff("publish", text)


@step
def publish(text: str) -> int:
    return len(text)


table = Transitions().link(draft, review).link(review, draft, publish).link(publish)


def test_tasks_are_linked_and_what_is_not_is_illegal() -> None:
    assert dict(table) == {"draft": ("review",), "review": ("draft", "publish"), "publish": ()}
    assert table.check(draft, "review") == "review"
    assert table.allows("review", publish)
    assert not table.allows("publish", "draft")
    with pytest.raises(IllegalTransition, match="'draft' must not be followed by 'publish'") as caught:
        table.check("draft", publish)
    assert (caught.value.code, caught.value.hint) == ("illegal_transition", "legal: review")
    with pytest.raises(IllegalTransition, match="'nowhere' is no state of it"):
        table.check("nowhere", "draft")


def test_a_table_says_what_its_states_and_ends_are() -> None:
    assert table.states == ("draft", "review", "publish")
    assert table.ends == ("publish",)
    assert len(table) == 3
    assert repr(Transitions({"a": ["b"]})) == "Transitions({'a': ('b',)})"


def test_linking_leaves_the_table_as_it_was_and_adds_to_what_was_there() -> None:
    more = table.link("draft", "review", "publish")
    assert (table["draft"], more["draft"]) == (("review",), ("review", "publish"))


async def test_a_router_takes_a_table() -> None:
    flow = router(until=int, at_most=5, legal=table)(draft, review, publish)
    assert await chain(flow)("tide") == 4
    with pytest.raises(RunFailed) as caught:
        await flow("quick")
    assert caught.value.failure.code == "illegal_handoff"


def test_the_life_of_a_run_is_a_table_too() -> None:
    life = transitions()
    assert dict(life) == TRANSITIONS
    assert life.allows("failed", "running")
    assert life.ends == (), "what a run did can be undone whatever became of it"
    with pytest.raises(IllegalTransition):
        life.check("terminated", "running")


@pytest.mark.parametrize("bad", [{"a": "bc"}, {"a/b": []}, {"a": [3]}])
def test_a_table_is_of_names(bad: Any) -> None:
    with pytest.raises(InvalidConfig):
        Transitions(bad)
