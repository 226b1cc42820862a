"""Small georeferenced files."""

import numpy as np
import rasterio
from rasterio.transform import Affine

UTM = (10, 0, 500000, 0, -10, 3900000)


def write_geotiff(path, pixels, crs="EPSG:32654", transform=UTM, nodata=None, mask=None, **profile):
    """A GeoTIFF of (H, W) or (C, H, W) pixels."""
    pixels = np.asarray(pixels)
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    count, height, width = pixels.shape
    profile |= {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "height": height, "width": width}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", crs=crs, transform=Affine(*transform), nodata=nodata, **profile) as out,
    ):
        out.write(pixels)
        if mask is not None:
            out.write_mask(mask)
    return path


def pixels_of(path):
    """Pixels (C, H, W) and validity (H, W)."""
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0
