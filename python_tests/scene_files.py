"""Raster files of every layout, as GDAL writes them."""

import numpy as np
import rasterio
from rasterio.transform import Affine

GEO = {"crs": "EPSG:32631", "transform": Affine(20.0, 0.0, 620048.25, 0.0, -10.0, 4830114.5), "nodata": -99.0}
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "complex64", "complex128"]
LAYOUTS = {
    "strips": {"tiled": False, "blockysize": 7},
    "deflate-strips": {"tiled": False, "blockysize": 5, "compress": "deflate"},
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 16},
    "deflate-tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate", "predictor": 2},
    "lzw-planar": {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "lzw", "interleave": "band"},
    "lzw-pixel": {"tiled": False, "blockysize": 9, "compress": "lzw", "interleave": "pixel"},
    "zstd": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "zstd", "interleave": "pixel"},
    "big": {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate", "BIGTIFF": "YES"},
    "big-endian": {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate", "ENDIANNESS": "BIG"},
    "big-endian-plain": {"tiled": False, "ENDIANNESS": "BIG", "interleave": "pixel"},
}


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)


def write(path, pixels, **options):
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels.dtype.name,
    } | options
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
    return path
