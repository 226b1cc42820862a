"""What the generators of the studies of classifiers share."""

import numpy as np
import pytest

from sarcore.data import write_image
from sarcore.errors import DataError
from sarcore.experiments.augmentation import run_augmentation
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.curve import run_curve
from sarcore.experiments.curve_config import CurveConfig
from sarcore.experiments.progress import Silent


def patches(folder, shape):
    for name in ("forest", "water"):
        for number in range(4):
            target = folder / name / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(target, np.full((1, *shape), 10 * number, dtype=np.uint8))
    return folder


@pytest.mark.parametrize(
    ("shape", "error", "says"),
    [((24, 20), DataError, "24x20; a generator needs square patches"), ((37, 37), ValueError, "size 37 is not base")],
)
@pytest.mark.parametrize(("run", "config"), [(run_curve, CurveConfig), (run_augmentation, AugmentationConfig)])
def test_patches_that_no_gan_takes_are_refused_before_anything_is_written(tmp_path, run, config, shape, error, says):
    data = patches(tmp_path / "data", shape)
    with pytest.raises(error, match=says):
        run(config(data, arms=("flips", "gan")), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()
