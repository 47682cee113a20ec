"""What a run answers, on the command line."""

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
