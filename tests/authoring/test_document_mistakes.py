"""Documents as people get them wrong: every mistake is told at once, where it stands, with what may have been meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ripresa import InvalidWorkflow, Library, Maker, load_document
from ripresa.authoring.document.cel import compiled
from ripresa.authoring.document.source import BadExpression
from ripresa.authoring.options import refuse
from tests.authoring.material import HERE

SHOUT = f"{HERE}:shout"

DOCUMENTS: list[tuple[str, list[str]]] = [
    (
        "id: x\nstpes:\n  - pass\n",
        ["2:1 stpes: is no key here; did you mean steps?"],
    ),
    (
        f"id: x\nsteps:\n  - typ: call\n    config: {{step: {SHOUT}}}\n  - {HERE}:shuot\n",
        ["3:5 steps[0].typ: is no key here; did you mean type?", f"5:5 steps[1]: '{HERE}:shuot' is nothing for "
         f"documents: {HERE} has no 'shuot'; did you mean shout?"],
    ),
    (
        "id: x\nsteps:\n  - type: cal\n  - id: b\n    type: branch\n    config:\n      when: ${{ steps.pgae.output }}\n"
        "      then: pass\n  - {id: page, type: pass}\n",
        ["3:11 steps[0].type: there is no step type 'cal' (did you mean call?)",
         "7:17 steps[1].config.when: there is no step 'pgae'; did you mean page?"],
    ),
    (
        f"id: x\nid: y\nsteps:\n  - type: call\n    retry: {{attempts: 0, wiat: 3, jitter: 9}}\n    timeout: soon\n"
        f"    config: {{step: {SHOUT}}}\n",
        ["2:1: the key 'id' stands here a second time",
         "5:23 steps[0].retry.attempts: is 0, must be a whole number from 1 (the first try counts)",
         "5:26 steps[0].retry.wiat: is no key here; did you mean wait?",
         "5:43 steps[0].retry.jitter: is 9, must be from 0 to 1",
         "6:14 steps[0].timeout: is 'soon', must be a length of time: 30, \"5 minutes\""],
    ),
    (
        "id: x\nlimits: {step: 3, money: lots}\nsteps:\n  - type: agent\n    config:\n      instructions: look\n"
        "      tools: [no:such]\n      turns: 0\n      temperature: hot\n      memory: {lst: 3}\n      modl: m\n",
        ["2:10 limits.step: is no key here; did you mean steps?",
         "2:26 limits.money: is 'lots', must be a number from 0",
         "7:15 steps[0].config.tools[0]: 'no:such' names no workflow", "8:14 steps[0].config.turns: is 0, must be a",
         "9:20 steps[0].config.temperature: is 'hot', must be a number",
         "10:15 steps[0].config.memory: is {'lst': 3}, must be true, a name, or an object of",
         "11:7 steps[0].config.modl: is no key here; did you mean model?"],
    ),
    (
        "id: x\nsteps:\n  - type: human\n    config: {question: '', quorum: 0, timeout: never}\n",
        ["4:24 steps[0].config.question: is '', must be a text that is not empty",
         "4:36 steps[0].config.quorum: is 0, must be a whole number from 1",
         "4:48 steps[0].config.timeout: is 'never', which is no length of time"],
    ),
    (
        f"id: x\ninput: integer\nsteps:\n  - pass\n  - id: b\n    type: call\n    config: {{step: {SHOUT}}}\n",
        ["5:5 steps[1]: x/b: takes str, is given int"],
    ),
    (
        f"id: x\nsteps:\n  - {{id: a, type: call, needs: [c], config: {{step: {SHOUT}}}}}\n"
        f"  - {{id: c, type: call, needs: [a, aa], config: {{step: {SHOUT}}}}}\n",
        ["3:32 steps[0].needs: a depends on itself: a -> c -> a",
         "4:32 steps[1].needs: needs 'aa', which is not among the steps here; did you mean a?"],
    ),
    (
        f"id: x\nsteps:\n  - {{id: fetch, type: call, config: {{step: {SHOUT}}}}}\n"
        f"  - {{type: call, with: \"${{{{ steps.fetsh.output }}}}\", config: {{step: {SHOUT}}}}}\n",
        ["4:29 steps[1].with: there is no step 'fetsh' before this one in its list; did you mean fetch?"],
    ),
    (
        "id: x\nstate: {count: intger}\nrules: [{rule: requird_output}]\nsteps: [pass]\n",
        ["2:16 state.count.type: 'intger' is no type: did you mean integer? else write any",
         "3:9 rules[0]: is {'rule': 'requird_output'}, must be the target of a rule, or have rule: "],
    ),
    (
        "id: x\nsteps:\n  - id: a\n    type: call\n     config: {}\n",
        ["5:12: this is no YAML: a colon cannot stand here: indent the line as those beside it, or put a text"],
    ),
    ("id: x\nsteps:\n\t- pass\n", ["3:1: this is no YAML: a tab cannot stand here: indent by spaces"]),
    ("id: x\nsteps: [pass\n", ["2:8 does not end"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), DOCUMENTS, ids=lambda found: "" if isinstance(found, list) else None)
def test_every_mistake_is_told_where_it_stands(tmp_path: Path, text: str, told: list[str]) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(file)
    found = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert [next((each for each in found if wanted in each), found) for wanted in told] == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("value +", "it ends too early"),
        ("value ? 1", "':' is missing at its end"),
        ("size(value", "')' is missing"),
        ("value = 3", "'=' is no operator: write =="),
        ("value and input", "'and' is no operator: write &&"),
        ("1 2", "'2' cannot stand here"),
        ("'abc", "a text does not end"),
        ("uper(value)", "there is no function uper; there are size"),
        ("value.upperAsci()", "there is no function upperAsci; did you mean upperAscii?"),
        ("vale == 3", "there is no vale; did you mean value?"),
        ("1 + 'a'", "found no matching overload"),
    ],
)
def test_what_is_wrong_with_an_expression_is_told_in_words(text: str, told: str) -> None:
    with pytest.raises(BadExpression) as caught:
        compiled(text)
    assert told in caught.value.message


def picky(size: int = 0, shape: str = "", mood: str = "") -> Any:
    refuse("picky", f"size is {size}, must be 0" if size else None)
    refuse(
        "picky", f"shape is {shape!r}, must be empty" if shape else None, "it is never in the mood" if mood else None
    )
    raise ValueError("it makes nothing")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"size": 1, "shape": "x"}, ["steps[0].config.size: is 1, must be 0", "steps[0].config.shape: is 'x', must"]),
        ({"size": 1, "mood": "x"}, ["steps[0].config.size: is 1, must be 0"]),
        (
            {"size": "x", "shape": "x"},
            ["steps[0].config.size: is 'x', must be a whole", "steps[0].config.shape: is 'x'"],
        ),
        ({"mood": "x"}, ["steps[0]: it is never in the mood"]),
        ({}, ["steps[0].config: picky: it makes nothing"]),
    ],
)
def test_what_a_maker_refuses_stands_at_its_key_and_what_follows_from_that_is_left_out(
    config: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(
            {"id": "x", "steps": [{"type": "picky", "config": config}]}, library=Library({"picky": Maker(picky)})
        )
    found = [str(problem) for problem in caught.value.problems]
    assert [next((each for each in found if each.startswith(wanted)), found) for wanted in told] == found
