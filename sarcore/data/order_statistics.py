"""Percentiles of a stream of numbers that is read a few times and never held."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError

BITS = 16  # of the 64 of a number, settled by one pass
ALL = -1  # the number of all groups together
_FINE = 1e-4  # bins wider than this share of the percentiles' distance are looked into by one more pass
_SIGN = np.uint64(1 << 63)

Values = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]
Blocks = Callable[[bool], Iterable[tuple[int, Values]]]


class _Search:
    """The bins in which some ranks of one group lie, narrower after each pass."""

    def __init__(self) -> None:
        self.count = 0
        self.at: dict[int, tuple[int, int]] = {}  # rank -> the leading bits of its key, the rank among such keys

    def start(self, counts: npt.NDArray[np.int64], percentiles: tuple[float, float]) -> None:
        self.count = int(counts.sum())
        ranks = [percentile / 100 * (self.count - 1) for percentile in percentiles]
        whole = {min(int(rank) + step, self.count - 1) for rank in ranks for step in (0, 1)}
        self.at = {rank: _place(counts, rank) for rank in whole}

    def narrow(self, counts: dict[int, npt.NDArray[np.int64]]) -> None:
        for rank, (leading, rest) in self.at.items():
            bits, rest = _place(counts[leading], rest)
            self.at[rank] = (leading << BITS) | bits, rest

    def done(self, depth: int, whole: bool) -> bool:
        ends = [_ends(leading, depth) for leading, _ in self.at.values()]
        width = max(high - low for low, high in ends)
        return width < 1 if whole else width <= _FINE * (max(low for low, _ in ends) - min(low for low, _ in ends))

    def limits(self, depth: int, percentiles: tuple[float, float], whole: bool) -> tuple[float, float]:
        values = {}
        for rank, (leading, _) in self.at.items():
            low, high = _ends(leading, depth)
            values[rank] = float(np.ceil(low)) if whole else low + (high - low) / 2
        found = []
        for percentile in percentiles:
            place = percentile / 100 * (self.count - 1)
            below, above = values[int(place)], values[min(int(place) + 1, self.count - 1)]
            found.append(below + (place - int(place)) * (above - below))
        return found[0], found[1]


def percentiles_of(blocks: Blocks, percentiles: tuple[float, float], whole: bool) -> dict[int, tuple[float, float]]:
    """Two percentiles of each group of a stream and, under `ALL`, of all of it; error 1e-4 of their distance.

    >>> percentiles_of(lambda first: [(0, np.arange(101.0)), (1, np.arange(11.0))], (0, 90), whole=True)
    {-1: (0.0, 88.9), 0: (0.0, 90.0), 1: (0.0, 9.0)}

    Args:
        blocks: gives (group, finite values) from the beginning each time; its argument is True at the first.
        percentiles: 0 to 100.
        whole: the values are whole numbers, and the result is exact.

    Raises DataError when there are no values; a group without is left out.
    """
    first: dict[int, npt.NDArray[np.int64]] = {ALL: np.zeros(1 << BITS, dtype=np.int64)}
    for group, values in blocks(True):
        counts = _histogram(_keys(values) >> np.uint64(64 - BITS))
        first[group] = first.get(group, 0) + counts
        first[ALL] += counts
    if not first[ALL].any():
        raise DataError("the scene has no valid pixel: all are NaN, infinite or no-data")
    searches = {group: _Search() for group, counts in sorted(first.items()) if counts.any()}
    for group, search in searches.items():
        search.start(first[group], percentiles)
    depth = 1
    while depth < 64 // BITS and not all(search.done(depth, whole) for search in searches.values()):
        _one_more_pass(blocks, searches, depth)
        depth += 1
    return {group: search.limits(depth, percentiles, whole) for group, search in searches.items()}


def _one_more_pass(blocks: Blocks, searches: dict[int, _Search], depth: int) -> None:
    wanted = {group: sorted({leading for leading, _ in search.at.values()}) for group, search in searches.items()}
    counts = {
        group: {leading: np.zeros(1 << BITS, dtype=np.int64) for leading in each} for group, each in wanted.items()
    }
    known, next_bits = np.uint64(64 - BITS * depth), np.uint64(64 - BITS * (depth + 1))
    for group, values in blocks(False):
        if not values.size:
            continue
        keys = _keys(values)
        leading_bits = keys >> known
        for leading in {*wanted[group], *wanted[ALL]}:
            found = _histogram(keys[leading_bits == np.uint64(leading)] >> next_bits & np.uint64((1 << BITS) - 1))
            for each in (group, ALL):
                if leading in counts[each]:
                    counts[each][leading] += found
    for group, search in searches.items():
        search.narrow(counts[group])


def _histogram(bits: Keys) -> npt.NDArray[np.int64]:
    return np.bincount(bits.view(np.int64), minlength=1 << BITS)


def _keys(values: Values) -> Keys:
    """Integers in the order of the numbers: the sign bit of positive ones set, all bits of negative ones inverted."""
    bits = (values + 0.0).view(np.uint64)  # + 0.0: one zero
    bits ^= np.where(bits >= _SIGN, ~np.uint64(0), _SIGN)
    return bits


def _ends(leading: int, depth: int) -> tuple[float, float]:
    """Least and greatest number whose key begins with some bits."""
    rest = 64 - BITS * depth
    keys = np.array([leading << rest, (leading << rest) | ((1 << rest) - 1)], dtype=np.uint64)
    low, high = np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)
    return float(low), float(high)


def _place(counts: npt.NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bin that holds a rank, and the rank within it."""
    running = np.cumsum(counts)
    k = int(np.searchsorted(running, rank, side="right"))
    return k, rank - int(running[k - 1] if k else 0)
