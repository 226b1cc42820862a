"""Simulated scenes, part 2: settlement, industrial and transport ground maps."""

from __future__ import annotations

import numpy as np

from sarcore.data.scene_radar import Bools, Floats, Ground, Ints, cells, crowns, noise, pick, rotated_axes

_TABLE = 64  # random tables are looked up by cell number modulo this

ASPHALT = 0.035
GRASS = 0.13


def settlement(n: int, rng: np.random.Generator) -> Ground:
    """Houses with gable roofs along streets in districts of different direction, slabs of flats, gardens, parks."""
    u, v = rotated_axes(n, rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.22))
    bend = rng.uniform(0, 5)
    u, v = u + bend * noise(n, 130, rng), v + bend * noise(n, 130, rng)
    east, e_near, e_far = cells(u, 75, 150, rng)
    north, n_near, n_far = cells(v, 75, 150, rng, rows=east)
    turned = pick(rng.random((_TABLE, _TABLE)), east, north) < rng.uniform(0.1, 0.5)
    u, v = np.where(turned, v, u), np.where(turned, u, v)

    depth = rng.uniform(25, 32)  # two rows of lots back to back
    row, v_near, v_far = cells(v, depth, depth + 3, rng)
    block, u_near, u_far = cells(u, 45, 100, rng, rows=row // 2)
    use = pick(rng.random((_TABLE, _TABLE)), row, block)
    park, flats = use < 0.07, (use > 0.07) & (use < 0.07 + rng.uniform(0.05, 0.25))
    ground = Ground.flat(n, GRASS * np.exp(0.25 * noise(n, 12, rng, octaves=2)))
    to_street = np.minimum(v_near, v_far)
    _garden_trees(ground, np.where(park, 0.55, 0.16) * np.minimum(1, to_street / 4), rng)
    second = (v_far < v_near).astype(np.int64) + 2 * row
    width = rng.uniform(8.5, 11.5)
    lot, near, far = cells(u, width, 1.35 * width, rng, rows=second)
    _houses(ground, ~park & ~flats, second, lot, to_street, near, far, rng)
    _slabs(ground, flats, second, u, to_street, rng)
    ground.put((v_near < 2.4) | (v_far < 1.2) | (np.minimum(u_near, u_far) < 2.2), 0.0, ASPHALT)
    ground.put(np.minimum(np.minimum(e_near, e_far), np.minimum(n_near, n_far)) < rng.uniform(2.6, 3.8), 0.0, ASPHALT)
    return ground


def _houses(
    ground: Ground,
    allowed: Bools,
    row: Ints,
    lot: Ints,
    depth: Floats,
    near: Floats,
    far: Floats,
    rng: np.random.Generator,
) -> None:
    def table(low: float, high: float) -> Floats:
        return pick(rng.uniform(low, high, (_TABLE, _TABLE)), row, lot)

    margin, front, length = table(0.8, 2.0), table(3.0, 5.0), table(4.5, 7.5)
    inside = (
        allowed & (near > margin) & (far > margin) & (depth > front) & (depth < front + length) & (table(0, 1) > 0.08)
    )
    across = np.abs(depth - front - length / 2) / (length / 2)  # 0 at the ridge, 1 at the eaves
    height = table(1.6, 2.6) + table(0.6, 1.4) * (1 - across)
    mirror = table(0, 1) > 0.93  # roofs that happen to face the radar
    ground.put(inside, height, table(0.12, 0.5) * np.where(mirror, 6.0, 1.0), table(0.3, 2.6))


def _slabs(ground: Ground, allowed: Bools, row: Ints, u: Floats, depth: Floats, rng: np.random.Generator) -> None:
    slab, near, far = cells(u, 26, 40, rng, rows=row)
    gap = pick(rng.uniform(1.5, 5, (_TABLE, _TABLE)), row, slab)
    inside = allowed & (near > gap) & (far > gap) & (depth > 4.5) & (depth < 10.5)
    ground.put(inside, pick(rng.uniform(4, 8, (_TABLE, _TABLE)), row, slab), 0.12, 1.6)


def _garden_trees(ground: Ground, density: Floats, rng: np.random.Generator) -> None:
    dome, tone = crowns(ground.height.shape[0], 4.5, rng)
    where = (dome > 0.15) & (tone < density)
    ground.put(where, 3.0 * dome, 0.28)


def industrial(n: int, rng: np.random.Generator) -> Ground:
    """Large flat roofs with long double-bounce lines, paved yards with containers, storage tanks, a railway siding."""
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.15)
    u, v = rotated_axes(n, angle)
    row, v_near, v_far = cells(v, 52, 88, rng)
    plot, u_near, u_far = cells(u, 50, 110, rng, rows=row)
    use = pick(rng.random((_TABLE, _TABLE)), row, plot)
    ground = Ground.flat(n, 0.06 * np.exp(0.3 * noise(n, 10, rng, octaves=2)))
    ground.put(use < 0.1, 0.0, GRASS * np.exp(0.3 * noise(n, 8, rng)))
    _yard_goods(ground, (use > 0.1) & (np.minimum(u_near, u_far) > 5) & (v_near > 5) & (v_far > 5), u, v, rng)
    tanks = (use > 0.1) & (use < 0.1 + max(0.0, rng.uniform(-0.3, 0.2)))
    _tanks(ground, tanks & (u_near > 5) & (v_near > 5) & (u_far > 5) & (v_far > 5), u, v, rng)
    _halls(ground, ~tanks & (use > 0.1), (row, plot), (u_near, u_far, v_near, v_far), rng)
    ground.put((np.minimum(v_near, v_far) < 3) | (np.minimum(u_near, u_far) < 2.2), 0.0, ASPHALT)
    return ground


def _halls(
    ground: Ground,
    allowed: Bools,
    cell: tuple[Ints, Ints],
    distances: tuple[Floats, Floats, Floats, Floats],
    rng: np.random.Generator,
) -> None:
    def table(low: float, high: float) -> Floats:
        return pick(rng.uniform(low, high, (_TABLE, _TABLE)), *cell)

    u_near, u_far, v_near, v_far = distances
    inside = (
        allowed & (u_near > table(6, 14)) & (u_far > table(6, 26)) & (v_near > table(6, 12)) & (v_far > table(7, 18))
    )
    inside &= ~((u_near < table(0, 40)) & (v_near < table(0, 40)))  # loading yards cut out of a corner
    sheds = table(0, 1) < 0.35  # several long sheds instead of one hall
    inside &= ~(sheds & (np.mod(np.where(table(0, 1) > 0.5, u_near, v_near), table(16, 30)) < table(4, 9)))
    step = (v_near > table(10, 80)) * table(-1.5, 2.5)
    along, period = np.where(table(0, 1) > 0.5, u_near, v_near), table(5, 16)
    bays = 1 + table(0, 2.5) * (np.mod(along, period) < 1.4)  # skylights, joints
    saw = np.where(table(0, 1) > 0.7, 1.4 * np.mod(along, period) / period, 0.0)  # north-light roofs
    height = np.maximum(table(2.8, 6.5) + step, 2.4) + saw
    vents = np.where(rng.random(along.shape) < 0.006, 18.0, 1.0)
    ground.put(inside, height, 0.02 * 8 ** table(0, 1) * bays * vents, table(0.8, 4.5))


def _yard_goods(ground: Ground, allowed: Bools, u: Floats, v: Floats, rng: np.random.Generator) -> None:
    """Rows of containers, lorries and cars: small metal boxes."""
    row, r_near, _ = cells(v, 5, 8, rng)
    box, b_near, _ = cells(u, 3.5, 7, rng, rows=row)
    full = pick(rng.random((_TABLE, _TABLE)), row, box) < 0.4
    busy = noise(u.shape[0], 28, rng) > 0.25
    tall = pick(rng.uniform(0.8, 2.2, (_TABLE, _TABLE)), row, box)
    ground.put(allowed & full & busy & (r_near < 2.4) & (b_near < 3.2), tall, 0.3, 1.8)


def _tanks(ground: Ground, allowed: Bools, u: Floats, v: Floats, rng: np.random.Generator) -> None:
    pitch = rng.uniform(17, 30)
    column, row = np.floor(u / pitch).astype(np.int64), np.floor(v / pitch).astype(np.int64)
    radius = np.hypot(np.mod(u, pitch) - pitch / 2, np.mod(v, pitch) - pitch / 2)
    size = pick(rng.uniform(0.2, 0.42, (_TABLE, _TABLE)), row, column) * pitch
    ground.put(allowed & (radius < size), 4.5, np.where(radius > size - 1.2, 0.4, 0.04), 2.5)


def transport(n: int, rng: np.random.Generator) -> Ground:
    """Ribbons through open land: motorways with interchanges, railway lines and yards, airfields."""
    u, v = rotated_axes(n, rng.uniform(0, np.pi))
    strip, near, _ = cells(v + 4 * noise(n, 90, rng), 50, 110, rng)
    parcel, start, _ = cells(u + 4 * noise(n, 90, rng), 60, 160, rng, rows=strip)
    meadow = pick(rng.uniform(-0.4, 0.4, (_TABLE, _TABLE)), strip, parcel) - 0.4 * (np.minimum(near, start) < 1.2)
    ground = Ground.flat(n, GRASS * np.exp(meadow + 0.15 * noise(n, 30, rng, octaves=4)))
    dome, tone = crowns(n, 4.2, rng)
    wood = np.clip(1.5 * noise(n, 55, rng, octaves=3) - rng.uniform(0.6, 2.4), 0.01, 0.85)
    ground.put((dome > 0.1) & (tone < wood), 3.0 * dome, 0.26)
    angle = rng.uniform(0, np.pi)
    kind = rng.choice(["motorway", "railway", "airfield"], p=[0.45, 0.3, 0.25])
    draw = {"motorway": _motorways, "railway": _railways, "airfield": _airfield}[str(kind)]
    draw(ground, angle, rng)
    return ground


def _bent_axes(n: int, angle: float, bend: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    u, v = rotated_axes(n, angle)
    return u, v + bend * np.sin(u / rng.uniform(60, 110) + rng.uniform(0, 6.28)) + rng.uniform(-30, 30)


def _road(ground: Ground, across: Floats, half: float, deck: Floats) -> None:
    """A dual carriageway: dark asphalt, bright crash barriers along both edges and the middle, grass verges."""
    side = np.abs(across)
    ground.put(side < half + 4, deck, 0.1)
    ground.put(side < half, deck, 0.012)
    ground.put(np.abs(side - half - 0.3) < 0.7, deck + 0.5, 0.45, 1.0)
    ground.put(side < 0.6, deck + 0.5, 0.25, 0.5)


def _motorways(ground: Ground, angle: float, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    _, v = _bent_axes(n, angle, rng.uniform(4, 14), rng)
    clover = rng.random() < 0.7
    pitch = rng.uniform(120, 140) if clover else rng.uniform(95, 125)
    across = np.mod(v, pitch) - pitch / 2
    _, w = _bent_axes(n, angle + np.pi / 2 + rng.normal(0, 0.15), rng.uniform(2, 8), rng)
    other_pitch = rng.uniform(125, 165)
    other = np.mod(w, other_pitch) - other_pitch / 2
    if clover:  # one loop in each quarter of every crossing, and a slip road around it
        loop = rng.uniform(9.5, 12.5)
        centre = loop + 7
        ring = np.abs(np.hypot(np.abs(across) - centre, np.abs(other) - centre) - loop)
        slip = np.abs(np.abs(across) + np.abs(other) - 2 * centre - 1.42 * (loop + 7)) / np.sqrt(2)
        track = np.minimum(ring, slip)
        ground.put(track < 3.2, 0.0, 0.26)
        ground.put(track < 2.1, 0.0, 0.012)
    _road(ground, across, rng.uniform(7, 10), deck=np.zeros((n, n)))
    _road(ground, other, rng.uniform(5, 8), deck=2.4 * np.exp(-((across / 28) ** 2)))  # an embankment up to the bridge


def _railways(ground: Ground, angle: float, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    u, v = _bent_axes(n, angle, rng.uniform(2, 12), rng)
    pitch = rng.uniform(85, 115)
    line = np.floor(v / pitch).astype(np.int64) % _TABLE
    across = np.mod(v, pitch) - pitch / 2
    tracks = pick(rng.choice([2.0, 2.0, 4.0, 9.0], _TABLE), line)
    gauge = 4.2
    half = tracks * gauge / 2
    bed = np.abs(across) < half + 2.5
    rail = np.abs(np.mod(across + half, gauge) - gauge / 2) < 0.75
    sleepers = 0.022 * np.exp(0.35 * noise(n, 3, rng))
    ground.put(np.abs(across) < half + 4.5, 0.0, 0.26)
    ground.put(bed, 0.0, sleepers)
    ground.put(bed & rail, 0.4, 0.4, 0.5)
    mast = (np.abs(np.abs(across) - half - 1) < 0.8) & (np.mod(u, 22) < 1.2)
    ground.put(mast, 2.0, 0.5, 0.8)
    train, near, far = cells(
        u, 60, 150, rng, rows=(np.floor((across + half) / gauge).astype(np.int64) + 8 * line) % _TABLE
    )
    stands = (train % 3 == 0) & (tracks > 2) & (near > 4) & (far > 4) & (np.mod(u, 8.5) > 0.8)
    ground.put(bed & rail & stands, 1.6, 0.5, 2.0)


def _airfield(ground: Ground, angle: float, rng: np.random.Generator) -> None:
    n = ground.height.shape[0]
    u, v = rotated_axes(n, angle)
    v = v + rng.uniform(-60, 60)
    pitch = rng.uniform(100, 130)
    across = np.mod(v, pitch) - pitch / 2
    u = u + pick(rng.uniform(0, 230, _TABLE), np.floor(v / pitch).astype(np.int64))
    ground.put(np.abs(across) < 46, 0.0, 0.085 * np.exp(0.2 * noise(n, 30, rng, octaves=2)))  # mown grass
    half = rng.uniform(8, 11)
    taxi = np.abs(across - half - 19)
    link = np.abs(np.mod(u + 0.5 * across, 95) - 47) < 4
    paved = (np.abs(across) < half) | (taxi < 4) | (link & (across > 0) & (across < half + 19))
    ground.put(paved, 0.0, 0.012)
    lamps = (np.abs(np.abs(across) - half - 0.8) < 0.8) & (np.mod(u, 11) < 1.3)
    ground.put(lamps, 0.6, 0.9, 2.0)
    apron = (np.abs(across + half + 22) < 9) & (np.mod(u, 230) < 130)
    ground.put(apron, 0.0, 0.02)
    stand = np.mod(u, 17) - 8.5
    number = np.floor(u / 17).astype(np.int64)
    span, along = pick(rng.uniform(3, 7, _TABLE), number), across + half + 22 - pick(rng.uniform(-2, 2, _TABLE), number)
    body = (np.abs(stand) < 0.9) & (np.abs(along) < 1.2 * span)
    wing = (np.abs(along - 0.5 * np.abs(stand)) < 0.9) & (np.abs(stand) < span)
    ground.put(apron & (body | wing) & (pick(rng.random(_TABLE), number) < 0.5), 1.0, 0.8, 1.2)
