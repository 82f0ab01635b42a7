"""Which keys an index holds, while rows are added: 8 bytes a row, asked and added to in time that grows slowly."""

from __future__ import annotations

import numpy as np

from calumma.documents import IntArray


class KnownKeys:
    """A set of int64 in sorted runs, each at least twice as long as the next."""

    def __init__(self, keys: IntArray) -> None:
        self._runs = [np.sort(keys)]

    def any_of(self, keys: IntArray) -> bool:
        """Whether one of the keys is there."""
        for run in self._runs:
            places = np.searchsorted(run, keys)
            inside = places < len(run)
            if (run[places[inside]] == keys[inside]).any():
                return True
        return False

    def add(self, keys: IntArray) -> None:
        """Adds keys that are not there."""
        self._runs.append(np.sort(keys))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")

    def remove(self, keys: IntArray) -> None:
        """Removes keys; unknown ones are ignored."""
        self._runs = [run[~np.isin(run, keys)] for run in self._runs]
