"""How long property tests search: in the gate as long as it can wait, in `make explore` ten times that."""

from hypothesis import settings


def searched(examples: int) -> settings:
    """The settings of a property test that tries so many examples in the gate."""
    exploring = settings.get_current_profile_name() == "explore"
    return settings(max_examples=10 * examples if exploring else examples)
