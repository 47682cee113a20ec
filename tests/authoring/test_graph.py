"""Graphs: how nodes hang together, what runs, and everything that is said when one is wrong."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from __future__ import annotations

from typing import Any, cast

import pytest

from ripresa import (
    Graph,
    InvalidConfig,
    InvalidWorkflow,
    Problem,
    RipresaError,
    RunFailed,
    chain,
    delay,
    map_each,
    step,
)
from ripresa.core.nodes.graph import Graph as GraphNode
from ripresa.core.nodes.graph import Wire

from .samples import Item, Ready, add, compare, double, fail, fetch, greet, length, ready, shout, upper


def node_of(flow: Any) -> GraphNode:
    assert isinstance(flow.node, GraphNode)
    return flow.node


def problems_of(graph: Graph[Any, Any], out: Any = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as caught:
        graph.returns(out)
    return [(problem.where, problem.message) for problem in caught.value.problems]


async def test_a_graph_gives_each_node_what_it_depends_on() -> None:
    g = Graph("report", input=str)
    pages = g.add(fetch(topic=g.input))
    uppers = g.map(upper, pages.out, concurrency=2)
    size = g.add(length(uppers.out[1].text))
    both = g.add(add(size.out, number=size.out))
    flow = g.returns(both.out)

    assert await flow("tide") == 16
    assert node_of(flow).wires == (
        Wire(sources=(-1,)),
        Wire(sources=(0,), evaluated=True),
        Wire(sources=(1,)),
        Wire(sources=(2,)),
    )
    assert [node.name for node in node_of(flow).nodes] == ["fetch", "map_each", "length", "add"]
    assert (flow.name, flow.input_type, flow.output_type) == ("report", str, int)
    assert repr(pages) == "<node fetch of report>"


async def test_a_graph_is_a_flow_like_any_other() -> None:
    g = Graph("size", input=str)
    flow = g.returns(g.add(length(g.input)).out)
    assert await chain(flow).then(double)("abc") == 6
    assert await map_each(flow)(["a", "ab"]) == [1, 2]
    with pytest.raises(InvalidWorkflow, match="chain/size: takes str, is given int"):
        chain(double).then(flow)


async def test_flows_and_workflows_are_nodes() -> None:
    g = Graph("mixed", input=str)
    sizes = g.add(chain(fetch).then(len)(g.input), name="sizes")
    hello = g.add(greet(name=g.input))
    both = g.add(compare(hello.out, right=sizes.out), after=[sizes, hello])
    assert await g.returns(both.out)("a") == "hello a!/2"


async def test_a_node_runs_only_if_its_condition_holds() -> None:
    g = Graph("cond", input=str)
    size = g.add(length(g.input))
    long = g.add(shout(g.input, "!!"), when=size.out > 3)
    short = g.add(shout(g.input, mark="?"), unless=size.out > 3)
    flow = g.returns(g.first(long, short).out)
    assert [await flow("tides"), await flow("ebb")] == ["tides!!", "ebb?"]


async def test_skipping_propagates_and_a_join_takes_what_ran() -> None:
    g = Graph("skips", input=str)
    never = g.add(shout(g.input), when=False)
    after = g.add(length(never.out))
    always = g.add(length(g.input), when=True, unless=False)
    flow = g.returns(g.first(after, always, name="either").out)
    assert await flow("abc") == 3
    assert node_of(flow).nodes[3].name == "either"


async def test_a_result_that_was_skipped_is_null() -> None:
    g = Graph("null", input=str)
    assert await g.returns(g.add(shout(g.input), when=False).out)("a") is None


async def test_a_predicate_is_asked_about_the_whole_result() -> None:
    g = Graph("tested", input=str)
    pages = g.add(fetch(g.input))
    size = g.add(length(pages.out[0].text), when=pages.test(lambda items: items[0].text == "a"))
    other = g.add(length(pages.out[1].text), unless=pages.test(lambda items: items[0].text == "a"))
    flow = g.returns(g.first(size, other).out)
    assert [await flow("a"), await flow("bb")] == [1, 4]
    assert str(node_of(flow).gates[1].code.condition) == "lambda(fetch)"
    assert str(node_of(flow).gates[2].code.condition) == "not (lambda(fetch))"


@pytest.mark.parametrize(("number", "runs"), [(1, False), (3, True), (30, False)])
async def test_when_and_unless_must_both_agree(number: int, runs: bool) -> None:
    g = Graph("both", input=int)
    node = g.add(double(g.input), when=g.input > 2, unless=g.input > 20)
    assert await g.returns(node.out)(number) == (number * 2 if runs else None)


@pytest.mark.parametrize("answer", [0, "", [], None])
async def test_a_condition_that_is_false_in_python_is_no_match(answer: Any) -> None:
    @step
    def say(number: int) -> Any:
        return answer

    g = Graph("truth", input=int)
    said = g.add(say(g.input))
    assert await g.returns(g.add(double(g.input), when=said.out).out)(1) is None


async def test_the_result_may_be_made_of_several() -> None:
    g = Graph("made", input=Item)
    size = g.add(length(g.input.text))
    flow = g.returns({"size": size.out, "text": g.input.text, "fixed": [1]})
    assert await flow(Item("abc")) == {"size": 3, "text": "abc", "fixed": [1]}
    assert node_of(flow).output == Wire(sources=(0, -1), evaluated=True)


async def test_the_result_may_be_the_input_or_a_constant() -> None:
    for out, expected in ((lambda graph: graph.input, "a"), (lambda graph: 3, 3)):
        g = Graph("plain", input=str)
        g.add(length(g.input))
        assert await g.returns(out(g))("a") == expected


async def test_values_given_as_they_are_belong_to_each_run() -> None:
    @step
    def grow(items: list[int], text: str) -> list[int]:
        items.append(len(text))
        return items

    shared = [1]
    g = Graph("constants", input=str)
    flow = g.returns(g.add(grow(shared, text=g.input)).out)
    assert [await flow("abc"), await flow("abcd")] == [[1, 3], [1, 4]]
    assert shared == [1]


async def test_a_flow_may_be_given_a_constant() -> None:
    g = Graph("constant", input=str)
    assert await g.returns(g.add(chain(length)("tides")).out)("a") == 5


async def test_rest_parameters_are_wired_too() -> None:
    @step
    def join(*texts: str, **more: str) -> str:
        return ",".join((*texts, *more.values()))

    g = Graph("rest", input=str)
    flow = g.returns(g.add(join(g.input, "b", c=g.input)).out)
    assert await flow("a") == "a,b,a"


async def test_a_node_may_wait_for_others_without_their_results() -> None:
    seen: list[str] = []

    @step
    def note(text: str) -> str:
        seen.append(text)
        return text

    g = Graph("after", input=str)
    slow = g.add(chain(delay(0.01)).then(note)("first"))
    last = g.add(note("second"), after=[slow, slow])
    flow = g.returns(last.out)
    await flow("a")
    assert seen == ["first", "second"]
    assert node_of(flow).wires[1].after == (0,)


async def test_a_graph_that_keeps_going_fails_when_the_rest_has_ended() -> None:
    seen: list[str] = []

    @step
    async def note(text: str) -> str:
        seen.append(text)
        return text

    g = Graph("going", input=str, concurrency=1, keep_going=True)
    g.add(fail(g.input))
    flow = g.returns(g.add(note(g.input)).out)
    with pytest.raises((ValueError, RunFailed), match="a"):
        await flow("a")
    assert seen == ["a"]
    assert (node_of(flow).window, node_of(flow).keep_going) == (1, True)


# --- mistakes


def test_a_value_that_is_there_already_is_checked_wherever_it_is_given() -> None:
    g = Graph("given", input=str)
    g.map(length, [1, 2])
    g.map(length, ["a", "b"], name="fits")
    g.map(length, ("a", "b"), name="tuple")
    g.map(length, [], name="none")
    g.add(chain(length)(3), name="class")
    g.map(ready, [Ready("a")], name="data")
    g.add(map_each(length)(["a", None]), name="second")
    found = problems_of(g, g.input)
    assert [where for where, _ in found] == ["given/map_each", "given/class/length", "given/second"]
    assert found[0][1].startswith("takes list[str] as input, is given [1, 2]: ")


def test_everything_that_is_wrong_is_reported_together() -> None:
    other = Graph("other", input=str)
    g = Graph("wrong", input=Item)
    size = g.add(length(g.input.txt))
    g.add(ready(work=size.out), name="length")
    g.add(length(other.input))
    g.add(length(size), name="forgot")
    g.add(length(length("a")), name="call")
    g.add(length(3), name="constant")
    g.add(length(), name="missing")
    g.add(chain(length)(size.out), name="flow")
    g.add(chain(length)(size.out, 3), name="many")
    g.add(double(size.out), name="gate", when=g.input.when == 3)
    g.map(upper, size.out, name="map", after=[other.add(length("a"))])

    assert problems_of(g, g.input.out) == [
        ("wrong/length", "input is Item, which has no txt"),
        ("wrong/length", "there are two nodes of this name"),
        ("wrong/length", "takes Ready as work, is given int (length)"),
        ("wrong/length#2", "uses input, which belongs to another graph ('other')"),
        ("wrong/forgot", "is given the node length, not its value"),
        ("wrong/call", "is given the call <call length('a')>, not its value"),
        ("wrong/constant", "takes str as text, is given 3: Input should be a valid string (given: 3)"),
        ("wrong/missing", "missing a required argument: 'text'"),
        ("wrong/flow/length", "takes str, is given int"),
        ("wrong/many", "takes one value, is given 2"),
        ("wrong/gate", "input is Item, which has no when"),
        ("wrong/map", "takes a list, is given int"),
        ("wrong/map", "uses length, which belongs to another graph ('other')"),
        ("wrong", "input is Item, which has no out"),
    ]


def test_a_plain_coroutine_is_refused() -> None:
    async def plain(number: int) -> int:
        return number

    with pytest.raises(RipresaError, match="plain is a plain coroutine"):
        Graph("g", input=int).add(plain(3))


def test_a_step_that_was_not_called_is_refused() -> None:
    with pytest.raises(RipresaError, match="<step length> is no call"):
        Graph("g", input=str).add(length)


def test_python_conditions_on_values_to_come_are_refused() -> None:
    g = Graph("g", input=str)
    size = g.add(length(g.input))
    with pytest.raises(RipresaError, match="exists only in a run"):
        _ = 1 if size.out > 3 else 2
    with pytest.raises(RipresaError, match="exists only in a run"):
        g.add(length("a"), when=not size.out)


def test_a_condition_that_is_none_is_refused() -> None:
    g = Graph("g", input=str)
    size = g.add(length(g.input))
    bad: Any = 3
    g.add(length("a"), when=cast("Any", size), unless=bad)
    g.add(length("a"), when=size.test(cast("Any", double)))
    wanted = "a condition on a value to come (node.out > 3, node.test(fn)), a Condition or a bool"
    assert problems_of(g) == [
        ("g/length#2", f"when is <node length of g>, must be {wanted}"),
        ("g/length#2", f"unless is 3, must be {wanted}"),
        ("g/length", "predicate is <step double>, must be a plain function that says yes or no"),
    ]


def test_a_predicate_of_another_type_is_reported() -> None:
    def is_long(text: str) -> bool:
        return len(text) > 3

    g = Graph("g", input=str)
    size = g.add(length(g.input))
    g.add(length("a"), when=size.test(is_long))
    assert problems_of(g) == [("g/length/is_long", "takes str, is given int")]


def test_only_nodes_can_be_waited_for_and_joined() -> None:
    g = Graph("g", input=str)
    wrong: Any = length
    g.add(length("a"), after=[wrong])
    g.first()
    g.first(wrong)
    assert problems_of(g) == [
        ("g/length", "after has <step length>, must have nodes of the graph only"),
        ("g/first", "joins no nodes, must be given nodes of the graph"),
        ("g/first#2", "nodes has <step length>, must have nodes of the graph only"),
    ]


def test_bad_options_of_nodes_do_not_hide_what_does_not_fit() -> None:
    g = Graph("g", input=str)
    bad: Any = 3
    g.add(length("a"), name="a/b")
    g.map(length, g.input, concurrency=0, when=bad)
    g.map(bad, [1], name="many")
    g.map(chain(length).then(cast("Any", shout)).then(cast("Any", double)), ["a"], name="deep")
    g.add(double(cast("Any", g.input)))
    with pytest.raises(InvalidWorkflow) as caught:
        g.returns(g.input)
    assert [(problem.where, problem.code) for problem in caught.value.problems] == [
        ("g/length", "invalid_config"),
        ("g/map_each", "invalid_config"),
        ("g/map_each", "invalid_config"),
        ("g/map_each", "type_mismatch"),
        ("g/many", "invalid_config"),
        ("g/deep/chain/shout", "type_mismatch"),
        ("g/deep/chain/double", "type_mismatch"),
        ("g/double", "type_mismatch"),
    ]
    assert "name is 'a/b'" in str(caught.value)


def test_a_closed_graph_takes_no_more_nodes() -> None:
    g = Graph("g", input=str)
    size = g.add(length(g.input))
    g.returns(size.out)
    for use in (lambda: g.add(length("a")), lambda: g.first(size, size), lambda: g.returns(size.out)):
        with pytest.raises(RipresaError, match=r"graph 'g' was closed by returns\(\)") as caught:
            use()
        assert caught.value.code == "closed"


def test_all_bad_options_of_a_graph_are_named_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Graph("", input=str, concurrency=0)
    assert caught.value.message == (
        "name is '', must be a text that is not empty; concurrency is 0, must be a whole number from 1"
    )


def test_a_value_that_cannot_be_written_is_reported() -> None:
    @step
    def take(value: Any) -> int:
        return 3

    g = Graph("g", input=str)
    g.add(take(object()))
    ((where, message),) = problems_of(g)
    assert where == "g/take"
    assert "takes Any as value, is given <object object" in message


def test_problems_say_where_in_the_graph() -> None:
    g = Graph("g", input=str)
    assert problems_of(g, Graph("h", input=int).input) == [
        ("g", "uses input, which belongs to another graph ('h')"),
    ]
    assert Problem("a", "b").code == "invalid_workflow"
