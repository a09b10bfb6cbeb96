"""Pictures that cannot be used: left out, counted, named; too many of them stop the run."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger(__name__)


class BadFilesError(ValueError):
    """More pictures than allowed cannot be used."""


class BadFiles:
    """The unusable pictures met so far; safe to use from several threads.

    Args:
      total: number of pictures in the dataset.
      max_fraction: share of them above which the run stops (`config.max_bad_fraction`).
    """

    def __init__(self, total: int, max_fraction: float) -> None:
        self.total = total
        self.max_fraction = max_fraction
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return len(self._reasons)

    @property
    def names(self) -> list[str]:
        """File names, sorted."""
        with self._lock:
            return sorted(self._reasons)

    @property
    def reasons(self) -> dict[str, str]:
        """File name -> what is wrong with it."""
        with self._lock:
            return dict(self._reasons)

    def add(self, name: str, reason: str) -> None:
        """Records a picture once. Raises BadFilesError when there are too many."""
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
            _log.warning("left out a picture: %s: %s", name, reason)
            if len(self._reasons) > self.max_fraction * self.total:
                shown = ", ".join(f"{n} ({r})" for n, r in list(self._reasons.items())[:3])
                raise BadFilesError(
                    f"{len(self._reasons)} of {self.total} pictures cannot be used, more than "
                    f"max_bad_fraction={self.max_fraction:g} allows: {shown}"
                )
