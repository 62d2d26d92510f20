"""How far a download is: reported often to the server, now and then to the log."""

import logging
import time
from collections import deque
from collections.abc import Callable

from sidecar.units import format_bytes, format_duration

log = logging.getLogger("sidecar.hub")

# Takes the bytes that are here and the bytes of everything.
Report = Callable[[int, int], None]

REPORT_INTERVAL_S = 0.5
LOG_INTERVAL_S = 5.0
# The speed is that of this time: a line that got slow must not look fast for an hour.
RATE_WINDOW_S = 30.0


class Progress:
    """Bytes here of all bytes to fetch, over several files."""

    def __init__(
        self,
        sizes: dict[str, int],
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at zero.

        Args:
            sizes: the bytes of each file, by a name that is unique in this download.
            report: gets every change, at most each `REPORT_INTERVAL_S` seconds, and the last one.
        """
        self._total = sum(sizes.values())
        self._here = dict.fromkeys(sizes, 0)
        self._report = report
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._reported_at = float("-inf")
        self._logged_at = clock()

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return sum(self._here.values())

    def start(self) -> None:
        """Tell where this download begins: what an earlier try left counts as here."""
        log.info("to fetch: %s, here: %s", format_bytes(self._total), format_bytes(self.done))
        self._tell(self._clock())

    def set(self, name: str, size: int) -> None:
        """Note that `size` bytes of a file are here."""
        self._here[name] = size
        now = self._clock()
        if now - self._reported_at >= REPORT_INTERVAL_S or self.done == self._total:
            self._tell(now)
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            log.info("%s", self.describe())

    def describe(self) -> str:
        """One line: how much, how fast, how long."""
        percent = 100 * self.done // max(1, self._total)
        parts = [f"{format_bytes(self.done)} of {format_bytes(self._total)} ({percent} %)"]
        if rate := self._rate():
            left = format_duration((self._total - self.done) / rate)
            parts.append(f"{format_bytes(rate)}/s, {left} left")
        return "fetched " + ", ".join(parts)

    def _rate(self) -> float:
        """Bytes a second over the last samples; 0 while nothing is known."""
        if len(self._samples) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return max(0.0, (last - first) / (last_at - first_at)) if last_at > first_at else 0.0

    def _tell(self, now: float) -> None:
        self._reported_at = now
        self._samples.append((now, self.done))
        while self._samples[0][0] < now - RATE_WINDOW_S:
            self._samples.popleft()
        self._report(self.done, self._total)
