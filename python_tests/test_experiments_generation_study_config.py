"""What decides the study of generation, and the trainings that it is made of."""

from dataclasses import replace
from pathlib import Path

import pytest

from sarcore.experiments.ablation import ABLATION
from sarcore.experiments.generation_study_config import Cell, GenerationStudyConfig


def study(**changes) -> GenerationStudyConfig:
    given = {"scenarios": ("hard", "simple"), "began_width": 4, **changes}
    return GenerationStudyConfig(Path("patches"), **given)


def test_only_our_presets_learn_classes_in_one_model():
    config = study(presets=("sarcore", "marmanis", "gan"), began_speckle="learned")
    trainings = {cell.preset: config.training(cell) for cell in config.generators()}
    assert [trainings[name].conditional for name in ("sarcore", "marmanis")] == [True, False]
    assert (trainings["sarcore"].model.speckle, trainings["marmanis"].model.speckle) == ("learned", "none")
    assert not config.training(Cell("hard", "gan")).unconditional
    alone = study(unconditional=True)
    assert not alone.training(Cell("hard", "sarcore")).conditional
    assert alone.training(Cell("hard", "gan")).unconditional


def test_the_ablation_changes_one_thing_at_a_time():
    config = study(presets=("sarcore", "marmanis"), seeds=2, ablation=True, ablation_seeds=1)
    cells = list(config.cells())
    changed = [cell for cell in cells if cell.variant]
    assert len(cells) == 2 * 2 * 2 + len(changed)
    assert len(changed) == len(ABLATION)
    assert {(cell.scenario, cell.seed) for cell in changed} == {("hard", 0)}
    relu = next(cell for cell in changed if cell.arm == "hard/sarcore-relu")
    one, base = config.training(relu), config.training(relu.base)
    assert replace(one, model=base.model) == base
    assert replace(one.model, output=base.model.output) == base.model
    assert (one.model.output, one.model.width) == ("relu", 4)
    chosen = study(presets=("sarcore",), ablation=True, ablation_changes=("relu", "speckle"), began_speckle="fixed")
    assert [cell.variant for cell in chosen.cells() if cell.variant] == ["relu"]  # speckle is no change there
    with pytest.raises(ValueError, match="ablation_changes must be some of bias, .*, got moon"):
        study(ablation_changes=("moon",))
    with pytest.raises(ValueError, match="ablation_scenario must be one of the scenarios, hard, simple"):
        study(ablation=True, ablation_scenario="intermediate")
