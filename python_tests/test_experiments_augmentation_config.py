"""What decides the augmentation study, and the trainings that it is made of."""

from pathlib import Path

import pytest

from sarcore.experiments.augmentation_config import ArmCell, AugmentationConfig, GeneratorCell
from sarcore.experiments.pretraining import PretrainingCell


def test_the_cells_of_a_study():
    config = AugmentationConfig(Path("patches"), seeds=3, generators=2)
    cells = list(config.cells({"forest": 20, "town": 0, "water": 90}))
    assert len(cells) == len({cell.name for cell in cells}) == 3 * 10 + 2 + 1
    assert cells.index(PretrainingCell()) + 1 == cells.index(GeneratorCell(None, 0))
    assert GeneratorCell(None, 0) in cells
    assert cells.index(GeneratorCell(None, 1)) < cells.index(ArmCell("gan", "largest", 1))
    assert config.generators_of(ArmCell("gan", "rarest", 2), {"forest": 20, "water": 90}) == [GeneratorCell(None, 0)]
    paper = AugmentationConfig(Path("patches"), generator="began")
    assert PretrainingCell() not in paper.cells({"forest": 20})
    assert paper.generators_of(ArmCell("gan", "all", 0), {"forest": 20, "town": 0, "water": 90}) == [
        GeneratorCell("forest", 0),
        GeneratorCell("water", 0),
    ]
    assert paper.generators_of(ArmCell("speckle", None, 0), {"forest": 20}) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"pretraining_steps": 0}, "pretraining_steps must be at least 1"),
        ({"arms": ("gan", "both")}, "arms must include flips"),
        ({"arms": ("flips", "rotations")}, "arms must be different ones of none, flips"),
        ({"targets": ("all", "all")}, "targets must be different ones of largest"),
        ({"targets": ()}, "need targets"),
        ({"test_fraction": 1.0}, "test_fraction must lie in"),
    ],
)
def test_config_is_checked(changes, says):
    with pytest.raises(ValueError, match=says):
        AugmentationConfig(Path("patches"), **changes)
