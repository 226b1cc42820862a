"""Distances of feature distributions against SciPy, brute force and closed forms, in float64."""

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from scipy.spatial.distance import cdist

from sarcore.metrics import (
    _neighbours,
    against_floor,
    density_coverage,
    frechet_distance,
    kernel,
    kernel_distance,
    kernel_distance_subsets,
    manifold,
    memorisation,
    precision_recall,
)
from sarcore.metrics._neighbours import kth_neighbour, nearest, squared_distances


@pytest.fixture
def sets():
    """Real (60, 6) and generated (45, 6), correlated, of different means and spreads."""
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(6, 6))
    real, generated = rng.normal(size=(60, 6)) @ mixing, 0.7 * rng.normal(size=(45, 6)) @ mixing + 0.4
    return torch.from_numpy(real), torch.from_numpy(generated)


def scipy_frechet(real, generated):
    first, second = np.cov(real.T), np.cov(generated.T)
    root = linalg.sqrtm(first @ second)
    return np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.trace(first + second - 2 * root.real)


# --- Fréchet ---


def test_frechet_is_scipys(sets):
    real, generated = sets
    assert frechet_distance(real, generated) == pytest.approx(scipy_frechet(real.numpy(), generated.numpy()), rel=1e-10)
    assert frechet_distance(generated, real) == pytest.approx(frechet_distance(real, generated), rel=1e-12)


def test_frechet_of_normal_distributions_that_commute():
    """|m|^2 + sum (s - t)^2 of the deviations, where the covariances have the same axes."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(50, 4))
    base -= base.mean(0)
    base = base @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T))).T  # covariance 1 exactly
    s, t, shift = np.array([1.0, 2, 3, 0.5]), np.array([2.0, 2, 0, 0.25]), np.array([1.0, -1, 0, 2])
    expected = np.sum(shift**2) + np.sum((s - t) ** 2)
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = frechet_distance(torch.from_numpy(base * s @ axes), torch.from_numpy((base * t + shift) @ axes))
    assert found == pytest.approx(expected, rel=1e-12)


def test_frechet_of_fewer_images_than_features():
    """Covariances are singular; ||X Y^T||_* / sqrt((n-1)(m-1)) of the centred data is tr (C D)^(1/2) without a root."""
    rng = np.random.default_rng(1)
    real, generated = rng.normal(size=(20, 300)), rng.normal(size=(12, 300)) + 0.1
    x, y = real - real.mean(0), generated - generated.mean(0)
    nuclear = np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt(19 * 11)
    expected = np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.sum(x**2) / 19 + np.sum(y**2) / 11 - 2 * nuclear
    assert frechet_distance(torch.from_numpy(real), torch.from_numpy(generated)) == pytest.approx(expected, rel=1e-12)
    same = torch.from_numpy(real)
    assert 0 <= frechet_distance(same, same.flip(0)) < 1e-10
    constant = torch.full((5, 300), 2.0)
    assert frechet_distance(constant, constant) == 0.0
    assert frechet_distance(constant, constant + 1) == pytest.approx(300.0)


def test_frechet_keeps_its_digits_in_low_precision():
    real, generated = torch.rand(40, 5, dtype=torch.float16), torch.rand(40, 5).to(torch.bfloat16)
    expected = scipy_frechet(real.double().numpy(), generated.double().numpy())
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-10)


# --- kernel ---


def brute_kernel(x, y, degree=3, coefficient=1.0):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + coefficient) ** degree

    def pairs(s):
        return np.mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j])

    return pairs(x) + pairs(y) - 2 * np.mean([k(a, b) for a in x for b in y])


@pytest.mark.parametrize("options", [{}, {"degree": 1}, {"degree": 2, "coefficient": 0.5}])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_kernel_distance_is_the_double_sum(sets, options, block, monkeypatch):
    monkeypatch.setattr(kernel, "_BLOCK", block)
    real, generated = sets[0][:15], sets[1][:11]
    expected = brute_kernel(real.tolist(), generated.tolist(), **options)
    assert kernel_distance(real, generated, **options) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_kernel_distance_is_unbiased():
    """The mean over many pairs of small sets of one distribution is 0, within three of its standard errors."""
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(400, 2, 8, 3, generator=generator, dtype=torch.float64)
    values = np.array([kernel_distance(a, b) for a, b in draws])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert 0.3 < np.mean(values < 0) < 0.8


def test_kernel_subsets(sets):
    real, generated = sets
    whole = kernel_distance_subsets(real, generated[:45], subsets=2, size=45)
    assert whole[1] > 0  # 45 of 60 differ
    everything = kernel_distance_subsets(real[:45], generated, subsets=3, size=45)
    assert everything == pytest.approx((kernel_distance(real[:45], generated), 0.0), abs=1e-9)
    mean, deviation = kernel_distance_subsets(real, generated, subsets=200, size=20, seed=4)
    assert (mean, deviation) == kernel_distance_subsets(real, generated, subsets=200, size=20, seed=4)
    assert abs(mean - kernel_distance(real, generated)) < 4 * deviation / np.sqrt(200)
    with pytest.raises(ValueError, match="subset of 1000 images needs as many of each, got 60 and 45"):
        kernel_distance_subsets(real, generated)
    for wrong in ({"subsets": 1}, {"size": 1}, {"degree": 0}):
        with pytest.raises(ValueError, match="must be at least 2, degree 1"):
            kernel_distance_subsets(real, generated, **wrong)
    with pytest.raises(ValueError, match="degree must be at least 1, got 0"):
        kernel_distance(real, generated, degree=0)


# --- neighbours ---


@pytest.mark.parametrize("many", [0, 16])  # close pairs by whole blocks, and one by one
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_distances_keep_their_digits(offset, many, monkeypatch):
    monkeypatch.setattr(_neighbours, "_MANY", many)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 7))
    x[20:] = x[:20] * (1 + 1e-9)  # so close that the product knows nothing of it
    x[5] = x[6]
    x = x + offset
    expected = cdist(x, x)
    found = squared_distances(torch.from_numpy(x), torch.from_numpy(x)).sqrt().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-300)
    assert found[5, 6] == 0
    assert (np.diag(found) == 0).all()


def test_neighbours_by_blocks(monkeypatch):
    monkeypatch.setattr(_neighbours, "_BLOCK", 3)
    monkeypatch.setattr(_neighbours, "_PAIRS", 8)
    x, y = torch.rand(10, 2, dtype=torch.float64), torch.rand(8, 2, dtype=torch.float64)
    y[3] = x[4]
    between = cdist(x, y)
    distance, index = nearest(x, y)
    np.testing.assert_allclose(distance.sqrt(), between.min(1), rtol=1e-12)
    assert index.tolist() == between.argmin(1).tolist()
    own = np.sort(cdist(x, x), axis=1)
    np.testing.assert_allclose(kth_neighbour(x, 3).sqrt(), own[:, 3], rtol=1e-12)


# --- precision, recall, density, coverage ---


def brute_manifold(real, generated, k):
    between = cdist(generated, real)
    radius = np.sort(cdist(real, real), axis=1)[:, k]
    other = np.sort(cdist(generated, generated), axis=1)[:, k]
    return {
        "precision": (between <= radius).any(1).mean(),
        "recall": (other >= between.T).any(1).mean(),
        "density": (between < radius).sum() / (k * len(generated)),
        "coverage": (between.min(0) < radius).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [4, 1024])
def test_manifold_measures_are_the_counts(sets, k, block, monkeypatch):
    monkeypatch.setattr(manifold, "_BLOCK", block)
    expected = brute_manifold(*(features.numpy() for features in sets), k)
    found = (*precision_recall(*sets, neighbours=k), *density_coverage(*sets, neighbours=k))
    assert found == pytest.approx(tuple(expected.values()), abs=1e-12)
    assert any(0.02 < value < 0.98 for value in found)


def test_what_the_manifold_measures_tell_apart():
    generator = torch.Generator().manual_seed(2)
    real = torch.randn(400, 4, generator=generator)
    narrow = 0.3 * torch.randn(400, 4, generator=generator)  # the middle alone: faithful, not diverse
    precision, recall = precision_recall(real, narrow)
    density, coverage = density_coverage(real, narrow)
    assert precision > 0.95 > 0.5 > recall
    assert density > 1.1
    assert coverage < 0.6
    wide = 4 * torch.randn(400, 4, generator=generator)
    precision, recall = precision_recall(real, wide)
    assert recall > 0.8 > 0.4 > precision
    again = torch.randn(400, 4, generator=generator)
    density, coverage = density_coverage(real, again)
    assert density == pytest.approx(1.0, abs=0.1)
    assert coverage == pytest.approx(1 - 2.0**-5, abs=0.03)


def test_collapse_to_copies_of_one_image():
    real = torch.rand(30, 4)
    assert precision_recall(real, real[:1].repeat(30, 1)) == (1.0, pytest.approx(1 / 30))
    assert density_coverage(real, real[:1].repeat(30, 1))[1] < 0.5


def test_too_few_images_for_the_neighbours():
    x = torch.rand(5, 3)
    with pytest.raises(ValueError, match="at least 6 images, got 5"):
        density_coverage(x, x)
    for measure in (precision_recall, density_coverage):
        with pytest.raises(ValueError, match="neighbours must be at least 1, got 0"):
            measure(x, x, neighbours=0)


# --- memorisation ---


def test_memorisation_against_scipy():
    rng = np.random.default_rng(6)
    train, held_out, generated = (rng.normal(size=(n, 5)) for n in (80, 60, 70))
    generated[:25] = train[10:35] + 0.05 * rng.normal(size=(25, 5))
    generated[30:33] = train[40]  # copies, and ties
    found = memorisation(*(torch.from_numpy(each) for each in (train, held_out, generated)), pairs=4)
    made, unseen = cdist(generated, train), cdist(held_out, train).min(1)
    assert found.ratio == pytest.approx(np.median(made.min(1)) / np.median(unseen), rel=1e-9)
    assert found.closer_share == np.mean(made.min(1) < np.quantile(unseen, 0.01))
    test = stats.mannwhitneyu(made.min(1), unseen, alternative="less", method="asymptotic")
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-8)
    assert found.p_value < 1e-3
    assert found.pairs[:3] == ((30, 40, 0.0), (31, 40, 0.0), (32, 40, 0.0))
    last = np.unravel_index(np.argsort(made, axis=None)[3], made.shape)
    assert found.pairs[3] == (*map(int, last), pytest.approx(made[last]))


def test_new_images_are_not_called_copies():
    generator = torch.Generator().manual_seed(7)
    train, held_out, generated = (torch.randn(300, 6, generator=generator) for _ in range(3))
    found = memorisation(train, held_out, generated)
    assert found.ratio == pytest.approx(1.0, abs=0.1)
    assert found.closer_share < 0.04
    assert found.p_value > 0.01
    assert len(found.pairs) == 16
    equal = torch.zeros(4, 2)
    assert memorisation(equal, equal + 1, equal + 1).p_value == 1.0


# --- the floor ---


def test_the_floor_sees_as_many_images_as_the_generated():
    seen = []

    def score(real, generated):
        seen.append((set(real.flatten().tolist()), set(generated.flatten().tolist())))
        return {"mean": float((real.mean() - generated.mean()).abs())}

    real, generated = torch.arange(21.0)[:, None], torch.arange(100.0, 106)[:, None]
    found = against_floor(score, real, generated, repeats=3, seed=1)["mean"]
    for (a, b), (c, d) in zip(seen[::2], seen[1::2], strict=True):
        assert a == c
        assert not a & b
        assert len(a) == len(b) == len(d) == 6
        assert max(a | b) < 21 <= min(d)
    assert len({frozenset(a) for a, _ in seen}) == 3
    assert found.floor < 20 < found.generated
    assert min(found.floor_deviation, found.generated_deviation) > 0
    assert against_floor(score, real, generated, repeats=1)["mean"].generated_deviation == 0.0
    with pytest.raises(ValueError, match="at least 4 real and 2 generated images are needed, got 3 and 6"):
        against_floor(score, real[:3], generated)
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        against_floor(score, real, generated, repeats=0)


def test_a_perfect_generator_gets_the_floor_whatever_the_bias():
    generator = torch.Generator().manual_seed(8)
    real, generated = torch.randn(60, 20, generator=generator), torch.randn(500, 20, generator=generator)
    found = against_floor(lambda a, b: {"fid": frechet_distance(a, b)}, real, generated)["fid"]
    assert found.floor > 5  # 30 images of 20 features: nothing but bias
    assert found.generated == pytest.approx(found.floor, rel=0.15)
