"""Every example runs as its first lines say: as a script, and by the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from ripresa import WorkflowOrchestrator
from ripresa.testing.fake_model import FakeModel
from ripresa.testing.loopback import SWITCH
from tests.cli.program import Terminal, killed, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"

MODELS = {"agent.py", "knowledge.py", "llm.py"}
"""See test_models.py."""

SCRIPTS = {
    "programs.py": [
        "8 words, the longest is 'there'",
        "arguments are arguments: ['--', '$(rm -rf /)', '; ls']",
        "process_failed after 2 attempts: 'python' ended with status 1: no tide today",
    ],
    "web_service.py": [
        "3.5 m in Oban",
        "asked 2 times, with the token: True",
        "the inside stays inside: address_refused",
    ],
    "web_token.py": ["['Oban', 'Brest', 'Naples'] with 1 token", "200 with the next one: 3"],
    "open_api.py": ["/ports/St%20Ives/tides?days=2&kind=high&kind=low", "invalid_input days: 30 is greater than"],
    "grpc_service.py": [
        "Tide(port='Oban', metres=3.5)",
        '[{"port": "Brest", "metres": 0.0}, {"port": "Brest", "metres": 1.0}]',
        "grpc_status True",
    ],
    "server_events.py": ["3 batches: low rising high falling low rising\nasked for what came after 0 4"],
    "webhooks.py": [
        "somebody else's: webhook_refused",
        "order 7 is on its way - runs: 1",
        "then: of no interest",
    ],
    "coding_agent.py": ["the diff: +++ b/tide.py", "tide.py: taken", "I went on where I was: Say how", "830 tokens"],
    "mcp_both_ways.py": [
        "offered: cancel_run inspect_run",
        "6.1 m, says run brest\nagain: 6.1 m, says run brest\nit was completed",
    ],
    "human.py": ["How many lamps shall we order? lamps", "ordered 7 lamps: the shelf is empty"],
    "approval.py": ["Publish this? {'title': 'tides'", "sent: All about tides"],
    "adapter_langgraph.py": [
        "planned to Oban; loaded after 1 entry; sailed at attempt 2",
        "supersteps recorded: 3",
    ],
    "adapter_openai_agents.py": [
        "Attention: 6.1 m in Brest",
        "desk handoff pilot\npilot call height_in",
    ],
    "adapter_pydantic_ai.py": [
        "6.1 m in Brest",
        "recorded: model\nrecorded: height_in\nrecorded: model",
    ],
    "updates.py": [
        "Standing(leader='ann', amount=120, left=2)\nStanding(leader='ann', amount=120, left=2)",
        "update_refused: ",
        "sold to ann for 150",
    ],
    "agents_elsewhere.py": ["then: booked: Oban", "then: nothing was booked\nruns over there: 2 ['book']"],
    "outbox.py": ["ann sits on 7", "ticket for seat 7", "letter to ann@example.org {'seat': 7}"],
    "signals.py": ["order 7 shipped from shelf 3"],
    "chain.py": ["9 words, the longest is 'twilight'", "Summary(words=9, longest='notebooks')"],
    "graph.py": ["3 x lamp on the way, 135.00 to pay", "no more lamps than the stock has; you are on the list"],
    "function.py": ["Rome is warmest, says the station in Rome"],
    "pool.py": ["ebb: ann", "spring: bob", "slack: ann's colleague", "PoolStatus(name='agents', size=2, free=2"],
    "router.py": [
        "['chat: refunded (seen by triage)', 'mail: refunded (seen by triage)']",
        "The tide turns.",
        "too_many_transitions",
    ],
    "stream.py": [
        "left out hour 7: could not convert string to float: '?'",
        "240 hours in 5 batches, 5 readings left out",
        "[6, 7, 8]",
        "02 January: 24 hours\n03 January: 12 hours",
    ],
    "hooks.py": [
        "Ask [somebody] for more.",
        "Dear reader, It is at noon, as always.",
        "vetoed - that is not for us to know",
        "3 steps completed; {'look_up: continue': 1, 'write: replace': 1, 'look_up: skip': 1",
    ],
    "time_travel.py": [
        "the places: ['research', 'write', 'post']",
        "  writing about neap and spring",
        "what differs: ['output', 'research', 'write', 'post']",
    ],
    "state.py": [
        "5 readings between 19.0 and 23.5",
        "mean 21.2, left out: broken",
        "too much is wrong: ?, !",
    ],
    "session.py": [
        "3. Is it worth it? - that depends",
        "versions of the notes: 3",
        "tokens used: 240",
        "no more: the limit of tokens of session 'visit' is reached: 240 of 300 are used",
        "failed: answer of chain",
    ],
    "saga.py": [
        "cancelled the flight to Atlantis\na book about Atlantis\n",
        "['flight to Rome and a room', 'not Atlantis']",
        "failed: no room is above the water; undone: ['book_flight']",
    ],
    "errors.py": [
        "cannot see rain in Oslo from here",
        "released 2 seats",
        "run_failed at charge: the card was refused",
        "PermissionError('the card was refused')",
    ],
}

RUNS = {
    "programs.py:report": ('"tides.txt"', "7 words, the longest is 'tides.txt'"),
    "chain.py:digest": ('["Oh!"]', "hardly anything: Oh\n"),
    "graph.py:order": ('{"article": "lamp", "count": 3}', "3 x lamp on the way, 135.00 to pay\n"),
    "function.py:watch": ('{"places": ["Oslo"]}', "Oslo is warmest"),
    "pool.py:proofread": ('["ebb", "flow"]', '"flow: bob"'),
    "router.py:helpdesk": ('{"text": "a refund, please"}', "refunded (seen by triage)"),
    "stream.py:averages": ("240", '"reason": "exhausted"'),
    "hooks.py:answer": ('"When is noon?"', "It is at noon, as always."),
    "time_travel.py:letter": ('"tides"', "posted: Dear reader, there are high tides and low tides.\n"),
    "state.py:survey": ('["3 4", "x", "5"]', "3 readings between 3.0 and 5.0"),
    "saga.py:journey": ('"Rome"', "flight to Rome and a room"),
    "errors.py:weather": ('"Oslo"', "cannot see rain in Oslo"),
}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_as_a_script(name: str, terminal: Terminal) -> None:
    told = terminal.script(EXAMPLES / name, **{SWITCH: "0"})
    assert told.code == 0, told.err
    for line in SCRIPTS[name]:
        assert line in told.out


@pytest.mark.parametrize("target", RUNS)
def test_an_example_runs_by_the_command_line(target: str, terminal: Terminal) -> None:
    given, expected = RUNS[target]
    told = terminal("run", f"{EXAMPLES}/{target}", "--input", given, "--quiet")
    assert told.code == 0, told.err
    assert expected in told.out


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*SCRIPTS, *MODELS, "survey.py", "document_steps.py"}
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == {
        "ask.yaml",
        "order.owf.yaml",
        "tides.yaml",
        "triage.yaml",
    }


# --- documents


def test_the_tides_are_run_from_a_document(terminal: Terminal) -> None:
    given = '{"ports": ["Oban", "Brest", "Naples"], "loud": true}'
    told = terminal("run", f"{EXAMPLES}/tides.yaml", "--input", given, "--json")
    assert told.json["output"] == {"line": "HIGH TIDE: OBAN, BREST", "highest": 3.9}
    assert terminal.here("check", f"{EXAMPLES}/ask.yaml").code == 0


def test_the_order_is_run_from_a_document_of_the_open_workflow_specification(terminal: Terminal) -> None:
    given = '{"items": [{"name": "lamp", "price": 30}, {"name": "rope", "price": %d}]}'
    told = terminal.here("run", f"{EXAMPLES}/order.owf.yaml", "--input", given % 12, "--json")
    assert told.json["output"] == {"accepted": "lamp, rope for 42"}
    refused = terminal.here("run", f"{EXAMPLES}/order.owf.yaml", "--input", given % 80)
    assert refused.code == 1
    assert '"title": "110 is too much"' in refused.err


def test_the_triage_is_approved_and_taken_up(terminal: Terminal) -> None:
    waiting = terminal("run", f"{EXAMPLES}/triage.yaml", "--input", '"the lamp is broken"', "--id", "triage")
    assert waiting.code == 5, waiting.err
    assert terminal("approve", "triage", "--as", "ann", "--quiet").out == "sent: THE LAMP IS BROKEN!!!\n"


async def test_the_second_question_is_given_the_first_answer(tmp_path: Path) -> None:
    models = {"*": FakeModel("The moon.", "Moon moves sea.")}
    orchestrator = WorkflowOrchestrator(f"sqlite:{tmp_path}/store.db", models=models)
    result = await orchestrator.execute_workflow(f"{EXAMPLES}/ask.yaml", input="tides")
    assert (result.status, result.output) == ("completed", "Moon moves sea.")


# --- the survey


def tree(directory: Path) -> Path:
    """A small source tree with everything that the survey looks for."""
    root = directory / "tree with 'quotes'"
    (root / "pkg" / "deep").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / "pkg" / "a.py").write_text("# one comment\nx = 1  # TODO later\n\n\ndef f() -> None:\n    pass\n")
    (root / "pkg" / "broken.py").write_text("def f(:\n")
    (root / "pkg" / "long.py").write_text("def long():\n" + "    x = 1\n" * 120)
    (root / "pkg" / "deep" / "notes.md").write_text("# Notes\n" + "x" * 600)
    (root / "pkg" / "deep" / "mixed.c").write_text("// c\r\n\tint x;\r\n  int y;\r\n")
    (root / "empty.txt").write_text("")
    (root / "latin.sh").write_bytes(b"echo \xe9\n")
    (root / "picture.png").write_bytes(bytes(range(200)))
    (root / "node_modules" / "skipped.js").write_text("skipped\n")
    (root / ".hidden").write_text("skipped\n")
    (root / "Makefile").write_text("all: ## everything\n\ttrue\n")
    return root


def test_the_survey_writes_a_report_about_a_tree(terminal: Terminal) -> None:
    root = tree(terminal.directory)
    terminal.write("order.json", f'{{"directory": "{root}"}}')
    told = terminal("run", f"{EXAMPLES}/survey.py:survey", "--input", "@order.json", "--json")
    assert told.code == 0, told.err
    output = told.json["output"]
    assert (output["files"], output["languages"]) == (9, 7)
    text = (terminal.directory / "report.md").read_text(encoding="utf-8")
    for line in (
        "# Survey of tree with 'quotes'",
        "| Python | 3 | 128 | 125 | 1 | 2 | 2 | 1 |",
        "3 in all; the deepest is `pkg/deep`.",
        "- `latin.sh` is no UTF-8 text (byte 5)",
        "- `pkg/broken.py` Python cannot parse it",
        "- `pkg/deep/mixed.c` has Windows line ends",
        "- `pkg/deep/mixed.c` is indented by tabs and by spaces",
        "- `pkg/deep/notes.md` does not end with a line break",
        "- `pkg/deep/notes.md` has a line of 600 characters",
        "- `pkg/long.py` long() has 121 lines",
    ):
        assert line in text, line
    assert [path.name for path in terminal.directory.glob(".report*")] == []


def test_the_survey_asks_git_where_it_can(terminal: Terminal) -> None:
    root = tree(terminal.directory)
    (root / ".gitignore").write_text("*.png\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    terminal.write("order.json", f'{{"directory": "{root}"}}')
    told = terminal("run", f"{EXAMPLES}/survey.py:survey", "--input", "@order.json", "--json", "--quiet")
    assert told.json["output"]["files"] == 11  # with .hidden, .gitignore and node_modules, without the picture


def test_a_survey_of_nothing_and_of_an_empty_directory(terminal: Terminal) -> None:
    told = terminal("run", f"{EXAMPLES}/survey.py:survey", "--input", '{"directory": "no"}')
    assert told.code == 1
    assert "ValueError: 'no' is no directory" in told.err
    (terminal.directory / "empty").mkdir()
    told = terminal("run", f"{EXAMPLES}/survey.py:survey", "--input", '{"directory": "empty"}', "--json", "--quiet")
    assert told.json["output"]["files"] == 0


def test_a_killed_survey_measures_no_file_twice(terminal: Terminal) -> None:
    root = tree(terminal.directory)
    for number in range(40):
        (root / f"file{number}.py").write_text(f"x = {number}\n")
    terminal.write("order.json", f'{{"directory": "{root}", "pace": 1.0}}')
    run = terminal.start("run", f"{EXAMPLES}/survey.py:survey", "--input", "@order.json", "--id", "a")

    def some_are_measured() -> bool:
        shown = terminal.here("show", "a", "--json")
        return shown.code == 0 and shown.json["progress"]["completed"] > 8

    wait_for(some_are_measured)
    killed(run)
    before = terminal.here("show", "a", "--json").json
    done = {step["path"] for step in before["steps"] if step["status"] == "completed"}
    assert 8 < len(done) < 50
    told = terminal("resume", "a", "--json")
    assert (told.code, told.json["output"]["files"]) == (0, 49), told.err
    after = terminal.here("show", "a", "--json").json
    assert {step["path"] for step in after["steps"] if step["attempt"] > 1}.isdisjoint(done)


def test_make_demo_takes_any_directory(tmp_path: Path) -> None:
    """What `make demo` hands to the survey: the name of the directory as JSON, whatever is in it."""
    makefile = (EXAMPLES.parent / "Makefile").read_text(encoding="utf-8")
    directory = tree(tmp_path)
    lines = makefile[makefile.index("demo: export DIR") : makefile.index("ifeq ($(strip $(ARGS)),)")]
    lines = lines.replace("$(STAMP)", "").replace("$(BIN)/python", sys.executable)
    lines = lines.replace("$(BIN)/ripresa", f"{sys.executable} -m ripresa").replace("examples/", f"{EXAMPLES}/")
    (tmp_path / "Makefile").write_text(f"DIR ?= .\nPACE ?= 0\n{lines}", encoding="utf-8")
    told = subprocess.run(["make", "demo", f"DIR={directory}"], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "ripresa show" in told.stderr
    assert (tmp_path / "report.md").exists()
    wrong = subprocess.run(["make", "demo", "PACE=fast"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.stderr.partition("\n")[0] == 'PACE is "fast", must be a number of seconds, such as 0.05'


def test_an_order_is_carried_by_events(terminal: Terminal) -> None:
    place = str(EXAMPLES / "signals.py:order")
    assert terminal("run", place, "--input", '{"number": 7}', "--id", "order-7").code == 5
    assert terminal("signal", "order-7", "paid", '{"amount": 70}', "--id", "payment-1").code == 5
    told = terminal("signal", "order-7", "packed", '"shelf 3"')
    assert (told.code, told.out) == (0, "order 7 shipped from shelf 3\n")


def test_a_post_is_approved_by_two_of_three(terminal: Terminal) -> None:
    place = str(EXAMPLES / "approval.py:publish")
    left = terminal("run", place, "--input", '"tides"', "--id", "post-1")
    assert left.code == 5
    assert """--as NAME --form '{"title": ...}'""" in left.err
    assert """--as NAME --form '{"title": ...}' --digest""" in terminal("approvals").out
    assert terminal("approve", "post-1", "--as", "ann", "--form", '{"title": "About tides"}').code == 0
    told = terminal("approve", "post-1", "--as", "cid", "--form", '{"title": "All about tides"}')
    assert (told.code, told.out) == (0, "sent: All about tides\n")
