"""The histogram operators as modules."""

import copy
import pickle

import pytest
import torch

from sarcore.nn import HistogramLoss, MutualInformationLoss
from sarcore.ops import histogram_loss, mutual_information


def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 2, 20, 21, generator=generator)
    return x, y, torch.rand(3, 1, 20, 21, generator=generator) > 0.2


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bins": 16, "range": (-0.3, 1.7), "omega": 0.5, "distance": "emd", "spatial": "l1"},
        {"distance": "l1", "normalize": "count", "kernel": "hard", "reduction": "none"},
        {"reduction": "sum"},
    ],
)
def test_histogram_loss_is_the_op_with_its_settings(settings):
    x, y, mask = images()
    module = HistogramLoss(**settings)
    for m in (None, mask):
        assert torch.equal(module(x, y, m), histogram_loss(x, y, mask=m, **settings))
    assert torch.equal(module(x, y), module(input=x, target=y))


@pytest.mark.parametrize(
    "settings", [{}, {"bins": 16, "range": (-0.3, 1.7), "range_y": (0.0, 2.0), "normalized": True}]
)
def test_mutual_information_loss_is_minus_the_mean(settings):
    x, y, mask = images()
    for m in (None, mask):
        expected = -mutual_information(x, y, mask=m, **settings).mean()
        assert torch.equal(MutualInformationLoss(**settings)(x, y, m), expected)


@pytest.mark.parametrize("module", [HistogramLoss(bins=16, omega=0.5), MutualInformationLoss(bins=16)])
def test_modules_hold_no_state_and_can_be_copied(module):
    x, y, _ = images()
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), module.double().eval()):
        assert torch.equal(other(x, y), module(x, y))


def test_repr_shows_the_settings():
    text = repr(HistogramLoss(bins=17, range=(0.0, 2.0), omega=0.25, distance="emd", kernel="hard"))
    for part in ("bins=17", "(0.0, 2.0)", "0.25", "'emd'", "'hard'"):
        assert part in text
    text = repr(MutualInformationLoss(bins=17, range=(0.0, 2.0), normalized=True))
    for part in ("bins=17", "(0.0, 2.0)", "True"):
        assert part in text


@pytest.mark.parametrize("distance", ["l2", "l1", "emd"])
def test_descent_matches_the_histograms(distance):
    """Gradient steps on the pixels alone bring the histogram of a dark image to that of a bright one."""
    generator = torch.Generator().manual_seed(0)
    x = (0.2 + 0.3 * torch.rand(1, 1, 32, 32, generator=generator)).requires_grad_()
    y = 0.4 + 0.4 * torch.rand(1, 1, 32, 32, generator=generator)
    loss = HistogramLoss(bins=8, omega=0.0, distance=distance)
    before = loss(x, y).item()
    optimizer = torch.optim.Adam([x], lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    assert loss(x, y).item() < 0.6 * before


def test_information_grows_under_descent():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(1, 1, 24, 24, generator=generator)
    x = (y + 0.2 * torch.randn(1, 1, 24, 24, generator=generator)).clamp(0.05, 0.95).requires_grad_()
    loss = MutualInformationLoss(bins=8)
    before = loss(x, y).item()
    optimizer = torch.optim.Adam([x], lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    assert loss(x, y).item() < before - 0.1


def test_modules_compile_and_refuse_bad_settings():
    torch._dynamo.reset()
    x, y, mask = images()
    compiled = torch.compile(HistogramLoss(bins=16), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, y, mask), HistogramLoss(bins=16)(x, y, mask))
    with pytest.raises(ValueError, match="distance"):
        HistogramLoss(distance="cosine")(x, y)
    with pytest.raises(ValueError, match="range_y"):
        MutualInformationLoss(range_y=(1.0, 0.0))(x, y)
