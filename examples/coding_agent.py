"""A coding agent of the command line as a step: it works in a git worktree of its own, a person looks at the diff.

python examples/coding_agent.py          # with a script in the place of Kilo Code
RIPRESA_KILO=kilo python examples/coding_agent.py   # with the real one
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ripresa import App, Approval, Flow, Graph, Retry, approval, step
from ripresa.steps import AgentWork, cli_agent

FAKE = """
import json, os, sys
task = sys.stdin.read()
def tell(**event): print(json.dumps({**event, "sessionID": "ses_1"}), flush=True)
tell(type="step_start")
if "--session" not in sys.argv:   # the first attempt dies in the middle
    open("tide.py", "w").write("def height(): ...\\n")
    tell(type="step_finish", part={"reason": "tool-calls", "tokens": {"input": 500, "output": 20}, "cost": 0.01})
    os.kill(os.getpid(), 9)
open("tide.py", "a").write("# done\\n")
tell(type="text", part={"text": "I went on where I was: " + task})
tell(type="step_finish", part={"reason": "stop", "tokens": {"input": 300, "output": 10}, "cost": 0.01})
"""


def repository(folder: Path) -> Path:
    (folder / "README.md").write_text("Tides.\n")
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    for args in (["init", "-q"], ["add", "README.md"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *args], cwd=folder, check=True)
    return folder


@step
async def apply(work: AgentWork, decided: Approval[None]) -> str:
    return f"{', '.join(work.files)}: {'taken' if decided.granted else 'left'}\n{work.text}"


def coding(folder: Path) -> Flow[str, str]:
    program = os.environ.get("RIPRESA_KILO") or [sys.executable, "-c", FAKE]
    code = cli_agent(
        "kilo",
        workspace=folder,
        worktrees=folder / ".ripresa" / "worktrees",
        program=program,
        acp=None if program == os.environ.get("RIPRESA_KILO") else False,  # the script writes lines of JSON alone
        retry=Retry(3, wait=0),
        timeout="20 minutes",
        silence="5 minutes",
    )
    g = Graph("coding", input=str)
    work = g.add(code(g.input))
    decided = g.add(approval("Take this?")(work.out))
    return g.returns(g.add(apply(work=work.out, decided=decided.out)).out)


async def main(folder: Path) -> None:
    async with App("memory:") as app:
        handle = await app.start(coding(repository(folder))("Say how high the tide is."))
        while not (opened := await handle.approvals()):  # noqa: ASYNC110 - it looks
            await asyncio.sleep(0.01)
        print("the diff:", *[line for line in opened[0].about["diff"].splitlines() if line.startswith("+++")])
        await handle.approve(by="ann")
        print(await handle.result())
        view = await handle.status()
        print(view.tokens, "tokens")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(Path(place)))
