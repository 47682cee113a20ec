"""Drawings of workflows."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import (
    Graph,
    InvalidConfig,
    approval,
    approved,
    best_effort,
    branch,
    case,
    chain,
    delay,
    fallback,
    first_of,
    fold,
    for_range,
    load_document,
    map_each,
    n_of,
    parallel,
    repeat,
    saga,
)
from ripresa.authoring.draw import draw

from .samples import Ready, Rework, add, double, fail, fetch, greet, judge, length, ready, rework, shout, upper


def lines(flow: Any, format: Any = "mermaid") -> list[str]:
    return [line.strip() for line in draw(flow, format).splitlines()]


def test_a_chain_is_drawn_in_its_order() -> None:
    assert draw(chain(fetch).then(map_each(upper)).then(delay(3))) == (
        "flowchart TD\n"
        '    n1["fetch"]\n'
        '    n3(["delay: 3 s"])\n'
        '    subgraph f1["map_each: each item"]\n'
        '        n2["upper"]\n'
        "    end\n"
        "    n1 --> n2\n"
        "    n2 --> n3\n"
    )


def test_what_people_are_asked_is_drawn_where_the_run_waits_for_them() -> None:
    assert lines(chain(shout).then(approval("Send it?", name="check")))[1:] == [
        'n1["shout"]',
        'n2(["check: Send it?"])',
        "n1 --> n2",
    ]


def test_what_people_decide_is_drawn_with_what_follows() -> None:
    assert lines(chain(shout).then(approved("Send it?", shout, length)))[1:] == [
        'n1["shout"]',
        'n2(["approval: Send it?"])',
        'n3["shout"]',
        'n4["length"]',
        'n2 -->|"granted"| n3',
        'n2 -->|"rejected"| n4',
        "n1 --> n2",
    ]


async def forget(number: int) -> None:
    """Undo."""


def test_what_is_undone_together_is_drawn_in_its_frame() -> None:
    assert lines(chain(saga(chain(shout).then(chain(length, name="measure"), undo=forget), name="both")))[1:] == [
        'subgraph f1["both"]',
        'n1["shout"]',
        'n2["length"]',
        "end",
        "n1 --> n2",
    ]


def test_a_choice_is_drawn_with_its_answers() -> None:
    assert lines(branch(str.isupper, length, shout)) == [
        "flowchart TD",
        'n1{"isupper?"}',
        'n2["length"]',
        'n3["shout"]',
        'n1 -->|"yes"| n2',
        'n1 -->|"no"| n3',
    ]
    assert lines(chain(judge).then(case(Ready, ready).case(Rework, rework)))[-3:] == [
        'n2 -->|"Ready"| n3',
        'n2 -->|"Rework"| n4',
        "n1 --> n2",
    ]


@pytest.mark.parametrize(
    ("flow", "label"),
    [
        (parallel(length, shout), "parallel: all"),
        (parallel(length, shout, on_error="fail_slow"), "parallel: all, fail slow"),
        (best_effort(length, shout), "best_effort: all, best effort"),
        (first_of(length, shout), "first_of: first to end"),
        (n_of(2, length, shout), "n_of: first 2 to succeed"),
    ],
)
def test_a_fork_says_when_it_joins(flow: Any, label: str) -> None:
    assert lines(flow)[1:] == [f'n1{{{{"{label}"}}}}', 'n2["length"]', 'n3["shout"]', "n1 --> n2", "n1 --> n3"]


@pytest.mark.parametrize(
    ("flow", "label"),
    [
        (repeat(double, until=bool, at_most=3), "repeat: at most 3 times, until"),
        (repeat(double, while_=bool, at_most=3), "repeat: at most 3 times, while"),
        (fold(add, 0), "fold: each item in turn"),
        (for_range(add, 0, 10, 2, until=bool), "for_range: 0 to 10 by 2, until"),
        (map_each(double, on_error="fail_slow"), "map_each: each item, fail slow"),
    ],
)
def test_a_loop_says_how_it_goes_on(flow: Any, label: str) -> None:
    assert lines(flow)[1] == f'subgraph f1["{label}"]'


def test_what_happens_on_failure_is_dashed() -> None:
    assert lines(fallback(fail, shout))[1:] == ['n1["fail"]', 'n2["shout"]', 'n1 -.->|"fails"| n2']
    assert lines(chain(shout).cleanup(length, shout))[1:] == [
        'subgraph f1["chain"]',
        'n1["shout"]',
        'n2["shout"]',
        'n3["length"]',
        "end",
        'n1 -.->|"fails or is cancelled"| n2',
        "n2 -.-> n3",
    ]


def graph() -> Any:
    g = Graph("g", input=str)
    pages = g.add(fetch(g.input))
    g.add(length(g.input))
    hello = g.add(greet(pages.out[0].text), when=pages.out[0].text == 'a "b"')
    other = g.add(shout(g.input), after=[pages])
    return g.returns(g.first(hello, other).out)


def test_a_graph_is_drawn_by_dependency() -> None:
    assert lines(chain(graph()).then(length)) == [
        "flowchart TD",
        'n7["length"]',
        'subgraph f1["g"]',
        'n1["fetch"]',
        'n2["length"]',
        "n3{\"fetch[0].text == 'a &quot;b&quot;'?\"}",
        'n5["shout"]',
        'n6(("first"))',
        'subgraph f2["greet"]',
        'n4[["greet"]]',
        "end",
        "end",
        'n3 -->|"yes"| n4',
        "n1 --> n3",
        "n1 --> n5",
        "n4 --> n6",
        "n5 --> n6",
        "n6 --> n7",
    ]


def test_graphviz_is_drawn_too() -> None:
    assert draw(chain(graph()), "dot").startswith("digraph {\n")
    assert lines(branch(str.isupper, fallback(fail, shout), shout, name="b"), "dot") == [
        "digraph {",
        'n1 [label="isupper?", shape=diamond]',
        'n2 [label="fail", shape=box]',
        'n3 [label="shout", shape=box]',
        'n4 [label="shout", shape=box]',
        'n2 -> n3 [label="fails", style=dashed]',
        'n1 -> n2 [label="yes"]',
        'n1 -> n4 [label="no"]',
        "}",
    ]
    assert lines(map_each(length), "dot")[1:3] == [
        'subgraph cluster_f1 { label="map_each: each item"',
        'n1 [label="length", shape=box]',
    ]


def test_a_graph_that_returns_its_input_ends_with_all_its_nodes() -> None:
    g = Graph("g", input=str)
    g.add(length(g.input))
    assert lines(chain(g.returns(g.input)).then(shout))[-1] == "n1 --> n2"


def test_other_formats_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="format is 'png', must be one of 'mermaid', 'dot'"):
        draw(chain(fetch), "png")  # type: ignore[arg-type]


def test_what_passes_on_its_value_is_drawn() -> None:
    flow = load_document({"id": "flow", "steps": [{"type": "pass", "id": "on"}]})
    assert lines(flow) == ["flowchart TD", 'n1(("on"))']
    assert lines(flow, "dot") == ["digraph {", 'n1 [label="on", shape=circle]', "}"]
