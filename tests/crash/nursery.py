"""A process that forks the processes which are killed, and the place where their runs are kept."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def uncounted() -> dict[str, str]:
    """The environment of a program whose lines are not counted where those of a test are.

    What is killed could not say which it has run, and the others would be slowed down for nothing.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


class Nursery:
    """The program of `driver.py`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=uncounted(),
        )

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """What came of a job."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=10)


@dataclass
class Place:
    """Where the runs of one test are kept."""

    nursery: Nursery
    directory: Path
    names: list[str]
    pause: float = 0
    number: int = 0

    def fresh(self) -> None:
        """Begin with an empty store."""
        self.number += 1

    @property
    def store(self) -> Path:
        return self.directory / f"{self.number}.db"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.number}.log"

    def run(self, *kill: Any, dies_in_the_step: bool = False) -> dict[str, Any]:
        """Let a child run or take up all runs, and be killed."""
        job = {"store": str(self.store), "log": str(self.log), "names": self.names, "pause": self.pause}
        job["dies in the step"] = dies_in_the_step
        return self.nursery.do({**job, "kill": kill} if kill else job)

    def lines(self) -> list[str]:
        """What steps noted when they had done their work."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def check(self, expected: dict[str, Any], undisturbed: list[str], *kill: Any) -> bool:
        """Be killed, look, be taken up; whether the kill came in time."""
        self.fresh()
        if self.run(*kill)["status"] != -signal.SIGKILL:
            return False
        before = self.lines()
        answer = self.run()
        assert answer["status"] == 0, kill
        finished, under_way = set(answer["finished"]), set(answer["under way"])
        assert answer["results"] == expected, kill
        again = self.lines()[len(before) :]
        once = {line for line, count in Counter(undisturbed).items() if count == 1}  # equal calls look the same here
        assert not once.intersection(finished, again), (kill, "finished steps ran again")
        repeated = once.intersection(before, again)
        assert {line.partition("/model")[0] for line in repeated} <= under_way, (kill, "what had ended was repeated")
        assert set(undisturbed) <= set(self.lines()), kill
        return True
