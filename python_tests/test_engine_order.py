"""Which items make up the batch of a step."""

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcore.engine import BatchOrder


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 2**40), start=st.integers(0, 100))
def test_every_epoch_holds_every_item_once(length, share, seed, start):
    batch_size = 1 + int(share * (length - 1))
    order = BatchOrder(length, batch_size, seed)
    drawn = [i for step in range(3 * length) for i in order[step].tolist()]
    assert all(len(order[step]) == batch_size for step in range(5))
    for epoch in range(3):
        assert Counter(drawn[epoch * length : (epoch + 1) * length]) == Counter(range(length))
    # Position is a pure function of the step: a fresh order, asked out of turn, agrees.
    assert torch.equal(BatchOrder(length, batch_size, seed)[start], order[start])


def test_the_order_is_shuffled_anew_each_epoch_and_by_seed():
    order = BatchOrder(100, 100, seed=0)
    assert not torch.equal(order[0], torch.arange(100))
    assert not torch.equal(order[0], order[1])
    assert not torch.equal(order[0], BatchOrder(100, 100, seed=1)[0])
