"""What a run answers, on the command line."""

import pytest

from tests.cli.program import Terminal

FLOWS = """
from ripresa import Context, Query, Signal, step, workflow

@step
async def shout(word: str) -> str:
    return word.upper()

@workflow
async def collect(ctx: Context, word: str) -> str:
    words = []
    ctx.expose(Query("words", list[str]), lambda: words)
    print("printed by the function")
    words.append(await shout(word))
    await ctx.wait_for(Signal("more", str))
    return words[0]
"""


def test_a_sleeping_run_answers_from_its_journal(terminal: Terminal) -> None:
    terminal.write("collect.py", FLOWS)
    assert terminal.here("run", "collect.py:collect", "-i", '"a"', "--id", "r", "-q").code == 5
    events = terminal.here("events", "r", "--json").out
    found = terminal.here("query", "r", "words", "--json")
    assert (found.code, found.json) == (0, ["A"])
    assert "printed by the function" in found.err
    assert terminal.here("query", "r").out.split() == ["words", "progress"]
    assert '"percent": ' in terminal.here("query", "r", "progress").out
    unknown = terminal.here("query", "r", "other")
    assert (unknown.code, unknown.out) == (3, "")
    assert "it answers: words, progress" in unknown.err
    assert "state" not in unknown.err
    about = terminal.here("query", "r", "progress", "3")
    assert "'progress' is asked about nothing" in about.err
    assert "ripresa query r progress" in about.err
    for command in (("query", "r", "words", "x"), ("signal", "r", "more", "hi")):
        wrong = terminal.here(*command)
        assert "this is no JSON" in wrong.err
        assert "--input" not in wrong.err
    assert terminal.here("query", "nobody", "words").code == 3
    assert terminal.here("events", "r", "--json").out == events


def test_without_its_code_a_run_still_says_how_far_it_is(terminal: Terminal) -> None:
    terminal.write("collect.py", FLOWS)
    assert terminal.here("run", "collect.py:collect", "-i", '"a"', "--id", "r", "-q").code == 5
    (terminal.directory / "collect.py").unlink()
    assert terminal.here("query", "r", "progress", "--json").json["completed"] == 1
    assert terminal.here("query", "r", "words").code == 3


SERVED = """
from dataclasses import dataclass

from ripresa import Graph, Query, QueryWith, Signal, Update, chain, current, step, wait_for

@dataclass
class Sale:
    price: int = 10

rise, go = Update("rise", int, int), Signal("go", int)

@step
async def reprice(by: int) -> int:
    if by <= 0:
        raise ValueError("prices only rise")
    sale = current().state(Sale)
    sale.price += by
    return sale.price

def served(flow):
    flow = flow.with_update(rise, reprice).with_query(Query("price", int), lambda run: run.state(Sale).price)
    return flow.with_query(QueryWith("times", int, int), lambda run, n: n * run.state(Sale).price)

a_chain = served(chain(wait_for(go), name="a_chain").with_state(Sale))
g = Graph("a_graph", input=int, state=Sale)
a_graph = served(g.returns(g.add(wait_for(go)(g.input)).out))
"""


@pytest.mark.parametrize("form", ["a_chain", "a_graph"])
def test_chains_and_graphs_answer_updates_and_queries(terminal: Terminal, form: str) -> None:
    terminal.write("served.py", SERVED)
    assert terminal.here("run", f"served.py:{form}", "-i", "0", "--id", "r", "-q").code == 5
    assert "waiting for update rise" in terminal.here("show", "r").out
    answered = terminal.here("update", "r", "rise", "5", "--as", "ann", "--id", "1")
    assert (answered.code, answered.out) == (0, "15\n")
    again = terminal.here("update", "r", "rise", "5", "--id", "1", "-q")
    assert (again.code, again.out) == (0, "15\n")
    refused = terminal.here("update", "r", "rise", "-q", "--", "-1")
    assert (refused.out, "prices only rise" in refused.err) == ("", True)
    assert terminal.here("query", "r").out.split() == ["price", "times", "progress", "state"]
    assert terminal.here("query", "r", "price", "--json").json == 15
    assert terminal.here("query", "r", "times", "2").out == "30\n"
    assert terminal.here("signal", "r", "go", "1", "-q").code == 0
    assert terminal.here("query", "r", "price").out == "15\n"
