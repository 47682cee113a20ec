"""Rules and limits come back from a document, also those of flows inside others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa import (
    App,
    Graph,
    InvalidWorkflow,
    Limits,
    RipresaError,
    Rule,
    RunFailed,
    chain,
    export_document,
    load_document,
    step,
)
from ripresa.core.definition import describe
from tests.authoring.test_document_schema import complaints

HERE = __name__


@step
async def give(value: str) -> dict[str, str]:
    return {"title": value}


def length(value: Any) -> float:
    return len(value["title"])


def polite(value: Any) -> bool:
    return not str(value["title"]).isupper()


def place(value: Any) -> str:
    return f"{value['title']}.txt"


named = Rule.custom("has a name", polite)
plain = chain(give)


def came_back(flow: Any) -> dict[str, Any]:
    data = export_document(flow)
    assert complaints(data) == []
    again = load_document(json.loads(json.dumps(data)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == data
    return data


RULES = [
    (Rule.required_output("title"), {"rule": "required_output", "at": "title"}),
    (Rule.required_output(severity="info", name="it"), {"rule": "required_output", "name": "it", "severity": "info"}),
    (
        Rule.required_file("a.txt", severity="warning"),
        {"rule": "required_file", "path": "a.txt", "severity": "warning"},
    ),
    (Rule.required_file(place), {"rule": "required_file", "path": {"function": f"{HERE}:place"}}),
    (
        Rule.quality_check("long", length, at_least=3),
        {"rule": "quality_check", "check": f"{HERE}:length", "at_least": 3, "name": "long"},
    ),
    (Rule.custom("custom", polite), {"rule": "custom", "check": f"{HERE}:polite"}),
    (named, f"{HERE}:named"),
]


@pytest.mark.parametrize(("rule", "said"), RULES, ids=lambda found: getattr(found, "name", ""))
def test_a_rule_comes_back_as_it_was_made(rule: Rule, said: Any) -> None:
    assert came_back(plain.with_rules(rule))["rules"] == [said]
    inner = came_back(chain(plain.with_rules(rule, Rule.custom("more", length)), name="outer"))
    assert inner["steps"][0]["rules"][0] == said


def test_rules_inside_a_graph_come_back() -> None:
    graph: Any = Graph("graph", input=str)
    made = graph.returns(graph.add(plain.with_rules(named)(graph.input)).out)
    assert came_back(made)["config"]["steps"][0]["rules"] == [f"{HERE}:named"]


@pytest.mark.parametrize(("given", "broken"), [("tides", []), ("TIDES", ["polite"]), ("", ["required_output title"])])
async def test_rules_of_a_step_in_a_document_are_looked_at(given: str, broken: list[str]) -> None:
    rules = [
        {"rule": "required_output", "at": "title", "severity": "warning"},
        {"rule": "custom", "name": "polite", "check": f"{HERE}:polite"},
    ]
    inner = {"id": "inner", "type": "sequence", "config": {"steps": [f"{HERE}:give"]}, "rules": rules}
    flow = load_document({"id": "flow", "steps": [inner, {"type": "pass"}]})
    async with App("memory:") as app:
        handle = await app.start(flow(given))
        if broken == ["polite"]:
            with pytest.raises(RunFailed, match="polite: it does not hold"):
                await handle.result()
        else:
            assert await handle.result() == {"title": given}
        said = (await handle.status()).validations["inner"]
    assert [result.rule for result in said if not result.passed] == broken


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": f"{HERE}:give", "rules": [f"{HERE}:named"]}, ".rules: rules is for what is made of steps"),
        ({"type": "sequence", "rules": ["no.such:rule"]}, ".rules[0]: 'no.such:rule' names no workflow"),
        (
            {"type": "sequence", "rules": [{"rule": "required_file", "path": {"function": "no.such:rule"}}]},
            ".rules[0].path.function: 'no.such:rule' names no workflow",
        ),
        ({"type": "sequence", "rules": [f"{HERE}:named", f"{HERE}:named"]}, ".rules: two rules have one name"),
    ],
)
def test_what_is_wrong_with_the_rules_of_a_step_is_told(item: Any, message: str) -> None:
    whole = {"config": {"steps": ["pass"]}, **item} if item["type"] == "sequence" else item
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": [whole]})
    told = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert any(each.startswith(f"steps[0]{message}") for each in told), told


def test_a_rule_of_ones_own_making_is_refused() -> None:
    rule = Rule("own", "error", lambda result, data: None)
    with pytest.raises(RipresaError, match="'own' can stand in no document"):
        export_document(plain.with_rules(rule))


def test_limits_come_back() -> None:
    limits = Limits(steps=3, money=0.5, on_exceeded="pause")
    data = came_back(plain.with_limits(limits))
    assert data["limits"] == {"steps": 3, "money": 0.5, "on_exceeded": "pause"}
    assert load_document(data).limits == limits
