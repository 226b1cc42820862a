"""The adaptive augmentation of the GAN: each kind against plain PyTorch, its probability by hand."""

import pytest
import torch
import torch.nn.functional as F

from sarcore.models import GANConfig
from sarcore.models.gan_augment import AdaptiveAugment

NOT, SURE = 0.999, 0.0  # uniform numbers that choose nothing, and everything, at p = 0.5


def augment(p=0.5, size=24, **changes):
    made = AdaptiveAugment(GANConfig(size=size, **changes))
    made.p.fill_(p)
    return made


def drawn(n, **chosen):
    """The random numbers of n images that choose what is named, and nothing else."""
    numbers = torch.full((n, 11), NOT)
    numbers[:, 10] = chosen.get("gain", 0.0)
    for column, name in enumerate(("flip_y", "flip_x", "swap", "shift", "gain")):
        numbers[:, column] = SURE if name in chosen else NOT
    numbers[:, 5:8] = SURE
    numbers[:, 8:10] = torch.tensor(chosen.get("shift", (0.5, 0.5)))
    return numbers


def images(n=3, channels=2, size=24):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("flip_y", lambda x: x.flip(-2)),
        ("flip_x", lambda x: x.flip(-1)),
        ("swap", lambda x: x.transpose(-1, -2)),
    ],
)
def test_each_symmetry_alone_and_left_out_in_half_of_the_cases(name, plain):
    x, numbers = images(), drawn(3, **{name: True})
    assert torch.equal(augment()(x, numbers), plain(x))
    numbers[1, 5:8] = NOT
    expected = torch.stack([plain(x)[0], x[1], plain(x)[2]])
    assert torch.equal(augment()(x, numbers), expected)


@pytest.mark.parametrize(("place", "moved"), [((0.0, 0.999), (-3, 3)), ((0.5, 0.15), (0, -2))])
@pytest.mark.parametrize("swap", [False, True])
def test_shifts_mirror_the_border(place, moved, swap):
    """Of 24 pixels up to 3: what lies beyond the border is mirrored at the middle of the last pixel."""
    x = images()
    y, across = (3 + offset for offset in moved)
    expected = F.pad(x, (3, 3, 3, 3), mode="reflect")[..., y : y + 24, across : across + 24]
    chosen = {"shift": place, **({"swap": True} if swap else {})}
    assert torch.equal(augment()(x, drawn(3, **chosen)), expected.transpose(-1, -2) if swap else expected)


def test_all_symmetries_together_are_done_in_turn():
    x = images()
    found = augment()(x, drawn(3, flip_y=True, flip_x=True, swap=True, shift=(0.0, 0.999)))
    shifted = F.pad(x, (3, 3, 3, 3), mode="reflect")[..., 0:24, 6:30]
    assert torch.equal(found, shifted.transpose(-1, -2).flip(-1, -2))
    one = augment()(x, drawn(3, flip_y=True, swap=True))
    assert torch.equal(one, x.transpose(-1, -2).flip(-2))


@pytest.mark.parametrize(
    ("domain", "limits", "change"),
    [
        ("amplitude", (0.0, 255.0), lambda value, g: value * g.exp()),
        ("amplitude", (10.0, 90.0), lambda value, g: value * g.exp()),
        ("intensity", (0.1, 2.0), lambda value, g: value * (2 * g).exp()),
        ("db", (-25.0, 0.0), lambda value, g: value + 20 * torch.log10(g.exp())),
    ],
)
def test_gains_act_on_the_amplitude_and_clip_nothing(domain, limits, change):
    x, (low, high) = images(), limits
    normal = torch.tensor([0.0, -1.0, 2.5])
    numbers = drawn(3, gain=0.0)
    numbers[:, 10] = normal
    expected = change(low + x * (high - low), (0.1 * normal)[:, None, None, None])
    found = augment(domain=domain, limits=limits)(x, numbers)
    torch.testing.assert_close(found, (expected - low) / (high - low))
    assert torch.equal(found[0], x[0])
    assert float(found.max()) > 1


def test_what_is_chosen_has_the_probability_p():
    made, n = augment(0.3), 20000
    numbers = made.draw(n, torch.Generator().manual_seed(0))
    assert numbers.shape == (n, 11)
    x = images(1, 1).expand(n, -1, -1, -1)[:, :, :8, :8].contiguous()
    small = AdaptiveAugment(GANConfig(size=8))
    small.p.fill_(0.3)
    same = (small(x, numbers) == x).all(dim=(1, 2, 3)).float().mean()
    # A symmetry is chosen and done with 0.15, a shift is none in 1 of 3 x 3 cases; flips and swaps never cancel out.
    assert float(same) == pytest.approx(0.85**3 * (0.7 + 0.3 / 9) * 0.7, abs=0.01)
    assert torch.equal(augment(0.0, size=8)(x, numbers), x)


def test_gradients_go_back_to_the_pixels_they_came_from():
    made = augment(0.6).double()
    x = images(6, 1).double().requires_grad_()
    numbers = made.draw(6, torch.Generator().manual_seed(2)).double()
    weights = torch.rand(6, 1, 24, 24, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: (made(v, numbers) * weights).sum(dim=(1, 2, 3))[:2], (x,), fast_mode=True)


def test_p_follows_the_sign_and_stays_in_its_range():
    made = AdaptiveAugment(GANConfig(size=20, ada_target=0.6, ada_steps=100, ada_max=0.5))
    sign, p = 0.0, 0.0
    for number in range(600):
        value = 1.0 if number < 400 else -0.5
        made.adapt(torch.tensor(value))
        sign = 0.99 * sign + 0.01 * value
        p = min(max(p + (0.01 if sign > 0.6 else -0.01), 0.0), 0.5)
        if number in (90, 91, 130, 399, 450, 599):
            assert float(made.sign) == pytest.approx(sign, abs=1e-5)
            assert float(made.p) == pytest.approx(p, abs=1e-5)
    assert p < 0.5
    off = AdaptiveAugment(GANConfig(size=20, ada_target=0.0))
    off.adapt(torch.tensor(1.0))
    assert float(off.p) == 0.0
