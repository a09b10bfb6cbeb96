"""Images that are unusable, and are left out, or whose orientation is doubtful: counted and named.

Too many unusable images stop the run.
"""

from __future__ import annotations

import logging
import threading

from jaxpose.images import TURNED
from jaxpose.wording import agree, quantity

_log = logging.getLogger(__name__)


class BadFilesError(ValueError):
    """More images are unusable than `config.max_bad_fraction` allows."""


class BadFiles:
    """Records the unusable and doubtful images of a run; safe to use from several threads.

    Args:
      total: number of images in the dataset.
      max_fraction: largest fraction of unusable images (`config.max_bad_fraction`).
    """

    def __init__(self, total: int, max_fraction: float) -> None:
        self.total = total
        self.max_fraction = max_fraction
        self._reasons: dict[str, str] = {}
        self._turned: set[str] = set()
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
        """File name -> reason why the image is unusable."""
        with self._lock:
            return dict(self._reasons)

    def lines(self) -> list[str]:
        """How many images are unusable or turned, and the first names; [] if none is."""
        lines, names, turned = [], self.names, sorted(self._turned)
        if names:
            lines.append(
                f"{quantity(len(names), 'unusable image')} left out: {', '.join(names[:5])}"
            )
        if turned:
            lines.append(f"{quantity(len(turned), 'image')} {TURNED}, e.g. {turned[0]}")
        return lines

    def add_turned(self, name: str) -> None:
        """Records an image, once, whose EXIF orientation is ignored; it is used as stored."""
        with self._lock:
            if not self._turned:  # at once, because training may take days
                _log.warning("image %s: %s", TURNED, name)
            self._turned.add(name)

    def add(self, name: str, reason: str) -> None:
        """Records an image once.

        Raises:
          BadFilesError: too many images are unusable.
        """
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
            _log.warning("image left out: %s: %s", name, reason)
            if len(self._reasons) > self.max_fraction * self.total:
                shown = ", ".join(f"{n} ({r})" for n, r in list(self._reasons.items())[:3])
                raise BadFilesError(
                    f"{len(self._reasons)} of {quantity(self.total, 'image')} "
                    f"{agree(len(self._reasons), 'is', 'are')} unusable, more than "
                    f"config.max_bad_fraction={self.max_fraction:g} allows: {shown}"
                )
