"""Rules about results, as people write them: files, fields, scores and functions, by severity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ripresa import Context, InvalidConfig, Rule, RunFailed, ValidationResult, chain, step, workflow
from ripresa.authoring.draw import draw
from ripresa.core.events import RulesChecked
from ripresa.core.view import view_of
from tests.runtime.stage import all_of, in_memory

from .samples import length, shout


@dataclass
class Report:
    text: str
    pages: list[int]
    file: str = ""


@step
def write(text: str) -> Report:
    return Report(text, [0] if text else [], text)


async def said(flow: Any, value: Any) -> tuple[str, tuple[ValidationResult, ...]]:
    """How the run ended, and what its rules said."""
    async with in_memory() as app:
        handle = await app.start(flow(value))
        outcome = await handle.outcome()
        view = view_of(await all_of(handle))
        (results,) = view.validations.values()
        return outcome.status, results


async def test_rules_are_looked_at_when_the_result_is_known() -> None:
    flow = chain(write).with_rules(
        Rule.required_output("text"),
        Rule.required_output("pages.0", severity="warning"),
        Rule.quality_check("long enough", lambda report: len(report.text), at_least=3, severity="info"),
        Rule.custom("no shouting", lambda report: "it shouts" if report.text.isupper() else None),
    )
    assert await said(flow, "tides") == (
        "completed",
        (
            ValidationResult("required_output text", "error", True, ""),
            ValidationResult("required_output pages.0", "warning", True, ""),
            ValidationResult("long enough", "info", True, ""),
            ValidationResult("no shouting", "error", True, ""),
        ),
    )
    status, results = await said(flow, "A")
    assert status == "failed"
    assert [(result.passed, result.message) for result in results] == [
        (True, ""),
        (True, ""),
        (False, "1 is below 3"),
        (False, "it shouts"),
    ]
    status, results = await said(flow, "")
    assert [(result.passed, result.message) for result in results[:2]] == [
        (False, "text is empty"),
        (False, "pages.0 is empty"),
    ]


async def test_zero_and_false_are_something() -> None:
    flow = chain(length).with_rules(Rule.required_output())
    assert (await said(flow, ""))[0] == "completed"
    holds = chain(length).with_rules(Rule.custom("odd", lambda number: number % 2 == 1))
    assert [(await said(holds, text))[0] for text in ("a", "ab")] == ["completed", "failed"]
    nothing = chain(length).with_rules(Rule.custom("silent", lambda number: ""))
    assert (await said(nothing, "a"))[0] == "completed"


async def test_a_file_must_be_there_and_a_failed_run_may_be_checked_again(tmp_path: Path) -> None:
    there = tmp_path / "there.txt"
    flow = chain(write).with_rules(
        Rule.required_file(str(there)), Rule.required_file(lambda report: report.file, name="named", severity="info")
    )
    async with in_memory() as app:
        handle = await app.start(flow(str(tmp_path / "none")))
        with pytest.raises(RunFailed, match="there is no file") as caught:
            await handle.result()
        assert caught.value.failure.code == "rule_failed"
        there.touch()
        with pytest.raises(RunFailed, match="is empty"):
            await (await app.resume(handle.id, flow)).result()
        there.write_text("tides")
        assert (await (await app.resume(handle.id, flow)).result()).text
        checks = [item.event for item in await all_of(handle) if isinstance(item.event, RulesChecked)]
        assert [check.results[0].passed for check in checks] == [False, False, True]


async def test_rules_hold_inside_other_flows_and_in_durable_functions() -> None:
    loud = chain(shout).with_rules(Rule.custom("loud", lambda text: text.endswith("!")))

    @workflow
    async def ask(ctx: Context, text: str) -> str:
        return await loud(text)

    strict = ask.with_rules(Rule.required_output(), Rule.quality_check("long", len, at_least=3))
    assert await chain(loud).then(length)("a") == 2
    assert await loud.then(length)("a") == 2
    assert await strict("ab") == "ab!"
    assert await chain(strict).then(length)("ab") == 3
    with pytest.raises(RunFailed, match="long: 2 is below 3"):
        await strict("a")
    with pytest.raises(RunFailed, match="long: 2 is below 3"):
        await chain(strict).then(length)("a")
    assert ask.definition.hash != strict.definition.hash
    assert ask.rules == ()


async def test_a_rule_that_raises_fails_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        await chain(length).with_rules(Rule.custom("broken", lambda number: 1 / 0))("a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rule.custom("a/b", bool), "name is 'a/b'"),
        (lambda: Rule.custom("x" * 41, bool), "must not be longer than 40"),
        (lambda: Rule.custom("a", 3), "check is 3"),  # type: ignore[arg-type]
        (lambda: Rule.quality_check("a", write, at_least=1), "score is"),  # type: ignore[arg-type]
        (lambda: Rule.required_file(3), "path must be"),  # type: ignore[arg-type]
        (lambda: Rule.required_file(""), "path must be"),
        (lambda: Rule.required_output("a..b"), "at is"),
        (lambda: Rule.custom("a", bool, severity="fatal"), "severity is 'fatal'"),  # type: ignore[arg-type]
        (lambda: chain(length).with_rules(), "there is no rule"),
        (lambda: chain(length).with_rules(3), "3 is no rule"),  # type: ignore[arg-type]
        (lambda: chain(length).with_rules(Rule.custom("a", bool), Rule.custom("a", bool)), "two rules have one name"),
        (lambda: chain(length).with_rules(*(Rule.custom(f"r{n}", bool) for n in range(25))), "at most 24"),
    ],
)
def test_bad_rules_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        make()


def test_rules_are_drawn_around_what_they_are_about() -> None:
    assert 'subgraph f1["chain: even, odd"]' in draw(
        chain(length).with_rules(Rule.custom("even", bool), Rule.custom("odd", bool))
    )
