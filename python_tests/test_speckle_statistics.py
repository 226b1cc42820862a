"""Distribution of speckle: moments, Kolmogorov-Smirnov, correlations; a million samples, and 1e8 where marked slow."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from sarcore.ops import point_spread, speckle_field

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
special = pytest.importorskip("scipy.special", reason="scipy is not installed")

SEED = 2026  # chosen once
LOOKS = [0.5, 1.0, 2.7, 4.0, 16.0, 64.0]
OTHER_LOOKS = [0.02, 0.1, 1.5, 3.0, 7.0, 8.0, 9.0, 64.5, 1000.0]
PSFS = [("box", 2.0), ("box", 3.5), ("gaussian", 1.7), ("hamming", 1.5)]
PSF_LOOKS = [0.5, 1.0, 2.5, 2.7, 4.0]
every_looks = pytest.mark.parametrize("looks", LOOKS)


def sample(looks: float, **options: object) -> np.ndarray:
    return speckle_field((1, 1, 1000, 1000), looks, **{"seed": SEED, **options})[0, 0].double().numpy()


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def moment_error(looks: float, order: int, n: int) -> float:
    """Standard deviation of the mean of g^order over n samples of unit-mean Gamma speckle."""

    def moment(k: int) -> float:
        return float(np.prod([1 + i / looks for i in range(k)]))

    return float(np.sqrt((moment(2 * order) - moment(order) ** 2) / n))


@every_looks
def test_moments_and_distribution_of_a_million_samples(looks):
    g = sample(looks)
    for order in (1, 2, 3):
        expected = np.prod([1 + i / looks for i in range(order)])
        assert abs((g**order).mean() - expected) < 5 * moment_error(looks, order, g.size)
    assert stats.kstest(g.ravel(), stats.gamma(looks, scale=1 / looks).cdf).pvalue > 0.01


@every_looks
def test_neighbours_channels_images_and_seeds_are_uncorrelated(looks):
    g = sample(looks)
    bound = 5 / np.sqrt(g.size)
    for lag in (1, 2, 3, 4, 5, 8):
        assert abs(correlation(g[lag:], g[:-lag])) < bound
        assert abs(correlation(g[:, lag:], g[:, :-lag])) < bound
    assert abs(correlation(g[1:, 1:], g[:-1, :-1])) < bound
    assert abs(correlation(g[1:, :-1], g[:-1, 1:])) < bound
    both = speckle_field((1, 2, 1000, 1000), looks, seed=SEED)[0, 1].double().numpy()
    for other in (both, sample(looks, index=1), sample(looks, seed=SEED + 1), sample(looks, seed=SEED + 2**32)):
        assert abs(correlation(g, other)) < bound


@pytest.mark.parametrize("looks", OTHER_LOOKS)
def test_distribution_of_other_looks(looks):
    g = speckle_field((1, 1, 400, 500), looks, seed=SEED)[0, 0].double().numpy()
    above = g[g > 2.0**-126]  # the floor of the gain holds a part of the mass where looks are few
    cdf = stats.gamma(looks, scale=1 / looks).cdf
    floor = cdf(2.0**-126)
    assert 1 - above.size / g.size == pytest.approx(floor, abs=5 * np.sqrt(max(floor, 1e-6) / g.size))
    assert stats.kstest(above, lambda v: (cdf(v) - floor) / (1 - floor)).pvalue > 0.01 / len(OTHER_LOOKS)


@pytest.mark.parametrize("looks", [1.0, 2.7])
def test_amplitudes_and_decibels_of_the_distribution(looks):
    a = sample(looks, domain="amplitude")
    nakagami = stats.nakagami(looks)  # of unit mean square; Rayleigh for one look
    assert stats.kstest(a.ravel(), nakagami.cdf).pvalue > 0.01
    db = sample(looks, domain="db")
    k = 10 / np.log(10)
    mean, variance = k * (special.digamma(looks) - np.log(looks)), k**2 * special.polygamma(1, looks)
    assert db.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / db.size))
    assert db.var() == pytest.approx(variance, rel=0.02)


def k_distribution(looks: float, nu: float) -> Callable[[np.ndarray], np.ndarray]:
    """P(speckle times texture <= g): the Gamma law of the speckle averaged over the texture by midpoints of its law."""
    t = stats.gamma(nu, scale=1 / nu).ppf((np.arange(4000) + 0.5) / 4000)

    def cdf(values: np.ndarray) -> np.ndarray:
        grid = np.concatenate([[0.0], np.geomspace(1e-7, max(values.max(), 1.0) * 1.001, 1500)])
        table = special.gammainc(looks, looks * grid[:, None] / t).mean(1)
        return np.interp(values, grid, table)

    return cdf


@pytest.mark.parametrize(("looks", "nu"), [(1.0, 1.0), (1.0, 8.0), (4.0, 2.5), (2.7, 0.8)])
def test_textured_speckle_is_k_distributed(looks, nu):
    g = sample(looks, texture=nu)
    for order in (1, 2):
        moments = [
            np.prod([(1 + i / looks) * (1 + i / nu) for i in range(order * k)])  # E[g^k] of a product of two Gammas
            for k in (1, 2)
        ]
        assert abs((g**order).mean() - moments[0]) < 5 * np.sqrt((moments[1] - moments[0] ** 2) / g.size)
    assert stats.kstest(g.ravel()[:200_000], k_distribution(looks, nu)).pvalue > 0.01
    assert abs(correlation(g[1:], g[:-1])) < 5 / np.sqrt(g.size)


def test_complex_speckle_is_circular_gaussian():
    z = speckle_field((1, 1, 1000, 1000), seed=SEED, domain="complex")[0, 0].to(torch.complex128).numpy()
    bound = 5 / np.sqrt(z.size)
    for part in (z.real, z.imag):
        assert stats.kstest(part.ravel() * np.sqrt(2), stats.norm.cdf).pvalue > 0.01
    assert stats.kstest((np.angle(z).ravel() / (2 * np.pi)) % 1, stats.uniform.cdf).pvalue > 0.01
    assert stats.kstest(np.abs(z).ravel() ** 2, stats.expon.cdf).pvalue > 0.01
    assert abs(correlation(z.real, z.imag)) < bound
    assert abs(correlation(np.abs(z), np.angle(z))) < bound
    assert abs((z**2).mean()) < bound * np.sqrt(2)
    assert abs((z[:, 1:] * z[:, :-1].conj()).mean()) < bound


def autocorrelation(taps: np.ndarray, lag: int) -> float:
    return float((taps[lag:] * taps[: len(taps) - lag]).sum()) if lag < len(taps) else 0.0


@pytest.mark.parametrize("psf", PSFS, ids=str)
@pytest.mark.parametrize("looks", PSF_LOOKS)
def test_correlated_speckle_has_the_squared_autocorrelation_of_the_taps(looks, psf):
    g = sample(looks, psf=psf)
    taps = point_spread(*psf).numpy()
    share = int(2 * looks) / (2 * looks)  # of the looks that are smoothed; the rest is drawn per pixel
    table = np.array([autocorrelation(taps, lag) for lag in range(len(taps) + 2)])
    area = (2 * (table**2).sum() - 1) ** 2  # pixels per independent sample
    bound = 5 * np.sqrt(area / g.size)
    for down, right in [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (0, 3), (3, 0), (len(taps), 0), (0, len(taps))]:
        expected = share * (table[down] * table[right]) ** 2
        found = correlation(g[down:, right:], g[: 1000 - down, : 1000 - right])
        assert abs(found - expected) < bound, (down, right)
    assert abs(g.mean() - 1) < bound / np.sqrt(looks)
    assert g.var() == pytest.approx(1 / looks, rel=2 * bound * np.sqrt(1 + 3 / looks))
    step = len(taps) if psf[0] == "box" else 8  # beyond it the correlation is nothing
    p = stats.kstest(g[::step, ::step].ravel(), stats.gamma(looks, scale=1 / looks).cdf).pvalue
    assert p > 0.01 / (len(PSFS) * len(PSF_LOOKS))  # 1 % for all laws together: they share their waves


def test_different_taps_along_the_axes():
    along_y, along_x = torch.tensor([1.0, 2.0, 0.5]).double(), torch.ones(5).double()
    g = sample(1.0, psf=(along_y, along_x))
    y, x = (t.numpy() / np.sqrt(np.square(t.numpy()).sum()) for t in (along_y, along_x))
    for lag in (1, 2, 3):
        assert correlation(g[lag:], g[:-lag]) == pytest.approx(autocorrelation(y, lag) ** 2, abs=0.015)
        assert correlation(g[:, lag:], g[:, :-lag]) == pytest.approx(autocorrelation(x, lag) ** 2, abs=0.015)


# ------ a hundred million


def strips(looks: float, rows: int = 250) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """A field of 10^4 x 10^4 in strips, with the same strip of another channel, another image and another seed."""
    for y in range(0, 10_000, rows):
        fields = speckle_field((2, 2, rows, 10_000), looks, seed=SEED, origin=(y, 0)).numpy()
        seed = speckle_field((1, 1, rows, 10_000), looks, seed=SEED + 1, origin=(y, 0)).numpy()
        yield fields[0, 0], [fields[0, 1], fields[1, 0], seed[0, 0]]


def measured(looks: float) -> dict[str, float]:
    """Mean, variance times looks, largest distance of the laws, its p, and five correlations."""
    values = np.empty(10**8, dtype=np.float32)
    done, total, square = 0, 0.0, 0.0
    products = np.zeros(5)
    counts = np.zeros(5)
    for strip, others in strips(looks):
        values[done : done + strip.size] = strip.ravel()
        done += strip.size
        centred = strip.astype(np.float64) - 1
        total += centred.sum()
        square += np.square(centred).sum()
        pairs = [(centred[:, 1:], centred[:, :-1]), (centred[1:], centred[:-1])]
        pairs += [(centred, other.astype(np.float64) - 1) for other in others]
        products += [np.vdot(a, b) for a, b in pairs]
        counts += [a.size for a, _ in pairs]
    mean, variance = 1 + total / done, square / done - (total / done) ** 2
    r = products / counts / variance
    values.sort()
    # The empirical law at every hundredth order statistic: elsewhere it differs by less than 100 / n.
    order = np.arange(99, done, 100)
    cdf = special.gammainc(looks, looks * values[order].astype(np.float64))
    distance = max(np.abs(cdf - order / done).max(), np.abs(cdf - (order + 1) / done).max()) + 100 / done
    p = float(stats.kstwobign.sf(distance * np.sqrt(done)))
    assert done == 10**8
    names = ("x", "y", "channel", "image", "seed")
    return {"mean": mean, "variance": variance * looks, "D": distance, "p": p, **dict(zip(names, r, strict=True))}


@pytest.mark.slow
@every_looks
def test_a_hundred_million_samples(looks):
    found = measured(looks)
    assert abs(found["mean"] - 1) < 1e-3
    assert abs(found["variance"] - 1) < 1e-2
    assert found["p"] > 0.01
    for name in ("x", "y", "channel", "image", "seed"):
        assert abs(found[name]) < 4e-4, name
