"""What may have been meant by a word that is none of those that are known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: object, words: Iterable[str]) -> str | None:
    """The word that is most like this one: of those that are as near, one of the same letters in another order."""
    text = str(word)
    near = get_close_matches(text, list(words), 3)
    return next((each for each in near if sorted(each) == sorted(text)), near[0] if near else None)


def meant(word: object, words: Iterable[str], listed: str = "there are") -> str:
    """What to say of it: `did you mean steps?`, or which words there are."""
    known = list(words)
    near = nearest(word, known)
    return f"did you mean {near}?" if near else f"{listed} {', '.join(known) or 'none'}"
