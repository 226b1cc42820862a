"""The decoded strips and tiles that are kept, of all scenes of a process together."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
Key = tuple[int, int, int]


class SegmentCache:
    """Keeps what was used last, up to a number of bytes; the very last one is always kept.

    >>> cache = SegmentCache(10)
    >>> cache.get((0, 0, 0), lambda: None) is None
    True
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._renew()
        os.register_at_fork(after_in_child=self._renew)  # another thread may have held the lock

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Array | None] = OrderedDict()
        self.size = 0

    def get(self, key: Key, decode: Callable[[], Array | None]) -> Array | None:
        """The segment of a key (scene, page, number), which is decoded when it is not there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        segment = decode()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = segment
                self.size += 0 if segment is None else segment.nbytes
            while self.size > self.limit and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))
        return segment

    def forget(self, scene: int, chosen: Callable[[int], bool] | None = None) -> None:
        """Drop the segments of a scene, or those of the numbers that are chosen."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == scene and (chosen is None or chosen(key[2]))]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key)
        self.size -= 0 if dropped is None else dropped.nbytes


SEGMENTS = SegmentCache(1 << 28)
