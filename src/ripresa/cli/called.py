"""How this program is called by whoever started it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """How this program is called from the shell that it was started in."""
    called = Path(sys.argv[0])
    if called.name in ("__main__.py", "-c"):  # by -m, or from a line of code
        return "python -m ripresa"
    found = shutil.which(called.name)
    if found is not None and os.path.realpath(found) == os.path.realpath(called):
        return called.name
    try:
        return shlex.quote(str(called.absolute().relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(called))
