"""Retry policies: how often, when, and for which failures."""

import sys
from dataclasses import FrozenInstanceError
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.core.events import Failure
from ripresa.core.retry import FILE_MODULE, LOST_ATTEMPTS, ONCE, Retry, module_key, retry_after, spread_of, type_key
from ripresa.errors import InvalidConfig

TIMEOUT = Failure("timeout", "late", ("ripresa.errors.StepTimeout", "Exception"), retryable=True)
LOST = Failure("attempt_lost", "gone", retryable=True)


def raised(*types: str, code: str = "step_failed", retryable: bool = True) -> Failure:
    return Failure(code, "boom", types, retryable)


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("fixed", [2, 2, 2, 2, 2]),
        ("linear", [2, 4, 6, 8, 9]),
        ("exponential", [2, 4, 8, 9, 9]),
    ],
)
def test_the_wait_after_the_first_attempt_is_the_wait_that_was_given(backoff: Any, delays: list[float]) -> None:
    retry = Retry(9, 2, backoff=backoff, max_wait=9)
    assert [retry.delay(attempt) for attempt in range(1, 6)] == delays


def test_the_wait_does_not_overflow() -> None:
    assert Retry(10**9).delay(10**9) == 60


@given(st.integers(1, 200), st.floats(-1, 1), st.floats(0, 1), st.sampled_from(["fixed", "linear", "exponential"]))
def test_the_jitter_keeps_the_wait_near_and_below_the_greatest(
    attempt: int, spread: float, jitter: float, backoff: Any
) -> None:
    retry = Retry(9, 0.5, backoff=backoff, max_wait=30, jitter=jitter)
    plain = retry.delay(attempt)
    wait = retry.delay(attempt, spread)
    assert 0 <= wait <= 30
    assert plain * (1 - jitter) - 1e-9 <= wait <= plain * (1 + jitter) + 1e-9


@given(st.integers(), st.text(), st.integers(1, 99))
def test_the_spread_is_the_same_in_every_replay(seed: int, key: str, attempt: int) -> None:
    assert -1 <= spread_of(seed, key, attempt) <= 1
    assert spread_of(seed, key, attempt) == spread_of(seed, key, attempt)


def test_the_spread_is_another_one_for_every_attempt_and_for_ever_the_same() -> None:
    spreads = [spread_of(7, "a", attempt) for attempt in range(1, 200)]
    assert len(set(spreads)) == len(spreads)
    assert min(spreads) < -0.9
    assert max(spreads) > 0.9
    assert abs(sum(spreads) / len(spreads)) < 0.2
    assert spread_of(7, "a", 1) == pytest.approx(SPREAD)


SPREAD = 0.6604722537550671


@pytest.mark.parametrize(
    ("retry", "failure", "counts"),
    [
        (Retry(), raised(), True),
        (Retry(), raised(retryable=False), False),
        (Retry(on=KeyError), raised("KeyError", "LookupError"), True),
        (Retry(on=LookupError), raised("KeyError", "LookupError"), True),
        (Retry(on=LookupError), raised("ValueError"), False),
        (Retry(on=(KeyError, "timeout")), TIMEOUT, True),
        (Retry(on="timeout"), raised("TimeoutError"), False),
        (Retry(on=KeyError), raised("KeyError", retryable=False), True),
        (Retry(never=KeyError), raised("KeyError"), False),
        (Retry(never="timeout"), TIMEOUT, False),
        (Retry(on=LookupError, never=KeyError), raised("KeyError", "LookupError"), False),
        (Retry(never=KeyError), raised("ValueError"), True),
    ],
)
def test_which_failures_count(retry: Retry, failure: Failure, counts: bool) -> None:
    assert retry.counts(failure) is counts


def test_attempts_count_the_first_one() -> None:
    retry = Retry(3, 2, backoff="fixed")
    assert [retry_after(retry, tries, raised(), 0.0) for tries in (1, 2, 3, 4)] == [2, 2, None, None]
    assert retry_after(ONCE, 1, raised(), 0.0) is None


def test_what_does_not_count_is_not_tried_again() -> None:
    assert retry_after(Retry(), 1, raised(retryable=False), 0.0) is None


def test_an_attempt_that_was_lost_is_repeated_at_once_even_where_one_attempt_is_allowed() -> None:
    assert [retry_after(ONCE, tries, LOST, 0.0) for tries in range(1, LOST_ATTEMPTS + 1)] == [0.0] * 4 + [None]
    assert retry_after(Retry(9), 8, LOST, 0.0) == 0.0
    assert retry_after(Retry(9), 9, LOST, 0.0) is None
    assert retry_after(Retry(on=KeyError), 1, LOST, 0.0) == 0.0


def test_an_attempt_that_was_lost_is_not_repeated_where_it_must_not() -> None:
    assert retry_after(Retry(never="attempt_lost"), 1, LOST, 0.0) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "attempts is 0, must be a whole number from 1"),
        ({"attempts": True}, "attempts is True"),
        ({"attempts": 1.5}, "attempts is 1.5"),
        ({"backoff": "random"}, "backoff is 'random', must be 'fixed', 'linear' or 'exponential'"),
        ({"jitter": 1.5}, "jitter is 1.5, must be from 0 to 1"),
        ({"jitter": float("nan")}, "jitter is nan"),
        ({"attempts": 0, "jitter": 2}, "attempts is 0.*; jitter is 2"),
        ({"wait": -1}, "wait is -1"),
        ({"max_wait": "long"}, "max_wait is 'long'"),
        ({"jitter": "much"}, "jitter is 'much'"),
        ({"never": [int]}, "never is .*int.*, must be exception types or codes"),
        (
            {"attempts": 0, "wait": "zz", "max_wait": -3, "on": 3},
            "attempts is 0.*; wait is 'zz'.*; max_wait is -3.*; on is 3",
        ),
    ],
)
def test_an_option_that_cannot_be_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        Retry(**options)


def test_a_policy_is_a_value() -> None:
    retry = Retry(3, "2s", max_wait="1 minute", on=KeyError)
    assert retry == Retry(3, 2.0, max_wait=60, on="KeyError")
    assert hash(retry) == hash(Retry(3, 2.0, max_wait=60, on="KeyError"))
    with pytest.raises(FrozenInstanceError):
        retry.attempts = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "spec", "file", "key"),
    [
        ("app.steps", "app.steps", "/srv/app/steps.py", "app.steps"),
        ("__main__", None, "/srv/survey.py", "survey"),
        ("__main__", "app.survey", "/srv/app/survey.py", "app.survey"),
        ("__main__", None, None, "__main__"),
        (FILE_MODULE + "12", FILE_MODULE + "12", "/srv/survey.py", "survey"),
        (FILE_MODULE + "13", None, None, FILE_MODULE + "13"),
    ],
)
def test_a_module_has_one_name_however_it_was_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, spec: str | None, file: str | None, key: str
) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(spec, None) if spec else None
    module.__file__ = file
    monkeypatch.setitem(sys.modules, name, module)
    assert module_key(name) == key


def test_types_are_known_by_their_qualified_names() -> None:
    class Inner(Exception):
        pass

    assert type_key(KeyError) == "KeyError"
    assert type_key(InvalidConfig) == "ripresa.errors.InvalidConfig"
    assert type_key(Inner).endswith(".Inner")
