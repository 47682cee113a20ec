"""Which large values are still named by anything: found by looking for digests in all that is kept.

Law: a value is in use if its digest stands anywhere, in a journal, a request, an artifact, a session, or in another
value that is in use. A text that happens to look like a digest keeps a value too long, never too short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def digests_in(text: bytes | str) -> Iterator[str]:
    """Whatever looks like a digest."""
    data = text.encode() if isinstance(text, str) else text
    for found in _DIGEST.findall(data):
        yield found.decode()


def in_use(texts: Iterable[bytes | str], known: set[str], load: Callable[[str], bytes]) -> set[str]:
    """The digests among `known` that stand in the texts, or in the values that these name, and so on."""
    found: set[str] = set()
    waiting = [digest for text in texts for digest in digests_in(text) if digest in known]
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting.extend(each for each in digests_in(load(digest)) if each in known and each not in found)
    return found
