"""What undoes a step: declared beside it, checked against it, and part of the definition."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import Context, Flow, InvalidConfig, InvalidWorkflow, Retry, chain, saga, step, workflow
from ripresa.authoring.undo import Undoing, direct_undo
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.saga import Saga
from ripresa.core.nodes.undo import Undo, Undoable
from ripresa.runtime.values import Values

from .samples import double, length


def post_step() -> Any:
    @step
    async def post(text: str, channel: str = "news") -> int:
        return len(text)

    return post


async def withdraw(number: int) -> None:
    """Undo."""


def undo_of(link: Any) -> Undo:
    node = chain(link).node.children[0]
    assert isinstance(node, Call | Undoable)
    assert isinstance(node.undo, Undo)
    return node.undo


def test_a_step_with_an_undo_is_reversible() -> None:
    post = post_step()
    undo = post.undo(withdraw)
    assert (post.options.effect, undo.name) == ("reversible", "withdraw")
    assert undo_of(post).name == "undo:withdraw"
    assert (undo_of(post).takes_input, undo_of(post).takes_unknown) == (False, False)


def test_a_step_with_an_undo_stays_reversible_and_all_that_is_wrong_is_said_together() -> None:
    post = post_step()
    post.undo(withdraw)
    assert post.with_(effect="reversible").options.effect == "reversible"
    with pytest.raises(InvalidConfig, match=r"^.*effect is 'pure', must be 'reversible': post has an undo; retry is 0"):
        post.with_(effect="pure", retry=0)


def test_an_undo_can_be_a_step_with_options_of_its_own() -> None:
    post = post_step()
    patient = step(retry=Retry(attempts=5), name="patiently")(withdraw)
    assert post.undo(patient) is patient
    body = undo_of(post).body
    assert (body.name, body.code.step.options.retry.attempts) == ("patiently", 5)


def test_an_undo_may_take_the_arguments_of_its_step() -> None:
    post = post_step()

    @post.undo
    async def undo(number: int, text: str) -> None:
        """Undo."""

    assert undo_of(post).takes_input
    binding = undo_of(post).body.code.binding
    assert binding.arguments((b"5", b'"hello"'), Values(lambda _: b"")) == ((5, "hello"), {})


def test_it_is_given_them_in_the_order_of_the_step_with_defaults() -> None:
    post = post_step()

    @post.undo
    async def undo(number: int, text: str, channel: str) -> None:
        """Undo."""

    found = direct_undo(post)
    assert found is direct_undo(post)
    assert found is not None
    given = (b"5", b'{"text":"hello"}')
    assert found.body.code.binding.arguments(given, Values(lambda _: b"")) == ((5, "hello", "news"), {})


def test_an_undo_that_takes_none_and_the_input_takes_unknown_outcomes() -> None:
    post = post_step()

    @post.undo
    async def undo(number: int | None, text: str) -> None:
        """Undo."""

    assert undo_of(post).takes_unknown
    alone = post_step()

    @alone.undo
    async def without(number: int | None) -> None:
        """It would not know what to undo."""

    assert not undo_of(alone).takes_unknown


def test_an_undo_may_have_parameters_with_defaults_that_the_step_does_not_fill() -> None:
    post = post_step()

    @post.undo
    async def undo(number: int, text: str, channel: str, dry: bool = False) -> None:
        """Undo."""

    assert undo_of(post).takes_input


def test_a_flow_or_workflow_can_undo_a_step() -> None:
    @step
    async def last(number: int) -> None:
        """End."""

    post, other = post_step(), post_step()
    post.undo(chain(double).then(last))
    assert undo_of(post).body.kind == "sequence"

    @workflow
    async def taking_back(ctx: Context, number: int) -> None:
        """Undo."""

    other.undo(taking_back)
    assert undo_of(other).body.kind == "subworkflow"


def test_a_link_of_a_chain_can_be_given_an_undo_there() -> None:
    flow = chain(length).then(double, undo=withdraw)
    assert double.compensation is None, "the step itself stays as it is"
    node = flow.node.children[1]
    assert isinstance(node, Call)
    assert node.undo is not None


def test_a_flow_can_be_given_an_undo_of_its_own() -> None:
    node = chain(length).then(chain(double).then(double), undo=withdraw).node.children[1]
    assert isinstance(node, Undoable)
    assert node.children[0].kind == "sequence"

    @step
    async def as_text(number: int) -> str:
        return str(number)

    async def both_ways(number: int, given: str) -> None:
        """Undo."""

    pair = chain(as_text).then(chain(length), undo=both_ways)
    undo = pair.node.children[1].undo
    assert undo.takes_input
    assert undo.body.code.binding.arguments((b"5", b'"x"'), Values(lambda _: b"")) == ((5, "x"), {})


def test_a_saga_is_a_scope_around_its_body() -> None:
    flow = saga(chain(length).then(double), name="trip")
    assert isinstance(flow, Flow)
    node = flow.node
    assert isinstance(node, Saga)
    assert (node.name, node.input_type, node.output_type) == ("trip", str, int)
    with pytest.raises(InvalidConfig):
        saga(length, name="a/b")


def test_with_other_options_a_step_keeps_its_undo() -> None:
    post = post_step()
    post.undo(withdraw)
    assert post.with_(retry=3).compensation is post.compensation


# --- what does not fit


def test_a_reversible_step_without_an_undo_is_refused_where_it_is_used() -> None:
    @step(effect="reversible")
    async def forgotten(text: str) -> int:
        return 1

    with pytest.raises(InvalidWorkflow) as caught:
        chain(forgotten)
    assert caught.value.code == "no_undo"
    assert "@forgotten.undo" in str(caught.value)
    with pytest.raises(InvalidWorkflow, match="no_undo"):
        direct_undo(forgotten)


@pytest.mark.parametrize("effect", ["pure", "read", "irreversible"])
def test_what_changes_nothing_or_cannot_be_undone_takes_no_undo(effect: Any) -> None:
    @step(effect=effect)
    async def other(text: str) -> int:
        return 1

    with pytest.raises(InvalidConfig, match=effect):
        other.undo(withdraw)


def test_a_step_has_one_undo() -> None:
    post = post_step()
    post.undo(withdraw)
    with pytest.raises(InvalidConfig, match="already"):
        post.undo(withdraw)


def problems_of(undo: Any) -> str:
    post = post_step()
    post.undo(undo)
    with pytest.raises(InvalidWorkflow) as caught:
        chain(post)
    return str(caught.value)


def test_an_undo_must_take_what_the_step_returned() -> None:
    async def of_text(text: str) -> None:
        """Undo."""

    assert "takes str, is given int" in problems_of(of_text)


def test_an_undo_must_take_something_and_no_more_than_there_is() -> None:
    async def nothing() -> None:
        """Undo."""

    async def too_much(number: int, text: str, channel: str, more: str) -> None:
        """Undo."""

    assert "takes nothing" in problems_of(nothing)
    assert "takes number, text, channel, more" in problems_of(too_much)


def test_an_undo_returns_nothing() -> None:
    async def telling(number: int) -> int:
        return number

    assert "returns None, not int" in problems_of(telling)


def test_an_undo_cannot_be_undone() -> None:
    @step(effect="reversible")
    async def again(number: int) -> None:
        """Undo."""

    assert "cannot itself be undone" in problems_of(again)


def test_what_is_no_link_is_refused() -> None:
    with pytest.raises(InvalidConfig):
        post_step().undo(5)
    with pytest.raises(InvalidConfig):
        chain(length).then(double, undo=5)  # type: ignore[arg-type]


def test_an_undo_without_annotations_is_not_checked() -> None:
    def bare(number):  # type: ignore[no-untyped-def]
        """Undo."""

    post = post_step()
    post.undo(bare)
    assert undo_of(post).body.code.binding == Undoing(int)
