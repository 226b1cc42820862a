"""Real and generated patches in fixed shares: what every arm of a study of classifiers is trained on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.errors import DataError
from sarcore.experiments.patches import GENERATED, Patches, PatchTensor
from sarcore.ops import Radiometry, encode

_ENCODED = Radiometry("digital", 0.0, 1.0)


class Mixture(Dataset[tuple[Tensor, int]]):
    """The items of a whole training, drawn from real and generated patches so that their classes do not depend on them.

    Class c fills a share of the ``length`` items in proportion to n_c^(1 - balance), n_c being its number of ``real``
    patches: 0 leaves the classes as they are, 1 makes them equal. Within a class that has both, generated patches fill
    at most ``share`` of the items, and no more than their own share of the patches. The label of item i follows from
    the counts of ``real``, ``length`` and ``balance`` alone, so two arms of a comparison meet the same classes in the
    same order, whatever is generated. All patches of a kind and class are met equally often, or once more by ``seed``.

    With ``synthetic_only`` the real patches give the classes and nothing else.

    >>> real = PatchTensor(torch.zeros(5, 1, 4, 4), torch.tensor([0, 0, 0, 0, 1]), GENERATED)
    >>> made = PatchTensor(torch.full((6, 1, 4, 4), 255.0), torch.ones(6, dtype=torch.int64), GENERATED)
    >>> Mixture(real, made, 8, balance=1.0, share=0.5).counts(2)
    {'real': [4, 2], 'generated': [0, 2]}

    Raises ``ValueError`` for shares that are none and for patches of different sizes, ``DataError`` where a class that
    needs generated patches has none.
    """

    def __init__(
        self,
        real: Patches,
        generated: PatchTensor | None,
        length: int,
        *,
        balance: float = 0.5,
        share: float = 0.5,
        synthetic_only: bool = False,
        seed: int = 0,
    ) -> None:
        for name, value in (("balance", balance), ("share", share)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        self._real, self._generated = real, generated
        if generated is not None and generated.images.shape[1:] != real.native([0])[0].shape[1:]:
            sizes = tuple(generated.images.shape[1:]), tuple(real.native([0])[0].shape[1:])
            raise ValueError(f"generated patches are {sizes[0]} (C,H,W) and real ones {sizes[1]}; they must be alike")
        # Bytes stay bytes where both kinds are the same 8 bit; otherwise both are encoded where they are read.
        alike = real.radiometry == GENERATED and real.native([0])[0].dtype == torch.uint8
        self.radiometry = GENERATED if alike else _ENCODED
        made = torch.zeros(0, dtype=torch.int64) if generated is None else generated.labels
        numbers, kinds, labels = [], [], []
        source = torch.Generator().manual_seed(seed)
        for label, count in enumerate(quotas(real.labels, length, balance).tolist()):
            pools = [torch.nonzero(of == label)[:, 0] for of in (real.labels, made)]
            quota = _generated_quota(count, len(pools[0]), len(pools[1]), share)
            if synthetic_only:
                quota = count
                if count and not len(pools[1]):
                    raise DataError(f"class number {label} has no generated patch, so nothing can be trained on it")
            for kind, (pool, wanted) in enumerate(zip(pools, (count - quota, quota), strict=True)):
                numbers.append(_repeated(pool, wanted, source))
                kinds.append(torch.full((wanted,), kind, dtype=torch.bool))
            labels.append(torch.full((count,), label, dtype=torch.int64))
        self._numbers, self._made, self.labels = torch.cat(numbers), torch.cat(kinds), torch.cat(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.native([index])
        return encode(images[0], self.radiometry), int(labels[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the images of all items."""
        first = self.native([0])[0]
        return len(self) * first.nbytes

    def native(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Images (n,C,H,W) in the unit of `radiometry`, and labels (n,)."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        numbers, made = self._numbers[chosen], self._made[chosen]
        shape = self._real.native([0])[0].shape[1:]
        dtype = torch.uint8 if self.radiometry is GENERATED else torch.float32
        images = torch.empty(len(chosen), *shape, dtype=dtype)
        if not bool(made.all()):
            images[~made] = self._shown(self._real, numbers[~made])
        if self._generated is not None and bool(made.any()):
            images[made] = self._shown(self._generated, numbers[made])
        return images, self.labels[chosen]

    def arrays(self) -> tuple[Tensor, Tensor]:
        """All images and labels."""
        return self.native(list(range(len(self))))

    def counts(self, classes: int) -> dict[str, list[int]]:
        """Items of each class that are real and generated."""
        made = torch.bincount(self.labels[self._made], minlength=classes)
        real = torch.bincount(self.labels[~self._made], minlength=classes)
        return {"real": real.tolist(), "generated": made.tolist()}

    def _shown(self, patches: Patches, numbers: Tensor) -> Tensor:
        images = patches.native(numbers.tolist())[0]
        return images if self.radiometry is GENERATED else encode(images, patches.radiometry)


def quotas(labels: Tensor, length: int, balance: float) -> Tensor:
    """Items of each class among ``length``, in proportion to n_c^(1 - balance), by largest remainders: (classes,).

    >>> labels = torch.tensor([0] * 16 + [1] * 4 + [3])
    >>> quotas(labels, 21, 0.0).tolist(), quotas(labels, 21, 0.5).tolist(), quotas(labels, 21, 1.0).tolist()
    ([16, 4, 0, 1], [12, 6, 0, 3], [7, 7, 0, 7])
    """
    counts = torch.bincount(labels).double()
    weights = torch.where(counts > 0, counts.clamp(min=1.0) ** (1.0 - balance), 0.0)
    exact = length * weights / weights.sum()
    whole = exact.floor().to(torch.int64)
    order = torch.sort(exact - whole, descending=True, stable=True).indices
    whole[order[: length - int(whole.sum())]] += 1
    return whole


def _generated_quota(count: int, real: int, made: int, share: float) -> int:
    if not made:
        return 0
    return round(count * min(share, made / (real + made))) if real else count


def _repeated(pool: Tensor, count: int, source: torch.Generator) -> Tensor:
    """``count`` of the pool: all of it as often as it fits, and a random part of it once more."""
    order = pool[torch.randperm(len(pool), generator=source)]
    return order.repeat(-(-count // len(order)))[:count] if count else order[:0]
