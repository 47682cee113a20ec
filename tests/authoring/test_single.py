"""A step by itself as something that can be run."""

import pytest

from ripresa import InvalidValue, chain
from ripresa.authoring.place import root
from ripresa.authoring.running import run
from ripresa.authoring.single import Single, runnable_of

from .samples import greet, length, shout


async def test_a_step_runs_by_itself_with_the_arguments_of_its_call() -> None:
    alone = Single(shout)
    assert await run(alone, ("a",), {"mark": "?"}) == "a?"
    assert [node.name for node in alone.node.children] == ["shout"]
    assert alone.build(root("any")) is alone.node
    with pytest.raises(InvalidValue, match=r"shout: missing a required argument: 'text' \(it is shout\(text"):
        alone.encode_input((), {})


def test_what_can_be_run_already_stays_as_it_is() -> None:
    flow = chain(length)
    assert [runnable_of(flow), runnable_of(greet)] == [flow, greet]
    assert isinstance(runnable_of(length), Single)
