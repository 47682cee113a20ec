"""Where commits run: on the event loop while the disk answers quickly, on the writer thread while it does not."""

from __future__ import annotations


class Pace:
    """A moving average of how long commits wait for the disk, and what follows from it.

    `threaded` becomes true when the average rises above `slow` seconds and false when it falls below `quick`; between
    the two nothing changes. A hop to a thread costs about 0.1 ms, so it pays only where a commit would hold up
    everything else on the loop for much longer. One slow commit (a checkpoint) counts at most as four times `slow`.
    """

    def __init__(self, *, slow: float = 0.004, quick: float = 0.002, weight: float = 0.125) -> None:
        self.threaded = False
        self.average = 0.0
        self._slow = slow
        self._quick = quick
        self._weight = weight

    def took(self, seconds: float) -> None:
        """Note how long a commit waited for the disk."""
        self.average += (min(seconds, 4 * self._slow) - self.average) * self._weight
        self.threaded = self.average > (self._quick if self.threaded else self._slow)
