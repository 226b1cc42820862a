"""The classifier: its settings, its training step, its rates and its loss."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from sarcore.models.classifier import Classifier, ClassifierConfig
from sarcore.models.step import PlainStep


def images(n: int) -> Tensor:
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def batch(n: int = 8) -> tuple[Tensor, Tensor]:
    return images(n), torch.arange(n) % 4


def small(**overrides: Any) -> ClassifierConfig:
    return ClassifierConfig(
        **{"depth": 18, "classes": 4, "head": (16, 16), "warmup_steps": 0, "total_steps": 100, **overrides}
    )


def test_config_goes_through_json() -> None:
    config = small(head=(8,), optimizer="sgd", augment="speckle", domain="db", limits=(-25.0, 0.0))
    assert ClassifierConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="no field breadth"):
        ClassifierConfig.from_dict({"breadth": 3})
    with pytest.raises(ValueError, match="no field flips; the settings are of another version"):
        ClassifierConfig.from_dict({"flips": True})


@pytest.mark.parametrize(
    "overrides",
    [
        {"classes": 1},
        {"optimizer": "lion"},
        {"total_steps": 0},
        {"augment": "rotations"},
        {"domain": "digital"},
        {"limits": (1.0, 0.0)},
        {"limits": (-1.0, 1.0), "augment": "speckle"},
    ],
)
def test_bad_setting_is_named(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(overrides))):
        ClassifierConfig(**overrides)
    with pytest.raises(ValueError, match="data_std"):
        Classifier(small(), data_std=0.0)


@pytest.mark.parametrize("optimizer", [{"optimizer": "adamw"}, {"optimizer": "sgd", "lr": 0.05}])
def test_steps_on_a_fixed_batch_lower_the_loss(optimizer: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = Classifier(small(augment="none", **optimizer))
    step = PlainStep(model.configure_optimizers())
    series = [model.training_step(batch(), step) for _ in range(12)]
    assert set(series[0]) == {"loss", "accuracy", "lr"}
    assert float(series[-1]["loss"]) < 0.5 * float(series[0]["loss"])
    assert float(series[-1]["accuracy"]) > 0.7
    assert isinstance(series[0]["loss"], Tensor)
    assert not series[0]["loss"].requires_grad


def test_normalisation_of_the_input() -> None:
    model = Classifier(small(), data_mean=0.3, data_std=0.2).eval()
    x = images(2)
    torch.testing.assert_close(model(x), model.backbone((x - 0.3) / 0.2))


def test_predict_uses_running_statistics_and_leaves_the_model_as_it_was() -> None:
    model = Classifier(small()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = model.predict(images(3))
    torch.testing.assert_close(logits[:1], model.predict(images(3)[:1]))
    assert logits.shape == (3, 4)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_schedule_rises_then_follows_half_a_cosine() -> None:
    model = Classifier(small(lr=1.0, warmup_steps=9, total_steps=109))
    rates = [model.learning_rate(step) for step in range(130)]
    assert rates[:9] == pytest.approx([0.1 * (i + 1) for i in range(9)])
    assert rates[9] == 1.0
    assert rates[59] == pytest.approx(0.5)
    assert max(rates[109:]) == pytest.approx(0.0)
    assert all(a >= b for a, b in pairwise(rates[9:]))
    short = Classifier(small(lr=1.0, warmup_steps=50, total_steps=10))
    assert max(short.learning_rate(step) for step in range(10)) == 1.0


def test_the_scheduler_gives_each_step_its_rate_and_goes_on_from_its_state() -> None:
    model = Classifier(small())
    rates, state = [], {}
    for first in (0, 3):
        optimizers = model.configure_optimizers()
        schedulers = model.configure_schedulers(optimizers)
        for name, saved in state.items():
            optimizers["classifier"].load_state_dict(saved[0])
            schedulers[name].load_state_dict(saved[1])
        for _ in range(3):
            rates.append(model.training_step(batch(), PlainStep(optimizers))["lr"])
            schedulers["classifier"].step()
        state = {"classifier": (optimizers["classifier"].state_dict(), schedulers["classifier"].state_dict())}
        assert len(rates) == first + 3
    assert rates == pytest.approx([model.learning_rate(step) for step in range(6)], rel=1e-12)


def test_weight_decay_spares_biases_and_normalisation() -> None:
    model = Classifier(small(weight_decay=0.3))
    (optimizer,) = model.configure_optimizers().values()
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    expected = {
        id(p)
        for name, p in model.named_parameters()
        if name.endswith("weight") and "bn" not in name and "downsample.1" not in name
    }
    assert decayed == expected
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))
