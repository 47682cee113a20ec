"""Run the tests of `cli_agent` that need the real Kilo Code, against a model on this machine: `make conformance-kilo`.

The program is installed as the lock beside this says, into the virtual environment. Where it cannot be installed or
does not start, one line says why, and nothing is run; where it is, a test that fails or is left out is a failure.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from .. import npm

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PACKAGE = "@kilocode/cli"
VERSION = json.loads((HERE / "package.json").read_text())["dependencies"][PACKAGE]
TESTS = (
    "tests/steps/test_cli_agent.py::test_the_real_kilo_code_works_with_a_model_on_this_machine",
    "tests/steps/test_acp.py::test_the_real_kilo_code_speaks_it",
)
PATIENCE = 300


def path() -> str:
    """The search path on which the program finds the Node that it is written for."""
    return os.pathsep.join([str(npm.node().parent), os.environ.get("PATH", "")])


def program() -> Path:
    """The program, which is there and says that it is the version wanted. Raises `NotInstalled`."""
    folder = npm.install(HERE, "conformance-kilo", "install")
    found = folder / "node_modules" / ".bin" / "kilo"
    command = [str(npm.node()), str(folder / "node_modules" / PACKAGE / "bin" / "kilo"), "--version"]
    env = {**os.environ, "PATH": path(), "HOME": str(folder)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired as error:
        raise npm.NotInstalled("it did not say its version within a minute") from error
    if done.returncode or VERSION not in done.stdout:
        (folder / ".installed").unlink()  # npm leaves out, without a word, what it has no build of: it is to try again
        told = (done.stderr or done.stdout).strip().splitlines()
        raise npm.NotInstalled(f"it does not start here: {told[0] if told else f'exit status {done.returncode}'}")
    return found


def ran(said: str) -> bool:
    """Whether the summary of pytest tells of every test, and that it passed."""
    return re.search(rf"^{len(TESTS)} passed in ", said, re.MULTILINE) is not None


def main() -> int:
    """1 if a test fails, or is not run although the program is there."""
    try:
        kilo = program()
    except npm.NotInstalled as error:
        if "EINTEGRITY" in str(error):
            print(f"Kilo Code conformance: FAILED, what the registry gave is not what is locked: {error}")
            return 1
        print(f"Kilo Code conformance: SKIPPED, {PACKAGE} {VERSION} cannot be installed on this machine: {error}")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    env = {**os.environ, "PATH": path(), "RIPRESA_KILO": str(kilo)}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    passed = not done.returncode and ran(done.stdout)
    if not passed:
        print(done.stdout)
    print(f"Kilo Code conformance: {len(TESTS)} tests {'passed' if passed else 'FAILED'} with {PACKAGE} {VERSION}.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
