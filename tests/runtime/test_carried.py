"""What a migrated run takes along of what came from outside."""

from types import SimpleNamespace
from typing import Any

from ripresa.core.events import Intercepted, Recorded, Requested
from ripresa.runtime.carried import Carried


def test_a_signal_that_hooks_are_still_asked_about_is_asked_of_the_new_version() -> None:
    begun: Any = SimpleNamespace(since=0)
    form: Any = SimpleNamespace(approvals={})
    events: tuple[Any, ...] = (
        Requested(1, "signal", "go", b"1", "first"),
        Requested(1, "signal", "go", b"2", "second"),
        Intercepted(2, "!1", "signal", "continue"),
    )
    line = [Recorded("r", seq, event.at, event) for seq, event in enumerate(events, 1)]
    assert list(Carried(line, begun).heard(form, 9)) == [Requested(9, "signal", "go", b"2", "second")]
