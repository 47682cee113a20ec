"""What the processes of the SIGKILL suite share: the job they have, and a log that survives them."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from ripresa import current

job: dict[str, Any] = {}


def note(what: str) -> None:
    """One line in the log, in one write: it survives the process."""
    handle = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{what}\n".encode())
    os.close(handle)


def noted() -> list[str]:
    """The log."""
    path = Path(job["log"])
    return path.read_text().splitlines() if path.is_file() else []


async def done() -> None:
    """Take a moment, then note that the step has done its work."""
    await asyncio.sleep(job["pause"])
    note(f"{current().run}/{current().path}")


def die() -> None:
    """As the kernel does it when there is no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)
