from tests.cli.program import Terminal


def test_runs_are_removed_archived_and_brought_back(terminal: Terminal) -> None:
    for command in (("prune", "--older-than", "0 s"), ("tombstones",)):
        assert terminal.here(*command).code == 0
    terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    assert terminal.here("prune", "--older-than", "1 day", "--dry-run").out == ""
    assert terminal.here("prune", "--older-than", "0 s", "--dry-run").out == "a\n"
    pruned = terminal.here("prune", "--older-than", "0 s", "--archive", "old", "--reason", "gone", "--json")
    assert pruned.json == {"done": ["a"], "refused": [], "dry_run": False}
    assert terminal.here("show", "a").code == 3
    assert terminal.here("tombstones").out.startswith("a  sums  completed  removed ")
    assert terminal.here("tombstones", "--json").json[0]["reason"] == "gone"
    (file,) = (terminal.directory / "old").iterdir()
    assert terminal.here("restore", f"old/{file.name}").err == "restored run a\n"
    assert terminal.here("show", "a", "--json").json["output"] == 12
    assert terminal.here("restore", f"old/{file.name}", "--quiet").code == 2


def test_what_refuses_to_be_removed_is_told(terminal: Terminal) -> None:
    terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    terminal.write("taken", "")
    pruned = terminal.here("prune", "--older-than", "0 s", "--archive", "taken")
    assert pruned.code == 1
    assert pruned.err.startswith("error [store_failed] a: ")
    assert pruned.err.endswith("0 runs removed\n")
