"""Rules that a workflow's result must keep, looked at once when it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from ..core.conditions import Condition, found_at
from ..core.nodes.checked import Checked
from ..core.nodes.node import Node
from ..core.values import Value
from .encoding import Reader
from .options import bad_choice, bad_predicate, check_name, refuse

Severity: TypeAlias = Literal["error", "warning", "info"]
"""What a broken rule means: it fails the run, or is only recorded, as something to look at or to know."""

MOST: Final = 24
"""The most rules that one workflow can have."""

LONGEST: Final = 40
"""The most characters of a rule's name."""

ROOM: Final = 1500
"""Characters that the messages of all broken rules have together."""

Complaint: TypeAlias = Callable[[Any, Any], str | None]
"""Says what is wrong with a result, given as its own type and as plain data; None if nothing is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a result must keep: made by the functions of this class, given to `with_rules`.

    `said` is what it was made of: the function of this class, as `rule`, and its arguments.
    """

    name: str
    severity: Severity
    complaint: Complaint = field(compare=False, repr=False)
    said: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    @staticmethod
    def required_output(at: str = "", *, severity: Severity = "error", name: str = "") -> Rule:
        """There is something at a path of the result (fields and indices with dots), and it is not null or empty."""
        path = f"value.{at}" if at else "value"
        Condition.exists(path)  # which refuses what is no path

        def complaint(_: Any, plain: Any) -> str | None:
            found = found_at(path, plain)
            return (
                None if found not in (None, "", [], {}) and Condition.exists(path)(plain) else f"{at or 'it'} is empty"
            )

        said = {"rule": "required_output", **({"at": at} if at else {})}
        return _rule(name or f"required_output {at}".strip(), severity, complaint, said)

    @staticmethod
    def required_file(path: str | Callable[[Any], str], *, severity: Severity = "error", name: str = "") -> Rule:
        """A file is there and not empty: at this path, or at the one that a function gives for the result."""
        bad = (
            None
            if isinstance(path, str) and path
            else bad_predicate(path, "path") and "path must be a text or a function"
        )
        refuse("required_file", bad)

        def complaint(result: Any, _: Any) -> str | None:
            place = Path(path if isinstance(path, str) else path(result))
            if not place.is_file():
                return f"there is no file {place}"
            return None if place.stat().st_size else f"the file {place} is empty"

        return _rule(name or "required_file", severity, complaint, {"rule": "required_file", "path": path})

    @staticmethod
    def quality_check(
        name: str, score: Callable[[Any], float], *, at_least: float, severity: Severity = "error"
    ) -> Rule:
        """A number that a function gives for the result is not below `at_least`."""
        refuse("quality_check", bad_predicate(score, "score"))

        def complaint(result: Any, _: Any) -> str | None:
            found = score(result)
            return None if found >= at_least else f"{found:g} is below {at_least:g}"

        said = {"rule": "quality_check", "check": score, "at_least": at_least}
        return _rule(name, severity, complaint, said)

    @staticmethod
    def custom(name: str, check: Callable[[Any], object], *, severity: Severity = "error") -> Rule:
        """What a function says about the result: a text is what is wrong; False is wrong too; all else is fine."""
        refuse("custom", bad_predicate(check, "check"))

        def complaint(result: Any, _: Any) -> str | None:
            said = check(result)
            if isinstance(said, str):
                return said or None
            return "it does not hold" if said is False else None

        return _rule(name, severity, complaint, {"rule": "custom", "check": check})


def _rule(name: str, severity: Severity, complaint: Complaint, said: dict[str, Any]) -> Rule:
    refuse(
        "rule",
        check_name(name, "name"),
        f"name is {name!r}, must not be longer than {LONGEST} characters" if len(name) > LONGEST else None,
        bad_choice(severity, "severity", get_args(Severity)),
    )
    return Rule(name, severity, complaint, said)


def joined(before: tuple[Rule, ...], rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules with more of them. Raises `InvalidConfig`."""
    together = (*before, *rules)
    names = [rule.name for rule in together if _is_rule(rule)]
    refuse(
        "with_rules",
        None if rules else "there is no rule",
        *(f"{rule!r} is no rule" for rule in rules if not _is_rule(rule)),
        f"there are {len(together)} rules, must be at most {MOST}" if len(together) > MOST else None,
        "two rules have one name" if len(set(names)) < len(names) else None,
    )
    return together


def _is_rule(rule: object) -> bool:
    return isinstance(rule, Rule)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The code of a node that is checked: what the rules say about its result, which is of this type."""

    rules: tuple[Rule, ...]
    kind: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """Name, severity, whether it is kept and why not, of each rule."""
        result, plain = reader.read(about, self.kind), reader.read(about, Any)
        room = ROOM // len(self.rules)
        said = [(rule, rule.complaint(result, plain)) for rule in self.rules]
        return [[rule.name, rule.severity, why is None, (why or "")[:room]] for rule, why in said]


def checked(node: Node[Any], rules: tuple[Rule, ...]) -> Node[Any]:
    """The node with rules about its result; itself if there is none."""
    if not rules:
        return node
    return Checked(
        node.name,
        node,
        rules=tuple((rule.name, rule.severity) for rule in rules),
        code=Rulebook(rules, node.output_type),
        input_type=node.input_type,
        output_type=node.output_type,
    )
