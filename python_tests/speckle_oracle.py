"""Speckle in NumPy: Philox on 64-bit integers and the formulas of the papers in float64, written without the kernels.

Only the step from words to uniforms follows the code to the bit (31 bits, as float32): it defines the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SPECKLE, TEXTURE, WAVES, REMAINDER = range(4)  # purposes of a draw
BOOST = 0x3FFF
LOW = np.uint64(0xFFFFFFFF)


def philox(counter: Any, key: tuple[int, int]) -> np.ndarray:
    """Philox4x32-10 of Salmon et al., SC 2011: counters (4, ...) to words (4, ...)."""
    c = [np.asarray(part, dtype=np.uint64) & LOW for part in counter]
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> np.uint64(32)) ^ c[1] ^ k0, q & LOW, (p >> np.uint64(32)) ^ c[3] ^ k1, p & LOW]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & LOW, (k1 + np.uint64(0xBB67AE85)) & LOW
    return np.stack(np.broadcast_arrays(*c))


def uniform(words: np.ndarray) -> np.ndarray:
    """31 bits in (0, 1), rounded to float32."""
    v = (words >> np.uint64(1)).astype(np.int64).astype(np.float32) + np.float32(1)
    return np.minimum(v, np.float32(2**31 - 128)).astype(np.float64) / 2**31


def box_muller(words: np.ndarray) -> np.ndarray:
    """Normals of the four lanes from the four words of their draw, (4, ...)."""
    radius = np.sqrt(-2 * np.log(uniform(words[[0, 0, 2, 2]])))
    angle = 2 * np.pi * words[[1, 1, 3, 3]].astype(np.float64) / 2**32
    return radius * np.stack([np.cos(angle[0]), np.sin(angle[1]), np.cos(angle[2]), np.sin(angle[3])])


@dataclass
class Scene:
    """One channel of one image: draws for the pixels of a window whose first pixel stands at (y, x)."""

    seed: int
    image: int
    channel: int
    y: int
    x: int
    height: int
    width: int

    def draw(self, purpose: int, number: int, border: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
        """The draw's words (4, H, W) of the quad that each pixel is in, and the pixel's lane (W,)."""
        rows = np.arange(self.y - border[0], self.y + self.height + border[0])[:, None]
        columns = np.arange(self.x - border[1], self.x + self.width + border[1])[None, :]
        tail = (self.channel << 16) | (purpose << 14) | number
        counter = ((columns // 4) % 2**32, rows % 2**32, self.image, tail)
        words = philox(counter, (self.seed % 2**32, self.seed >> 32))
        return np.broadcast_to(words, (4, rows.size, columns.size)), columns[0] % 4

    def words(self, purpose: int, number: int) -> np.ndarray:
        """One word per pixel."""
        words, lane = self.draw(purpose, number)
        return np.take_along_axis(words, np.broadcast_to(lane, words.shape[1:])[None], 0)[0]

    def normals(self, purpose: int, number: int, border: tuple[int, int] = (0, 0)) -> np.ndarray:
        words, lane = self.draw(purpose, number, border)
        values = box_muller(words)
        return np.take_along_axis(values, np.broadcast_to(lane, words.shape[1:])[None], 0)[0]

    def gamma(self, shape: float, purpose: int) -> np.ndarray:
        """Gamma variables of unit scale."""
        if shape in range(1, 9):
            return -sum(np.log(uniform(self.words(purpose, f))) for f in range(int(shape)))
        if shape < 1:
            return self.tsang(shape + 1, purpose) * uniform(self.words(purpose, BOOST)) ** (1 / shape)
        return self.tsang(shape, purpose)

    def tsang(self, shape: float, purpose: int) -> np.ndarray:
        """Marsaglia and Tsang, ACM TOMS 26(3), 2000, with the paper's own condition."""
        d = shape - 1 / 3
        c = 1 / np.sqrt(9 * d)
        out = np.full((self.height, self.width), np.nan)
        for attempt in range(100):
            n, u = self.normals(purpose, 2 * attempt), uniform(self.words(purpose, 2 * attempt + 1))
            v = (1 + c * n) ** 3
            with np.errstate(invalid="ignore", divide="ignore"):
                accepted = (v > 0) & (np.log(u) < 0.5 * n**2 + d - d * v + d * np.log(np.where(v > 0, v, np.nan)))
            out = np.where(np.isnan(out) & accepted, d * v, out)
            if not np.isnan(out).any():
                return out
        raise AssertionError("a hundred rejections")

    def wave(self, number: int, taps_y: np.ndarray, taps_x: np.ndarray) -> np.ndarray:
        """A field of standard normals, correlated by taps of unit energy."""
        normals = self.normals(WAVES, number, (len(taps_y) // 2, len(taps_x) // 2))
        down = sum(t * normals[k : k + self.height] for k, t in enumerate(taps_y))
        return sum(t * down[:, k : k + self.width] for k, t in enumerate(taps_x))

    def intensity(self, looks: float, texture: float | None, taps: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
        if taps is None:
            g = self.gamma(looks, SPECKLE) / looks
        else:
            waves = int(2 * looks)
            g = 0.5 * sum(self.wave(i, *taps) ** 2 for i in range(waves))
            rest = looks - waves / 2
            g = (g + (self.gamma(rest, REMAINDER) if rest else 0)) / looks
        return g if texture is None else g * self.gamma(texture, TEXTURE) / texture

    def complex(self, texture: float | None, taps: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
        scale = 1.0 if texture is None else np.sqrt(self.gamma(texture, TEXTURE) / texture)
        if taps is not None:
            return scale * np.sqrt(0.5) * (self.wave(0, *taps) + 1j * self.wave(1, *taps))
        angle = 2 * np.pi * self.words(SPECKLE, 1).astype(np.float64) / 2**32
        return scale * np.sqrt(-np.log(uniform(self.words(SPECKLE, 0)))) * np.exp(1j * angle)


def field(
    shape: tuple[int, int, int, int],
    looks: float,
    seed: int,
    domain: str = "intensity",
    texture: float | None = None,
    taps: tuple[np.ndarray, np.ndarray] | None = None,
    index: int = 0,
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """What speckle_field gives, in float64. taps: (along y, along x), any energy above 0."""
    unit = None if taps is None else tuple(np.asarray(t) / np.sqrt(np.sum(np.square(t))) for t in taps)
    out = []
    for image in range(shape[0]):
        for channel in range(shape[1]):
            scene = Scene(seed, index + image, channel, *origin, *shape[2:])
            if domain == "complex":
                out.append(scene.complex(texture, unit))
                continue
            g = scene.intensity(looks, texture, unit)
            out.append({"amplitude": np.sqrt, "db": lambda g: 10 * np.log10(g), "log": np.log}.get(domain, np.abs)(g))
    return np.stack(out).reshape(shape)
