"""Simulated scenes, part 3: agriculture, forest, bare ground and water ground maps."""

from __future__ import annotations

import numpy as np

from sarcore.data.scene_radar import Floats, Ground, cells, crowns, noise, pick, rotated_axes

_TABLE = 64


def agriculture(n: int, rng: np.random.Generator) -> Ground:
    """Parcels of different crops with row texture and tramlines, tracks and hedges between them, a few farmsteads."""
    u, v = rotated_axes(n, rng.uniform(0, np.pi))
    u, v = u + 2.5 * noise(n, 90, rng), v + 2.5 * noise(n, 90, rng)
    scale = rng.uniform(0.8, 1.3)
    strip, v_near, v_far = cells(v, 34 * scale, 85 * scale, rng)
    parcel, u_near, u_far = cells(u, 40 * scale, 140 * scale, rng, rows=strip)

    def table(low: float, high: float) -> Floats:
        return pick(rng.uniform(low, high, (_TABLE, _TABLE)), strip, parcel)

    crop = 0.13 * 10 ** (table(-0.62, 0.38))
    along = np.where(table(0, 1) > 0.5, u, v)
    period, phase = table(3.2, 6.5), table(0, 6.28)
    rows = np.exp(table(0.0, 0.75) * np.sin(2 * np.pi * along / period + phase))
    tram = np.where(np.mod(along + 7 * phase, table(15, 26)) < 1.4, table(0.35, 0.9), 1.0)
    soil = np.exp(0.22 * noise(n, 35, rng, octaves=3))
    ground = Ground.flat(n, crop * rows * tram * soil)
    border = np.minimum(np.minimum(u_near, u_far), np.minimum(v_near, v_far))
    ground.put(border < 1.3, 0.0, 0.05)
    ground.put(v_near < 2.4, 0.0, 0.05)
    dome, _ = crowns(n, 5.0, rng)
    hedge = (border < 3.0) & (table(0, 1) < 0.4) & (dome > 0.1) & (v_near > 2.4)
    ground.put(hedge, 2.6 * dome, 0.3)
    _farmsteads(ground, u, v, rng)
    return ground


def _farmsteads(ground: Ground, u: Floats, v: Floats, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    for _ in range(rng.poisson(n * n / 160**2 * 0.5)):
        row, col = rng.integers(0, n, 2)
        du, dv = u - u[row, col], v - v[row, col]
        ground.put(np.hypot(du, dv) < 15, 0.0, 0.12)
        for _ in range(int(rng.integers(2, 6))):
            centre, half = rng.uniform(-9, 9, 2), rng.uniform(2, 5, 2)
            where = (np.abs(du - centre[0]) < half[0]) & (np.abs(dv - centre[1]) < half[1])
            ground.put(where, rng.uniform(2, 4), 0.15, 2.5)


def forest(n: int, rng: np.random.Generator) -> Ground:
    """Crowns of different height in stands and clumps, with clearings, felled areas and forest roads."""
    dome, tone = crowns(n, rng.uniform(3.8, 6.0), rng)
    stand = noise(n, 80, rng, octaves=2)
    clump = noise(n, rng.uniform(10, 18), rng, octaves=2)
    tall = np.clip(rng.uniform(4.5, 6.5) + 1.2 * stand + rng.uniform(0.8, 1.6) * clump, 1.5, 10.0)
    felled = noise(n, 55, rng, octaves=3) < rng.uniform(-2.4, -1.3)
    ground = Ground.flat(n, 0.075 * np.exp(0.3 * noise(n, 7, rng)))
    canopy = (dome > 0.05) & ~felled & (clump + 0.5 * stand > rng.uniform(-2.6, -1.8)) & (tone > 0.08)
    ground.put(canopy, tall * (0.4 + 0.6 * dome), 0.24 * np.exp(0.9 * (tone - 0.5) + 0.15 * stand))
    if rng.random() < 0.7:
        u, v = rotated_axes(n, rng.uniform(0, np.pi))
        pitch = rng.uniform(150, 260)
        line = np.mod(v + rng.uniform(0, 12) * np.sin(u / rng.uniform(30, 60)) + rng.uniform(0, pitch), pitch)
        ground.put(line < rng.uniform(3, 5), 0.0, 0.05)
    return ground


def bare(n: int, rng: np.random.Generator) -> Ground:
    """Smooth soil, sand and rock: low backscatter, gentle relief with valleys, gullies, rougher outcrops."""
    hills = noise(n, rng.uniform(60, 110), rng, octaves=4)
    ridges = -np.abs(noise(n, rng.uniform(45, 80), rng, octaves=3, stretch=rng.uniform(0.7, 1.4)))
    relief = rng.uniform(2.0, 4.5) * hills + rng.uniform(1.0, 4.0) * ridges
    relief += rng.uniform(0, 0.5) * np.sin(rotated_axes(n, rng.uniform(-0.6, 0.6))[0] / rng.uniform(3, 6) + 2.5 * hills)
    roughness = np.exp(0.3 * noise(n, 80, rng, octaves=4))
    ground = Ground.flat(n, 0.06 * roughness)
    rocks = noise(n, 22, rng, octaves=4) > rng.uniform(1.5, 2.2)
    ground.sigma[rocks] *= 2.4
    gully = np.abs(noise(n, 75, rng, octaves=3)) < 0.03
    ground.sigma[gully] *= 1.9
    ground.height[:] = relief - relief.min()
    return ground


def water(n: int, rng: np.random.Generator) -> Ground:
    """Very dark water with swell and wind streaks, ships with wakes, and in some scenes a shore with breakwaters."""
    angle = rng.uniform(-1.2, 1.2)
    swell = np.zeros((n, n))
    length = rng.uniform(9, 22)
    for _ in range(5):
        u, _v = rotated_axes(n, angle + rng.normal(0, 0.12))
        swell += np.sin(2 * np.pi * u / (length * rng.uniform(0.85, 1.2)) + rng.uniform(0, 6.28))
    swell *= (1 + 0.4 * noise(n, 50, rng)) / 5
    wind = noise(n, rng.uniform(20, 60), rng, octaves=3, stretch=3.0)
    ground = Ground.flat(n, 0.012 * np.exp(rng.uniform(0.3, 0.8) * swell + rng.uniform(0.15, 0.5) * wind))
    for _ in range(rng.poisson(n * n / 160**2 * 0.7)):
        _ship(ground, rng)
    if rng.random() < 0.4:
        _shore(ground, rng)
    return ground


def _ship(ground: Ground, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    u, v = rotated_axes(n, rng.uniform(0, 2 * np.pi))
    row, col = rng.integers(0, n, 2)
    u, v = u - u[row, col], v - v[row, col]
    length, beam = rng.uniform(5, 17), rng.uniform(1.2, 2.4)
    wake = (u < -length) & (u > -length - 60) & (np.abs(np.abs(v) + 0.18 * (u + length)) < 0.9)
    ground.sigma[wake] *= 2.2
    ground.sigma[(u < -length) & (u > -length - 45) & (np.abs(v) < 1.3)] *= 0.4
    hull = (np.abs(u) < length) & (np.abs(v) < beam * (1 - np.clip(u / length, 0, 1) ** 3))
    ground.put(hull, 1.5, np.where(np.mod(u, 5) < 1.3, 2.5, 0.4), 2.5)
    bridge = hull & (np.abs(u + 0.6 * length) < 1.5)
    ground.put(bridge, 3.5, 4.0, 4.0)


def _shore(ground: Ground, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    u, v = rotated_axes(n, rng.uniform(0, 2 * np.pi))
    line = v - rng.uniform(0.15, 0.42) * n + 12 * noise(n, 80, rng, octaves=4)
    surf = (line > -7) & (line <= 0) & (np.mod(line, 3.5) < 1.3)
    ground.sigma[surf] *= 5
    ground.put(line > 0, 0.0, 0.05 * np.exp(0.2 * noise(n, 10, rng)))
    dome, tone = crowns(n, 4.2, rng)
    ground.put((line > 9) & (dome > 0.1) & (tone < 0.75 + 0.3 * noise(n, 40, rng)), 3.5 * dome, 0.26)
    if rng.random() < 0.5:
        pier = (np.abs(u - rng.uniform(-60, 60)) < 1.8) & (line > -rng.uniform(25, 50)) & (line < 6)
        ground.put(pier, 1.2, 0.5, 1.5)
