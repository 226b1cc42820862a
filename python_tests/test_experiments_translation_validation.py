"""What a translation is judged by."""

import pytest
import torch
from torch import nn

from sarcore import Radiometry
from sarcore.engine.validation import run_validation
from sarcore.experiments.translation_validation import (
    Constant,
    EncodedENLError,
    HeldOutPairs,
    mean_colours,
    translation_validation,
)
from sarcore.metrics import ENLError
from sarcore.ops import encode, speckle

DIGITAL = Radiometry("digital", 0, 255)


class Exact(nn.Module):
    """Knows that B is the negative of A in three colours, and counts which numbers it is asked for."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error, self.numbers = error, []

    def translate(self, images, direction, *, index=None):
        self.numbers += index.tolist()
        if direction == "AtoB":
            return (1 - images).expand(-1, 3, -1, -1) + self.error
        return 1 - images[:, :1]


@pytest.fixture(scope="module")
def pairs():
    """7 pairs; an odd number, so that the last batch is not full."""
    a = 0.2 + 0.6 * torch.rand(7, 1, 32, 40, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.TensorDataset(a, (1 - a).expand(-1, 3, -1, -1))


def judged(model, pairs, directions, **more):
    return run_validation(model, translation_validation(pairs, directions, DIGITAL, **more), device="cpu")[0]


def test_a_perfect_translation_has_no_error_in_either_direction(pairs):
    model = Exact()
    found = judged(model, pairs, ("AtoB", "BtoA"))
    for name in ("mae", "mae_ab", "mae_ba", "cycle", "emd_ab", "spectrum_ba", "enl_error_ba"):
        assert found[name] == pytest.approx(0, abs=1e-6), name
    assert found["ssim_ab"] == pytest.approx(1)
    assert sorted(model.numbers) == sorted([*range(7)] * 4)  # there, there and back, by two


def test_the_numbers_are_those_of_their_definitions(pairs):
    found = judged(Exact(0.1), pairs, ("AtoB",))
    assert set(found) == {"psnr", "ssim", "mae", "spectrum", "emd"}
    assert found["mae"] == pytest.approx(0.1, abs=1e-6)
    assert found["psnr"] == pytest.approx(20, abs=1e-4)
    assert found["emd"] == pytest.approx(0.1, abs=5e-3)


def test_the_mean_over_both_directions_decides(pairs):
    validation = translation_validation(pairs, ("AtoB", "BtoA"), DIGITAL)
    assert (validation.monitor, validation.mode) == ("mae", "min")
    found = judged(Exact(0.2), pairs, ("AtoB", "BtoA"))
    assert found["mae"] == pytest.approx((found["mae_ab"] + found["mae_ba"]) / 2) == pytest.approx(0.1, abs=1e-6)
    assert found["cycle"] == pytest.approx(0.2, abs=1e-6)


def test_without_partners_nothing_is_said_of_them(pairs):
    found = judged(Exact(), pairs, ("AtoB", "BtoA"), paired=False)
    assert set(found) == {"spectrum_ab", "emd_ab", "spectrum_ba", "emd_ba", "enl_error_ba", "cycle"}
    assert translation_validation(pairs, ("AtoB", "BtoA"), DIGITAL, paired=False).monitor == "cycle"


def test_images_of_several_sizes_are_judged_one_by_one():
    items = [(torch.rand(1, side, 20), torch.rand(3, side, 20)) for side in (16, 24, 16)]
    with pytest.raises(RuntimeError, match="size"):
        judged(Exact(), items, ("AtoB",))
    one = judged(Exact(), items, ("AtoB",), one_size=False)
    each = [(1 - a - b).abs().mean() for a, b in items]
    assert one["mae"] == pytest.approx(float(torch.stack(each).mean()), abs=1e-6)


@pytest.mark.parametrize(
    ("radiometry", "domain"),
    [
        (Radiometry("amplitude", 0, 4), "amplitude"),
        (Radiometry("intensity", -30, 15, scale="db"), "db"),
        (Radiometry("db", -30, 15), "db"),
    ],
)
def test_looks_are_those_of_the_physical_unit(radiometry, domain):
    """3 looks against 1 look: the estimate must see them as the metric does on the intensities."""
    ones = torch.ones(4, 1, 64, 64)
    real, made = (speckle(ones, looks=looks, seed=i) for i, looks in enumerate((1, 3)))
    metric, plain = EncodedENLError(radiometry), ENLError()
    for images, is_real in ((real, True), (made, False)):
        values = {"amplitude": images.sqrt(), "intensity": images, "db": 10 * images.log10()}[radiometry.unit]
        metric.update(encode(values, radiometry), real=is_real)
        plain.update(images, real=is_real)
    assert metric.domain == domain
    assert float(metric.compute()) == pytest.approx(float(plain.compute()), rel=0.05)
    assert 1.2 < float(metric.compute()) < 3.0  # three times the looks: an error of about 2


def test_the_mean_colour_counts_every_pixel_once():
    a = [torch.full((1, 2, 2), 0.2), torch.full((1, 4, 4), 0.4)]
    b = [torch.tensor([0.1, 0.5]).view(2, 1, 1).expand(2, 2, 2), torch.full((2, 4, 4), float("nan"))]
    colours = mean_colours(list(zip(a, b, strict=True)))
    assert colours[0].tolist() == pytest.approx([(0.2 * 4 + 0.4 * 16) / 20])
    assert colours[1].tolist() == pytest.approx([0.1, 0.5])
    made = Constant(*colours).translate(torch.rand(2, 2, 3, 5), "BtoA")
    assert made.shape == (2, 1, 3, 5)
    assert torch.equal(made, made[:1, :, :1, :1].expand_as(made))


def test_held_out_pairs_come_with_their_number(pairs):
    assert [HeldOutPairs(pairs)[i][2] for i in (0, 6)] == [0, 6]
