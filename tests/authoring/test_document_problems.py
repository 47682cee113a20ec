"""What is wrong with a document is said all together, with its code, its path, and line and column in a text."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import InvalidConfig, InvalidWorkflow, RipresaError
from ripresa.authoring.document.annotations import kind_of, text_of
from ripresa.authoring.document.cel import compiled, has_expressions, only_expression, parts_of
from ripresa.authoring.document.library import Library
from ripresa.authoring.document.source import BadExpression, Document, Notes, shown
from ripresa.authoring.document.text import document_of
from ripresa.config import Config
from tests.authoring import material
from tests.authoring.material import at, call, load

ran = pytest.mark.parametrize


def problems(*steps: Any, **more: Any) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        load(*steps, **more)
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_wrong_is_said_together() -> None:
    assert problems(
        {"id": "a", "type": "shot"},
        {"id": "a", "type": "shout", "retry": 0, "neds": ["b"]},
        {"type": "parallel", "config": {"branches": [{"type": "map"}], "on_error": "never"}},
        {"id": "c/d", "type": "delay", "config": {"length": "long"}},
        {"type": "repeat", "config": {"step": at("shout"), "until": "${{ steps.zz.output }}", "at_most": 0}},
        "no.such.module:name",
        7,
        id="x/y",
        library=Library({"shout": material.shout}),
        timeout=0,
    ) == [
        "id: id is 'x/y', must not contain '/' [invalid_workflow]",
        "timeout: is 0, must be a length of time above 0 [invalid_workflow]",
        "steps[1].id: there are two steps 'a' [duplicate_name]",
        "steps[0].type: there is no step type 'shot' (did you mean shout?) [unknown_type]",
        "steps[1].neds: is no key here; did you mean needs? [invalid_workflow]",
        "steps[1].retry: is 0, must be a Retry or a number of attempts from 1 (the first counts) [invalid_config]",
        "steps[2].config.on_error: is 'never', must be one of fail_fast, fail_slow, best_effort [invalid_workflow]",
        "steps[2].config.branches[0]: lacks step: what is run for every item of a list [invalid_workflow]",
        "steps[3].id: id is 'c/d', must not contain '/' [invalid_workflow]",
        "steps[4].config.at_most: is 0, must be a whole number from 1 [invalid_workflow]",
        "steps[5]: 'no.such.module:name' names no workflow: there is no module no.such.module "
        "(looked in {cwd} and sys.path) [unknown_target]".replace("{cwd}", str(__import__("pathlib").Path.cwd())),
        "steps[6]: is 7, must be a step (an object with type), a list of steps, or the target of one "
        "[invalid_workflow]",
    ]


STEP = call("shout", id="s")
MESSAGES: list[tuple[Any, str]] = [
    (
        {"id": "x", "type": at("NUMBER")},
        "steps[0].type: 'tests.authoring.material:NUMBER' is nothing for documents: it is neither a step, f",
    ),
    (
        {"type": "call", "config": {"step": at("Page")}},
        "steps[0].config.step: tests.authoring.material:Page is <class 'tests.authoring.material.Page'>, wh",
    ),
    (
        {"type": "call", "config": {"step": at("members")}},
        "steps[0].config.step: tests.authoring.material:members is <pool members of 2>, which is no step, f",
    ),
    (
        {"type": "call", "config": {"step": at("missing")}},
        "steps[0].config.step: 'tests.authoring.material:missing' is nothing for documents: tests.authoring",
    ),
    (
        {**STEP, "type": None},
        "steps[0]: lacks type: the kind of step, or the name of a registered type [invalid_workflow]",
    ),
    (
        {"type": "set", "config": {"field": "x"}, "timeout": 3},
        "steps[0].timeout: timeout is nothing for set [invalid_workflow]",
    ),
    (
        {"type": "map", "config": {"step": {"type": "first", "config": {"of": ["a"]}}}},
        "steps[0].config.step: first stands in graphs only: in a list with needs [invalid_workflow]",
    ),
    (
        {"type": "map", "config": {"step": at("shout")}, "retry": 3},
        "steps[0].retry: retry is for steps, not for what is made of steps [invalid_workflow]",
    ),
    (
        call("shout", retry={"attempts": 3, "often": 1}),
        "steps[0].retry.often: is no key here; there are attempts, wait, backoff, max_wait, jitter",
    ),
    (
        call("shout", effect="pure", cache={"for": 1}),
        "steps[0].cache.for: is no key here; there are ttl, version, key [invalid_config]",
    ),
    (call("shout", pool=at("whisper")), "steps[0].pool: tests.authoring.material:whisper is Hook("),
    (
        call("shout", hooks=[at("members")]),
        "steps[0].hooks[0]: tests.authoring.material:members is <pool members of 2>, which is no hook [inva",
    ),
    (call("shout", hooks=["nothing:at_all"]), "steps[0].hooks[0]: 'nothing:at_all' names no workflow"),
    (
        call("shout", effect="pure", undo=at("unwrite")),
        "steps[0].undo: shout is pure: there is nothing that could be undone [invalid_config]",
    ),
    (
        call("shout", arguments={"loud": 1}),
        "steps[0].config.arguments.loud: is no key here; there are text [type_mismatch]",
    ),
    (
        call("shouting", arguments={"loud": 1}),
        "steps[0].config.arguments: shouting takes one value, no arguments by name [invalid_workflow]",
    ),
    (
        call("nothing_given", **{"with": 1}),
        "steps[0].with: nothing_given has no first argument left to give it to [invalid_workflow]",
    ),
    (call("shout", **{"with": 3}), "steps[0]: doc/shout: takes str as text, is given 3"),
    (
        call("shout", **{"with": "${{ steps.later.output }}"}),
        "steps[0].with: there is no step 'later' before this one in its list; there are none [unknown_step]",
    ),
    (call("shout", **{"with": "${{ state.x }}"}), "steps[0].with: the document has no state [no_state]"),
    (
        call("shout", **{"with": "${{ session.x }}"}),
        "steps[0].with: session can be looked at in conditions only [invalid_expression]",
    ),
    (
        call("shout", **{"with": "${{ input.__class__ }}"}),
        "steps[0].with: '__class__' is nothing for documents [invalid_expression]",
    ),
    (
        call("shout", **{"with": "${{ open('x') }}"}),
        "steps[0].with: \"open('x')\": there is no function open; there are size, has",
    ),
    (
        call("shout", **{"with": "${{ steps.s }}"}),
        "steps[0].with: steps.s has only an output: write steps.s.output [invalid_expression]",
    ),
    (
        call("shout", when="value > 3"),
        "steps[0].when: is 'value > 3', must be one ${{ expression }} [invalid_expression]",
    ),
    (call("shout", when="${{ value > }}"), "steps[0].when: 'value >': it ends too early"),
    (call("shout", needs=["zz"]), "steps[0].needs: needs 'zz', which is not among the steps here [unknown_dependency]"),
    (call("shout", id="me", needs=["me"]), "steps[0].needs: me depends on itself: me -> me [cycle]"),
    (
        call("shout", needs=[], when="value > 3"),
        "steps[0].when: is 'value > 3', must be one ${{ expression }} [invalid_expression]",
    ),
    (call("shout", when={"op": "equal"}), "steps[0].when.op: is 'equal'; did you mean equals?"),
    (call("shout", needs=[], when={"op": "equal"}), "steps[0].when.op: is 'equal'; did you mean equals?"),
    (
        call("shout", when={"op": "succeeded", "step": "later"}),
        "steps[0].when: there is no step 'later' [unknown_step]",
    ),
    (
        call("shout", id="shouted", when="${{ has(steps.shoutd.output) }}", **{"with": "a"}),
        "steps[0].when: there is no step 'shoutd' before this one",
    ),
    (
        call("shout", needs=[], when={"test": at("NUMBER"), "of": "${{ input }}"}),
        "steps[0].when.test: 'tests.authoring.material:NUMBER' is nothing for documents",
    ),
    (
        call("shout", when={"function": 3}),
        "steps[0].when: is {'function': 3}, must be an object with function: package.module:name [invalid_w",
    ),
    (
        call("shout", when={"function": at("members")}),
        "steps[0].when.function: tests.authoring.material:members is <pool members of 2>, which is no funct",
    ),
    (
        {"type": "branch", "config": {"when": "${{ input }}", "then": at("shout")}},
        "steps[0].config.when: input cannot be looked at here: there are value, state, session, steps [inva",
    ),
    (
        {"type": "branch", "config": {"when": "${{ steps.nobody.output }}", "then": at("shout")}},
        "steps[0].config.when: there is no step 'nobody' [unknown_step]",
    ),
    (
        {"type": "choose", "config": {"select": "${{ steps.s.output }}", "branches": [at("shout")]}},
        "steps[0].config.select: steps cannot be looked at here: there are value [invalid_expression]",
    ),
    (
        {"type": "choose", "config": {"select": {"function": "no:where"}, "branches": [at("shout")]}},
        "steps[0].config.select.function: 'no:where' names no workflow",
    ),
    (
        {"type": "case", "config": {"cases": [{"kind": "string"}]}},
        "steps[0].config.cases[0]: is {'kind': 'string'}, must have kind and step [invalid_workflow]",
    ),
    (
        {"type": "case", "config": {"cases": [{"kind": "list[string]", "step": at("shout")}]}},
        "steps[0].config.cases[0].kind: is list[str], must be a class [invalid_config]",
    ),
    (
        {"type": "router", "config": {"until": "string", "at_most": 3}},
        "steps[0].config: a router has either branches or cases [invalid_workflow]",
    ),
    (
        {"type": "router", "config": {"until": "strings", "at_most": 3, "branches": [at("shout")]}},
        "steps[0].config.until: 'strings' is no type: did you mean string? else write",
    ),
    (
        {"type": "subworkflow", "config": {"workflow": at("shout")}},
        "steps[0].config.workflow: tests.authoring.material:shout is <step shout>, which is no workflow [in",
    ),
    (
        {"type": "parallel", "config": {"branches": [at("shout")], "join": "first", "concurrency": 2}},
        "steps[0].config.concurrency: concurrency goes with join: all [invalid_workflow]",
    ),
    (
        {"type": "repeat", "config": {"step": at("shout"), "at_most": 3}},
        "steps[0]: either until or while_ must be given [invalid_config]",
    ),
    (
        {"type": at("Sayer"), "config": {"word": "${{ input }}"}},
        "steps[0].config: Sayer is made when the document is read: no expressions here [invalid_workflow]",
    ),
    (
        {"type": at("Sayer"), "config": {"word": "x", "times": 0}},
        "steps[0].config: Sayer: times must be from 1 [invalid_config]",
    ),
    ({"type": at("Sayer"), "config": {"wort": "x"}}, "steps[0].config: Sayer: "),
]


@ran(("step", "message"), MESSAGES)
def test_each_mistake_is_named_where_it_stands(step: Any, message: str) -> None:
    found = problems(step)
    assert any(problem.startswith(message) for problem in found), found


@ran(
    ("more", "message"),
    [
        ({"types": {"a/b": "x:y"}}, "types.a/b: the name of a type is 'a/b', must not contain '/' [invalid_workflow]"),
        ({"types": {"map": "x:y"}}, "types.map: 'map' is a kind of step of Ripresa's own [invalid_workflow]"),
        ({"types": {"x": 3}}, "types.x: is 3, must be a target [invalid_workflow]"),
        (
            {"state": at("shout")},
            "state: tests.authoring.material:shout is <step shout>, which is no type [invalid_type]",
        ),
        ({"state": "list[string]"}, "state: is list[str], must be a class [invalid_config]"),
        ({"limits": {"step": 1}}, "limits.step: is no key here; did you mean steps? [invalid_config]"),
        (
            {"rules": [at("members")]},
            "rules[0]: tests.authoring.material:members is <pool members of 2>, which is no rule",
        ),
        ({"rules": ["no:rule"]}, "rules[0]: 'no:rule' names no workflow"),
        (
            {"rules": [{"rule": "strict"}]},
            "rules[0]: is {'rule': 'strict'}, must be the target of a rule, or have rule:",
        ),
        ({"rules": [{"rule": "custom"}]}, "rules[0]: custom takes check, name, severity [invalid_workflow]"),
        ({"rules": [{"rule": "custom", "check": "no:check"}]}, "rules[0].check: 'no:check' names no workflow"),
        ({"type": "map", "config": {}}, "must have either steps or a type [invalid_workflow]"),
        ({"input": "text"}, "input: 'text' is no type: write any, string"),
        ({"version": "a/b"}, "version is 'a/b', must not contain '/' [invalid_config]"),
        (
            {"returns": "${{ steps.q.output }}"},
            "returns: there is no step 'q' before this one in its list; there are s",
        ),
    ],
)
def test_mistakes_of_the_whole_are_named(more: dict[str, Any], message: str) -> None:
    found = problems(STEP, **more)
    assert any(problem.startswith(message) for problem in found), found


def test_a_document_has_an_id() -> None:
    assert problems(STEP, id=None) == [
        "lacks id: the name of the workflow, by which its runs are found [invalid_workflow]"
    ]


def test_mistakes_of_graphs_are_named() -> None:
    first = {"type": "first", "config": {"of": ["zz"]}}
    assert problems(STEP, first) == [
        "steps[1].needs: needs 'zz', which is not among the steps here [unknown_dependency]"
    ]
    wrong = {"type": "set", "config": {"field": "best", "by": "append", "value": 1}}
    assert problems(wrong, state=at("Scores")) == [
        "steps[0].config.by: is 'append', which is not the reducer of 'best' [invalid_workflow]"
    ]
    assert problems({"type": "set", "config": {}}, state=at("Scores")) == [
        "steps[0].config: lacks field: a field of the state [invalid_workflow]"
    ]
    assert "no_state" in problems({"type": "set", "config": {"field": "best", "value": 1}})[0]
    assert problems(call("shout", **{"with": "${{ state.worst }}"}), state=at("Scores")) == [
        "steps[0].with: Scores has no field 'worst'; it has best, all [invalid_expression]"
    ]
    assert problems(call("plan", id="p"), call("shout", **{"with": "${{ steps.p.output.titel }}"})) == [
        "steps[1]: doc/shout: p is Plan, which has no titel [type_mismatch]"
    ]


def test_ids_with_numbers_are_numbered_in_order() -> None:
    assert problems(call("shout", id="a"), call("shout", id="a#3")) == [
        "steps[1].id: is 'a#3', but 1 steps of that name stand before it [duplicate_name]"
    ]
    flow = load(call("shout", id="a"), call("shout", id="a#2"), call("shout", id="b", needs=["a#2"]))
    assert [node.name for node in flow.node.children] == ["a", "a#2", "b"]


def test_a_step_of_a_graph_without_a_proper_name_is_noted() -> None:
    assert "steps[0].id: id is 'a/b', must not contain '/' [invalid_workflow]" in problems(
        call("shout", id="a/b", **{"with": "x"}), call("shout")
    )


def test_a_value_that_is_no_data_cannot_be_looked_at() -> None:
    expression = only_expression("${{ value + 1 }}")
    assert expression is not None
    with pytest.raises(RipresaError, match="cannot be evaluated"):
        expression.value({"value": object()})


def test_a_length_of_time_is_one() -> None:
    assert problems({"type": "delay", "config": {"length": "long"}})[0].startswith(
        "steps[0].config.length: is 'long', must be a length of time"
    )


def test_a_text_with_expressions_is_a_text() -> None:
    wrong = {"type": "call", "config": {"step": "tests.corpus.cases:add_one"}, "with": "number ${{ input }}"}
    assert problems(wrong) == [
        "steps[0]: doc/add_one: takes int as value, is given str (number ${{ input }}) [type_mismatch]"
    ]


def test_two_unnamed_writes_to_one_field_have_names_of_their_own() -> None:
    write = {"type": "set", "config": {"field": "best", "value": 1}}
    flow = load(write, write, returns="${{ input }}", state=at("Scores"))
    assert [node.name for node in flow.node.children[0].children] == ["state.best", "state.best#2"]
    first = {"type": "first", "config": {"of": ["s"]}}
    again = load(STEP, first, first, returns="${{ steps['first#2'].output }}")
    assert [node.name for node in again.node.children] == ["s", "first", "first#2"]


def test_neighbours_that_do_not_fit_are_named() -> None:
    assert problems(call("page_of"), call("shout")) == ["steps[1]: doc/shout: takes str, is given Page [type_mismatch]"]


# --- expressions


def test_texts_are_taken_apart() -> None:
    found = parts_of("a ${{ value }} $${{ b }} ${{ {'x': {'y': '}}'}} }}${{ [1, 2].map(v, {'v': v}) }}")
    assert [part if isinstance(part, str) else part.text for part in found] == [
        "a ", "value", " ${{ b }} ", "{'x': {'y': '}}'}}", "[1, 2].map(v, {'v': v})"
    ]  # fmt: skip
    assert parts_of("") == [""]
    assert only_expression("${{ {'a': 1}}}") is not None
    assert only_expression("x ${{ value }}") is None
    assert only_expression(3) is None
    assert has_expressions({"a": ["${{ x }}"]})
    assert not has_expressions({"a": ["$${{ x }}", 3]})


@ran(
    ("text", "message", "within"),
    [
        ("${{ value", "}} is missing", (1, 1)),
        ("${{ {'a': 1}} ", "}} is missing", (1, 1)),
        ("a\n ${{ }}", "the expression is empty", (2, 6)),
        ("${{ value +\n  foo }}", "there is no foo; there are value", (2, 3)),
        ("ab ${{ foo }}", "there is no foo; there are value", (1, 8)),
        ("${{ steps.size() }}", "steps.size has only an output: write steps.size.output", (1, 5)),
        ("${{ steps }}", "steps is looked at by name: write steps.NAME.output", (1, 5)),
        ("${{ steps[value].output }}", "steps is looked at by name", (1, 5)),
        ("${{ 1 + state }}", "state is looked at by name: write state.NAME", (1, 9)),
        ("${{ 99999999999999999999 }}", "invalid int literal", (1, 5)),
    ],
)
def test_an_expression_that_cannot_be_understood_says_where(text: str, message: str, within: tuple[int, int]) -> None:
    with pytest.raises(BadExpression) as caught:
        parts_of(text)
    assert message in caught.value.message
    assert caught.value.within == within


def test_an_expression_knows_what_it_looks_at() -> None:
    expression = only_expression("${{ steps['a b'].output.parts[0].size() > 1 ? value.x : state.y['z'] + input }}")
    assert expression is not None
    assert [(use.root, use.name, use.keys) for use in expression.uses] == [
        ("steps", "a b", ("parts", 0)), ("value", "", ("x",)), ("state", "y", ("z",)), ("input", "", ())
    ]  # fmt: skip
    assert expression.path is None
    raw = only_expression("""${{ value[r"x"] + value["\\t"] + value[0u] }}""")
    assert raw is not None
    assert [use.keys for use in raw.uses] == [()]


@ran(
    "attack",
    [
        "${{ steps.s.output }}",
        "$${{ 1 + 1 }}",
        '"; DROP TABLE runs; --',
        "{{ 7 * 7 }} ${7 * 7} {0.__class__} %(x)s",
        "'}} ${{ input",
    ],
)
async def test_what_data_says_is_never_an_expression(attack: str) -> None:
    """Results and inputs stand in texts and values as they are, however they look."""
    flow = load(
        call("anything", id="s"),
        call("write", id="w", arguments={"title": "it says ${{ steps.s.output.value }}"}, when="${{ input != 'x' }}"),
        call("anything", **{"with": ["${{ steps.w.output }}", "${{ input }}", "${{ input + '!' }}"]}),
    )
    assert (await flow.invoke(attack))["value"] == [f"it says {attack}: nothing", attack, attack + "!"]


# --- types


@ran(
    ("text", "kind"),
    [
        ("string", str),
        ("list[integer]", list[int]),
        ("dict[string, list[number]]", dict[str, list[float]]),
        ("tuple[string, ...]", tuple[str, ...]),
        (f"{at('Page')} | null", material.Page | None),
        ("any", Any),
    ],
)
def test_types_are_written_and_read(text: str, kind: Any) -> None:
    def find(target: str) -> Any:
        return getattr(material, target.rpartition(":")[2])

    assert kind_of(text, find) == kind
    assert text_of(kind, lambda found: f"{found.__module__}:{found.__qualname__}") == text  # type: ignore[attr-defined]


@ran("text", ["", 3, "list[", "list[string", "list[string;]", "list]", "text", "string string", "|", at("NUMBER")])
def test_what_is_no_type_is_refused(text: Any) -> None:
    with pytest.raises(InvalidConfig) as caught:
        kind_of(text, lambda target: 7)
    assert caught.value.code == "invalid_type"


def test_an_alias_of_a_type_is_written_as_what_it_stands_for() -> None:
    from typing import Annotated

    assert text_of(Annotated[int, "x"], str) == "integer"
    assert text_of(None, str) == "null"


# --- texts


YAML = """\
id: doc
steps:
  - id: first
    type: call
    config:
      step: tests.authoring.material:shout
      arguments: {text: "a ${{ steps.nobody.output }}"}
  - id: second
    type: shut
    with: |
      Dear reader,
      ${{ foo }}
"""


def test_problems_have_line_and_column() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        _loaded(document_of(YAML, "flow.yaml"))
    assert [problem.where for problem in caught.value.problems] == [
        "flow.yaml:7:32 steps[0].config.arguments.text",
        "flow.yaml:9:11 steps[1].type",
        "flow.yaml:12:11 steps[1].with",
    ]


def _loaded(document: Document) -> Any:
    from ripresa.authoring.document.library import Shelf
    from ripresa.authoring.document.load import flow_of
    from ripresa.runtime.documents import reaching

    folder = __import__("pathlib").Path.cwd()
    return flow_of(document, lambda types: Shelf(Library(), reaching(folder, None), {}, types))


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="must be an object with id and steps"):
        _loaded(document_of("- 1\n", "flow.yaml"))


@ran(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands here a second time"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4 a: the tag tag:yaml.org,2002:python/object:os.system"),
        ("a: [1,\n", "f.yaml:2:1: this is no YAML: expected the node content, but found '<stream end>'"),
        ("a: &a [*a]\n", "f.yaml:1:4 a[0]: this cannot be read: it holds itself"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key must be a text"),
        ("<<: 3\n", "f.yaml:1:5: << takes a mapping"),
        ("[" * 1500, "f.yaml:1:1: this cannot be read: it is nested too deep"),
        ("a: &a [x, x, x]\nb: &b [*a, *a, *a]\n" + "".join(
            f"{chr(c)}: &{chr(c)} [{', '.join(['*' + chr(c - 1)] * 9)}]\n" for c in range(99, 106)
        ), "this cannot be read: it has more than 100000 parts"),
        ("a: \x01\n", "this is no YAML"),
    ],
)  # fmt: skip
def test_yaml_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        settled(document_of(text, "f.yaml"))
    assert any(message in str(problem) for problem in caught.value.problems), caught.value.problems


def settled(document: Document) -> None:
    """Say what is wrong with a text, though it can be read."""
    Notes(document).settle("document")


def test_yaml_is_plain_data() -> None:
    text = "a: 2024-01-01\nb: 0x10\nc: [1.5, true, null, ~, 'no']\n<<: [{a: 1, d: on}, {d: 2}]\nt: >\n\n  folded\n"
    assert document_of(text).data == {
        "a": "2024-01-01", "b": 16, "c": [1.5, True, None, None, "no"], "d": "on", "t": "\nfolded\n"
    }  # fmt: skip
    assert document_of("").data is None


@ran(
    ("text", "message"),
    [
        ('{"a": 1,\n "a": 2}', "f.json:2:2: the key 'a' stands here a second time"),
        ('{"a" 1}', "f.json:1:6: this is no JSON: a colon is missing"),
        ("[1,]", "f.json:1:4: this is no JSON: a value is missing"),
        ("[1 2]", "f.json:1:4: this is no JSON: a comma or ] is missing"),
        ('{"a": "x', "f.json:1:7: this is no JSON: Unterminated string"),
        ("1 2", "f.json:1:3: this is no JSON: there is more after the end"),
        ("{a: 1}", "f.json:1:2: this is no JSON: a key in double quotes is missing"),
        ("[" * 5000, "this is no JSON: it is nested too deep"),
    ],
)
def test_json_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        settled(document_of(text, "f.json"))
    assert message in str(caught.value.problems[0])


def test_json_is_read_with_positions() -> None:
    found = document_of('{"a": [1, -2.5e3, true, null, "\\u00e4", {}],\n "b": []}', "f.json")
    assert found.data == {"a": [1, -2500.0, True, None, "ä", {}], "b": []}
    assert found.place(("a", 4), within=(1, 2)) == "f.json:1:33 a[4]"
    assert found.place(("b",), key=True) == "f.json:2:2 b"
    assert found.place(("b", 7, "c")) == "f.json:2:7 b[7].c"
    assert Document({}).place(("a",)) == "a"
    assert shown(("a", 0, "b")) == "a[0].b"


def test_a_problem_is_noted_once() -> None:
    notes = Notes(Document({}))
    notes.add((), "odd")
    notes.add((), "odd")
    assert len(notes.problems) == 1


def test_yaml_and_expressions_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from ripresa.authoring.document import cel

    monkeypatch.setitem(__import__("sys").modules, "ruamel.yaml", None)
    with pytest.raises(RipresaError, match="YAML needs the extra 'documents'"):
        document_of("a: 1")
    cel._environment.cache_clear()
    cel._compiled.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "cel_expr_python", None)
    monkeypatch.setitem(__import__("sys").modules, "cel_expr_python.cel", None)
    assert only_expression("${{ steps.a.output.b }}") is not None
    with pytest.raises(RipresaError, match="expressions need the extra 'documents'"):
        only_expression("${{ 1 + 1 }}")


@ran(
    ("text", "given", "why"),
    [
        ("input == 'x'", {"input": "\ud800"}, "construction from null"),
        ("{1: 2, input: 3}.size()", {"input": 1}, "duplicate key in map"),
        ("input[0] + 1", {"input": ["x"]}, "No matching overloads"),
        ("input + 1", {"input": 2**70}, "out of range"),
    ],
)
def test_what_an_expression_cannot_be_evaluated_for_is_said_with_it(text: str, given: Any, why: str) -> None:
    with pytest.raises(RipresaError, match=why) as caught:
        compiled(text).value(given)
    assert (caught.value.code, repr(text) in caught.value.message) == ("expression_failed", True)


# --- names


def test_a_name_is_registered_once() -> None:
    library = Library()
    assert library.register("shout", material.shout) is material.shout
    library.register("shout", material.shout)
    with pytest.raises(InvalidConfig, match="'shout' is registered already"):
        library.register("shout", material.write)
    with pytest.raises(InvalidConfig, match="is a kind of step of Ripresa's own"):
        library.register("map", material.shout)


@ran(
    ("text", "name", "said"),
    [
        ("a: !!int word", "x.yaml", "cannot be read as int"),
        ("a: !!bool maybe", "x.yaml", "cannot be read as bool"),
        ("a: " + "1" * 5000, "x.yaml", "cannot be read as int"),
        ("[" + "1" * 5000 + "]", "x.json", "a number is too long"),
        ("[" + "1," * 100_000 + "1]", "x.json", "more than 100000 parts"),
    ],
)
def test_what_cannot_be_a_value_is_said(text: str, name: str, said: str) -> None:
    with pytest.raises(InvalidWorkflow, match=said):
        document_of(text, name)


@ran("text", ["string[integer]", "null[any]", "list[" * 3000 + "any" + "]" * 3000])
def test_a_type_that_takes_no_such_arguments_is_none(text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        kind_of(text, str)
    assert caught.value.code == "invalid_type"


def test_a_retry_that_is_none_is_said() -> None:
    assert "retry.on: is 5" in problems({"type": "llm", "retry": {"on": 5}, "config": {"prompt": "Hi"}})[0]


# --- what is too much


def nested(depth: int) -> Any:
    found: Any = {"type": "pass"}
    for _ in range(depth):
        found = [found]
    return found


def test_data_that_is_nested_too_deep_or_holds_itself_is_refused() -> None:
    endless: Any = [{"type": "pass"}]
    endless += [endless, endless]
    message = "steps[0]: is nested more than 100 deep, or holds itself [invalid_workflow]"
    assert problems(nested(98)) == problems(endless) == [message]
    assert load(nested(90))


def test_an_expression_may_not_look_deeper_than_so_many_keys() -> None:
    deep = {"type": "pass", "with": f"${{{{ input{'.x' * 5000} }}}}"}
    assert problems(deep) == ["steps[0].with: input is looked at more than 100 keys deep [invalid_expression]"]
    assert load({"type": "pass", "with": f"${{{{ input{'.x' * 100} }}}}"})


def test_what_is_long_is_cut_where_it_is_told() -> None:
    (told,) = problems({"type": "pass", "with": f"${{{{ {'(' * 5000}1 }}}}"})
    assert len(told) < 400


def test_a_step_of_an_order_with_conditions_that_cannot_be_made_hides_no_other() -> None:
    found = problems({"type": "nope", "when": "${{ true }}"}, {"type": "nono", "unless": "${{ false }}"})
    assert [each.partition(":")[0] for each in found] == ["steps[0].type", "steps[1].type"]


def test_a_condition_that_is_switched_off_is_told_at_its_step() -> None:
    with Config.load({"features": {"branches": False}}).in_force():
        found = problems(call("shout", id="a"), call("shout", id="b", when="${{ steps.a.output == '1' }}"))
    assert [each.partition(":")[0] for each in found] == ["steps[1]"]
    assert "switched off" in found[0]
