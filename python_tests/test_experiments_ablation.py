"""The ablation: one cause at a time, and every cause that the presets differ in."""

from __future__ import annotations

import dataclasses

import pytest

from sarcore.experiments.ablation import ABLATION, Switch
from sarcore.models import BEGANConfig

PRESETS = {name: BEGANConfig.preset(name) for name in ("sarcore", "marmanis")}  # type: ignore[arg-type]


def test_names_are_folders_of_their_own() -> None:
    names = [switch.name for switch in ABLATION]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() for name in names)
    assert not set(names) & set(PRESETS), "the presets themselves are cells of the study, too"


@pytest.mark.parametrize("switch", ABLATION, ids=lambda switch: switch.name)
def test_a_switch_changes_its_preset_in_what_it_says_alone(switch: Switch) -> None:
    base, config = PRESETS[switch.preset], switch.config(size=20, width=4)
    differs = {f.name for f in dataclasses.fields(base) if getattr(base, f.name) != getattr(config, f.name)}
    assert differs == {*switch.changes, "size", "width"}
    assert switch.asks.endswith("?")
    assert switch.config(**{next(iter(switch.changes)): getattr(base, next(iter(switch.changes)))}) != config


def test_every_difference_of_the_presets_is_asked_about() -> None:
    sarcore, marmanis = PRESETS.values()
    differ = {f.name for f in dataclasses.fields(sarcore) if getattr(sarcore, f.name) != getattr(marmanis, f.name)}
    pace = {"lr_patience"}  # halves a rate after the end of any short study
    for preset in PRESETS:
        asked = {name for switch in ABLATION if switch.preset == preset for name in switch.changes}
        assert differ - pace <= asked
        assert {"histogram_kernel", "histogram_normalize", "speckle"} <= asked


@pytest.mark.parametrize("switch", [s for s in ABLATION if s.change in ("relu", "softplus", "raw_k", "no_l1", "l1")])
def test_swapped_settings_are_those_of_the_other_preset(switch: Switch) -> None:
    other = PRESETS["marmanis" if switch.preset == "sarcore" else "sarcore"]
    assert switch.changes == {name: getattr(other, name) for name in switch.changes}
