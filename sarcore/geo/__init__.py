"""From two satellites' files to images on one grid: search, download, crop, warp, stitch, register."""
