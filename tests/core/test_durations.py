"""Lengths of time, as people write them."""

from datetime import timedelta

import pytest

from ripresa.core.durations import Duration, microseconds, seconds
from ripresa.errors import InvalidConfig


@pytest.mark.parametrize(
    ("written", "length"),
    [
        (30, 30.0),
        (0, 0.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        ("30s", 30.0),
        ("250ms", 0.25),
        ("5 minutes", 300.0),
        ("1 minute", 60.0),
        ("1h 30m", 5400.0),
        ("1 hour, 30 min", 5400.0),
        ("3 days", 259200.0),
        ("1.5 d", 129600.0),
        ("2 Weeks", 1209600.0),
        (" 10 secs ", 10.0),
        ("1h30m", 5400.0),
        ("20 milliseconds", 0.02),
    ],
)
def test_lengths(written: Duration, length: float) -> None:
    assert seconds(written) == pytest.approx(length)


@pytest.mark.parametrize("written", ["", "  ", "30", "s", "5 parsecs", "5 minutes and", "-5s", "1,5s", True, None, [1]])
def test_what_is_no_length_is_an_error_that_names_the_option(written: object) -> None:
    with pytest.raises(InvalidConfig, match=r"timeout is .*, which is no length of time") as caught:
        seconds(written, "timeout")  # type: ignore[arg-type]
    assert caught.value.op == "timeout"
    assert '"30s"' in caught.value.hint


@pytest.mark.parametrize(
    "written", [-1, -0.001, float("nan"), float("inf"), timedelta(seconds=-1), "9" * 400 + "s", 10**400]
)
def test_a_length_is_finite_and_not_negative(written: Duration) -> None:
    with pytest.raises(InvalidConfig, match="must be a finite length of time that is not negative"):
        seconds(written)


def test_microseconds_are_rounded_up_so_that_nothing_is_cut_to_nothing() -> None:
    assert microseconds(1.5) == 1_500_000
    assert microseconds(0.0000001) == 1
    assert microseconds(0) == 0
    assert microseconds("3 days") == 259_200_000_000
