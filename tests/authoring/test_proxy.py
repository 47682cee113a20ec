"""Values to come: what they record, and what they refuse."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import RipresaError
from ripresa.authoring.expression import Constant, Source
from ripresa.authoring.proxy import Proxy, lift

from .samples import Item

PLAN: Any = Proxy(Source(None, 0, "plan", Any))


@dataclass
class Pair:
    left: Any
    right: Any = None


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (PLAN, "plan"),
        (PLAN.title, "plan.title"),
        (PLAN.pages[0].text, "plan.pages[0].text"),
        (PLAN["a"], "plan['a']"),
        (PLAN.a == 3, "plan.a == 3"),
        (PLAN.a != PLAN.b, "plan.a != plan.b"),
        (PLAN.a < 3, "plan.a < 3"),
        (PLAN.a <= 3, "plan.a <= 3"),
        (PLAN.a > 3, "plan.a > 3"),
        (PLAN.a >= 3, "plan.a >= 3"),
        (3 < PLAN.a, "plan.a > 3"),  # noqa: SIM300
        ((PLAN.a > 3) & (PLAN.b == "x"), "(plan.a > 3) & (plan.b == 'x')"),
        ((PLAN.a > 3) | PLAN.b, "(plan.a > 3) | plan.b"),
        (True & PLAN.b, "True & plan.b"),
        (False | PLAN.b, "False | plan.b"),
    ],
)
def test_a_value_to_come_says_what_it_is_made_of(expression: Any, text: str) -> None:
    assert repr(expression) == f"<value to come: {text}>"


def refusals() -> list[Any]:
    async def wait() -> None:
        await PLAN

    def put(item: bool) -> None:
        if item:
            PLAN[0] = 3
        else:
            PLAN.title = "x"

    return [
        lambda: 1 if PLAN else 2,
        lambda: not PLAN,
        lambda: PLAN > 3 and PLAN < 5,
        lambda: len(PLAN),
        lambda: list(PLAN),
        lambda: 3 in PLAN,
        lambda: str(PLAN),
        lambda: f"{PLAN}",
        lambda: int(PLAN),
        lambda: float(PLAN),
        lambda: range(PLAN),
        lambda: {PLAN},
        lambda: PLAN(),
        lambda: PLAN.upper(),
        lambda: PLAN + 1,
        lambda: 1 - PLAN,
        lambda: -PLAN,
        lambda: ~PLAN,
        lambda: put(True),
        lambda: put(False),
        lambda: wait().send(None),
    ]


@pytest.mark.parametrize("use", refusals())
def test_what_needs_the_value_itself_is_refused(use: Any) -> None:
    with pytest.raises(RipresaError, match=r"but <value to come: plan.*> exists only in a run") as caught:
        use()
    assert caught.value.code == "usage"
    assert caught.value.where.rpartition(":")[0] == __file__


def test_a_value_to_come_has_no_hidden_methods() -> None:
    assert not hasattr(PLAN, "__deepcopy__")
    assert not hasattr(PLAN, "__fspath__")
    assert copy.copy(Constant(3)) == Constant(3)


@pytest.mark.parametrize("value", [3, None, "a", [1, {"a": (2,)}], Pair(1, [2]), Pair])
def test_what_is_there_already_is_a_constant(value: Any) -> None:
    assert lift(value) == Constant(value)


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        ([PLAN.a, 1], "list[Any](plan.a, 1)", list[Any]),
        ([[PLAN], 3], "list[list[Any] | int](list[Any](plan), 3)", list[list[Any] | int]),
        ((PLAN == 3, 2), "tuple[bool, int](plan == 3, 2)", tuple[bool, int]),
        ({"a": PLAN == 1, "b": True}, "dict[Any, bool](plan == 1, True)", dict[Any, bool]),
        (Pair(PLAN, None), "Pair(plan, None)", Pair),
        (Item(PLAN.text), "Item(plan.text)", Item),
    ],
)
def test_values_to_come_may_stand_inside_others(value: Any, text: str, kind: Any) -> None:
    made = lift(value)
    assert str(made) == text
    assert made.kind == kind
    assert [leaf.name for leaf in made.leaves()] == ["plan"]
