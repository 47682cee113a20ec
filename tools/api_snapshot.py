"""The public API as text, one line for each name and member: `python tools/api_snapshot.py [--write]`.

Without `--write` it says what differs from `tests/api_snapshot.txt` and ends with 1 if something was taken away.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ripresa
import ripresa.steps

SNAPSHOT = Path(__file__).parent.parent / "tests" / "api_snapshot.txt"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def lines() -> list[str]:
    """Every public name with its signature, and every public member of every public class."""
    return sorted(
        f"{prefix}{line}"
        for prefix, module in (("", ripresa), ("steps.", ripresa.steps))
        for name in module.__all__
        if name != "__version__"
        for line in _told(name, getattr(module, name))
    )


def _told(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}" if callable(value) else name
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})"
    yield f"{name}{_signature(value)}"
    for member, found in vars(value).items():
        if not member.startswith("_"):
            yield f"{name}.{member}{_member(found)}"


def _member(found: Any) -> str:
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    return _signature(found) if inspect.isfunction(found) else ""


def _signature(value: Any) -> str:
    try:
        return _ADDRESS.sub("", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return ""


def missing(now: list[str], then: list[str]) -> list[str]:
    """What was public then and is not now, or not in the same way."""
    there = set(now)
    return [line for line in then if line not in there]


def main() -> int:
    """See the module."""
    now = lines()
    if "--write" in sys.argv[1:]:
        SNAPSHOT.write_text("\n".join(now) + "\n", encoding="utf-8")
        return 0
    then = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    gone = missing(now, then)
    for line in gone:
        print(f"- {line}")
    for line in missing(then, now):
        print(f"+ {line}")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
