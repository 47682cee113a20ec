"""What the conformance suites that come from npm say where they cannot be installed."""

import subprocess
from pathlib import Path

import pytest

from tests.conformance import npm
from tests.conformance.kilo import __main__ as kilo


def ends(monkeypatch: pytest.MonkeyPatch, status: int, stderr: str = "", stdout: str = "") -> list[list[str]]:
    """Every program that is run from here on ends so; what is run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, status, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error errno ENOTFOUND\n"
            "npm error network request to X failed\nnpm error network This is a problem",
            "ENOTFOUND: network request to X failed",
        ),
        ("npm warn old\nnpm error code EUSAGE\nnpm error\n", "EUSAGE"),
        ("npm error Exit handler never called!", "Exit handler never called!"),
        ("", ""),
    ],
)
def test_what_npm_complains_of_is_one_line(said: str, line: str) -> None:
    assert npm.why(said) == line


def test_without_a_network_one_line_says_that_kilo_code_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends(monkeypatch, 1, "npm error code ENOTFOUND\nnpm error network request failed")
    assert kilo.main() == 0
    told = capsys.readouterr().out
    assert told.endswith("cannot be installed on this machine: ENOTFOUND: network request failed\n")
    assert told.count("\n") == 1


def test_what_is_not_what_was_locked_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends(monkeypatch, 1, "npm error code EINTEGRITY\nnpm error sha512 differs")
    assert kilo.main() == 1
    assert "FAILED" in capsys.readouterr().out


def test_what_does_not_start_is_skipped_and_installed_again_the_next_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        failed = "--version" in command
        return subprocess.CompletedProcess(command, int(failed), "", "no build for this machine\n" if failed else "")

    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", run)
    assert kilo.main() == 0
    assert kilo.main() == 0
    assert "SKIPPED" in capsys.readouterr().out
    assert len(commands) == 4


@pytest.mark.parametrize("summary", ["1 passed, 1 skipped in 3.00s", "2 skipped in 1.00s", "2 failed in 9.00s", ""])
def test_a_test_that_was_left_out_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], summary: str
) -> None:
    ends(monkeypatch, 0, stdout=f"{kilo.VERSION}\n{summary}\n")
    assert kilo.main() == 1
    assert "FAILED" in capsys.readouterr().out


def test_what_is_installed_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ends(monkeypatch, 0, stdout=f"{kilo.VERSION}\n2 passed in 9.00s\n")
    assert kilo.main() == 0
    assert kilo.main() == 0
    assert [each[2] for each in commands if each[1].endswith("npm-cli.js")] == ["install"]


def test_an_npm_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(npm.NotInstalled, match="longer than"):
        npm.install(kilo.HERE, "conformance-kilo", "install")
