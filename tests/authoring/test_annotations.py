"""Annotations that cannot be resolved: what is refused, what is only doubtful, and what is found after all."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from ripresa import InvalidWorkflow, chain, step
from ripresa.authoring.annotations import Unresolved, _bound
from ripresa.authoring.check import check
from ripresa.authoring.parameters import Parameters

from .samples import length

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING

from ripresa import Context, step, workflow

if TYPE_CHECKING:
    from decimal import Decimal

@step
def typed(number: Decimal) -> Later: ...

@step
def misspelt(number: Nmber, other: int) -> list[Reslt]: ...

@workflow
async def stated(ctx: Context[Stat], number: Decimal) -> int: ...

@step(executor="lab")
def far(number: int) -> int: ...

class Later: ...
"""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> ModuleType:
    (tmp_path / "written.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "written", raising=False)
    return __import__("written")


def problems_of(flow: Any) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        _ = flow.node
    assert caught.value.code == "unresolved_annotation"
    return [str(problem) for problem in caught.value.problems]


def test_a_name_that_its_module_never_binds_is_refused_where_the_function_is_used(written: ModuleType) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        chain(length).then(written.misspelt).then(length)
    assert [str(problem) for problem in caught.value.problems] == [
        "chain/misspelt: the annotation of number is Nmber, but there is no Nmber [unresolved_annotation]",
        "chain/misspelt: the annotation of the result is list[Reslt], but there is no Reslt [unresolved_annotation]",
        "chain/misspelt: takes (number, other), is given 1 value by position [type_mismatch]",
    ]
    assert "there is no Stat" in problems_of(written.stated)[0]
    with pytest.raises(InvalidWorkflow, match=r"chain/stated: .*there is no Stat"):
        chain(length).then(written.stated)
    assert [problem.where for problem in check(written.misspelt)] == ["misspelt", "misspelt"]


def test_what_is_imported_for_type_checkers_alone_is_doubtful_only(written: ModuleType) -> None:
    (found,) = check(chain(written.typed))
    assert (found.where, found.severity, found.code) == ("chain/typed", "warning", "unresolved_annotation")
    assert "the annotation of number is Decimal, which cannot be resolved here" in found.message
    assert chain(written.typed).input_type is Any


def test_executors_that_an_app_must_have_are_named(written: ModuleType) -> None:
    (found,) = check(chain(written.far))
    assert (found.where, found.severity, found.code) == ("chain/far", "warning", "unknown_executor")
    assert found.message == "names the executor 'lab', which the app must have: App(executors={'lab': ...})"


def test_a_class_that_a_function_closes_over_is_found() -> None:
    class Inside:
        """Known here alone."""

    def takes(given: Inside) -> None:
        print(Inside)

    def forgets(given: Inside) -> None:
        """Does not close over it."""

    assert Parameters(takes).type_of("given") is Inside
    assert not Parameters(takes).unresolved
    (found,) = Parameters(forgets).unresolved
    assert (found.parameter, found.text, found.missing) == ("given", "Inside", "")


def test_what_is_bound_later_in_a_closure_is_not_found_yet() -> None:
    def takes(given: After) -> None:
        print(After)

    (found,) = Parameters(takes).unresolved
    assert found.missing == ""

    class After:
        """Bound after it was asked for."""


def test_where_nothing_is_known_of_the_source_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces: dict[str, Any] = {"__name__": "typed.at.a.prompt"}
    exec("def takes(given: 'Nowhere', other: 'int.nothing') -> 'Nowhere': ...", spaces)
    expected = [("given", ""), ("other", ""), ("return", "")]
    assert [(each.parameter, each.missing) for each in Parameters(spaces["takes"]).unresolved] == expected
    monkeypatch.setitem(sys.modules, "typed.at.a.prompt", ModuleType("typed.at.a.prompt"))
    assert [(each.parameter, each.missing) for each in Parameters(spaces["takes"]).unresolved] == expected


def test_modules_that_take_over_all_names_or_cannot_be_read_bind_anything() -> None:
    assert "*" in _bound("from os import *")
    assert "*" in _bound("this is no Python")
    assert {"os", "second", "f", "K", "x"} <= _bound(
        "import os.path\nimport sys as second\ndef f(): x = 3\nclass K: ..."
    )


def test_what_is_unresolved_says_of_what() -> None:
    assert Unresolved("return", "X", "").subject == "the result"
    assert Unresolved("n", "X", "").subject == "n"
    assert step(length.fn).parameters.unresolved == ()
