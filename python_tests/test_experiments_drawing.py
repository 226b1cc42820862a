"""What is drawn from generators of both kinds, and the sets made of it."""

import dataclasses
import json

import pytest
import torch

from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import FitConfig, save_checkpoint
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments.drawing import class_seed, draw_patches, drawn, load_generator
from sarcore.experiments.generation import train_began
from sarcore.experiments.patches import to_uint8
from sarcore.experiments.progress import Silent
from sarcore.experiments.synthetic import generate_folder, parts, shares
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.models import BEGAN, GAN, BEGANConfig, GANConfig
from sarcore.ops import resample

CLASSES = ["forest", "settlement", "water"]
SPECKLED = {"speckle": "fixed", "looks": 4.0, "domain": "amplitude", "limits": (0.0, 255.0)}


def began(**changes):
    torch.manual_seed(0)
    return BEGAN(BEGANConfig.preset("sarcore", size=20, width=4, **changes)).eval()


def gan(**changes):
    """One whose classes and latent vectors show, as those of a network that has learnt do."""
    torch.manual_seed(0)
    model = GAN(GANConfig(size=20, width=4, **changes)).eval()
    with torch.no_grad():
        model.generator.to_log.weight.mul_(20.0)
    return model


MODELS = {
    "began": (began, {}),
    "conditional began": (began, {"classes": 3, **SPECKLED}),
    "gan": (gan, {"oversampling": 3.2, **SPECKLED}),
    "conditional gan": (gan, {"classes": 3}),
}


@pytest.fixture(params=MODELS)
def model(request):
    make, changes = MODELS[request.param]
    return make(**changes)


def label_of(model):
    return 1 if model.config.classes else None


def saved(model, folder, kind="began", classes=CLASSES):
    """A run with the model as its only checkpoint."""
    meta = {
        "kind": kind,
        "config": model.config.to_dict(),
        "classes": classes,
        "patch_size": 40,
        "radiometry": {"unit": "digital", "low": 0.0, "high": 255.0},
        "training": {"scenario": "simple", "data": "somewhere"},
    }
    save_checkpoint(folder, 7, model, {}, meta)
    return folder


def nearly_equal(first, second):
    """But for sums in other orders, which may cross the middle between two grey values."""
    different = (first.int() - second.int()).abs()
    return bool(different.max() <= 1 and different.double().mean() < 0.01)


def test_a_patch_follows_from_its_number_alone(model):
    label = label_of(model)
    many = draw_patches(model, 70, 20, label=label, seed=3)
    assert many.shape == (70, 1, 20, 20)
    assert many.dtype == torch.uint8
    for count in (1, 33, 64):
        assert nearly_equal(draw_patches(model, count, 20, label=label, seed=3), many[:count])
    source, own = torch.Generator().manual_seed(class_seed(3, label)), class_seed(3, label)
    z = torch.cat([model.latent(32, source) for _ in range(3)])[:70]
    labels = None if label is None else torch.full((70,), label)
    assert nearly_equal(to_uint8(model.generate(z, labels, seed=own, index=torch.arange(70))), many)
    assert not torch.equal(draw_patches(model, 70, 20, label=label, seed=4), many)
    assert len(many.flatten(1).unique(dim=0)) == 70


def test_patches_are_upsampled_and_rounded(model):
    label = label_of(model)
    small, large = (draw_patches(model, 3, size, "bilinear", label=label) for size in (20, 40))
    assert large.shape == (3, 1, 40, 40)
    expected = to_uint8(resample(small.float() / 255.0, 40, mode="bilinear", range=(0.0, 1.0)))
    assert (large.int() - expected.int()).abs().max() <= 1  # of values that are rounded once more
    with pytest.raises(ValueError, match="patches of side 20; ask for at least that, not 16"):
        draw_patches(model, 1, 16, label=label)


def test_classes_share_neither_latent_vectors_nor_speckle():
    model = began(classes=3, **SPECKLED)
    with torch.no_grad():  # reflectivity that is the same everywhere, for every class and latent vector
        model.generator.to_image.weight.zero_()
    first, second = (draw_patches(model, 8, 20, label=label).double().flatten(1) for label in (0, 1))
    correlation = torch.corrcoef(torch.cat([first, second]))
    assert correlation.fill_diagonal_(0.0).abs().max() < 0.25  # of 400 independent pixels: 0.05 by chance


def test_labels_that_the_model_does_not_have_are_refused():
    plain, conditional = began(), began(classes=3)
    with pytest.raises(ValueError, match="3 classes; give the label of one, 0 to 2"):
        draw_patches(conditional, 1, 20)
    for label in (-1, 3):
        with pytest.raises(ValueError, match=f"label is {label}, and the model has the labels 0 to 2"):
            draw_patches(conditional, 1, 20, label=label)
    with pytest.raises(ValueError, match="knows no classes, leave the label out"):
        draw_patches(plain, 1, 20, label=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        draw_patches(plain, 1, 20, seed=-1)


def test_values_that_are_not_finite_never_become_grey_values():
    model = began()
    with torch.no_grad():
        model.generator.to_image.bias.fill_(float("nan"))
    with pytest.raises(SarcoreError, match="not finite"):
        next(drawn(model, 1, 20))


def test_a_saved_generator_draws_what_it_drew(model, tmp_path):
    loaded, meta = load_generator(saved(model, tmp_path / "run", kind(model)))
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert meta["step"] == 7
    label = label_of(model)
    assert torch.equal(draw_patches(loaded, 5, 20, label=label), draw_patches(model, 5, 20, label=label))


def kind(model):
    return type(model).__name__.lower()


def test_a_run_of_another_kind_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is a checkpoint of classifier, began or gan was expected"):
        load_generator(saved(began(), tmp_path / "run", "classifier"))


def test_a_set_of_all_classes_is_ready_to_train_on(tmp_path):
    model = began(classes=3, **SPECKLED)
    run = saved(model, tmp_path / "run")
    info = generate_folder(run, tmp_path / "set", 20, Silent(), filter="bilinear", seed=5)
    assert info["classes"] == {"forest": 7, "settlement": 7, "water": 6}
    folder = PatchFolder.open(tmp_path / "set")
    assert (folder.synthetic, folder.shape, folder.classes) == (True, (1, 40, 40), CLASSES)
    for label, name in enumerate(CLASSES):
        expected = draw_patches(model, info["classes"][name], 40, "bilinear", label=label, seed=5)
        assert torch.equal(folder.of_class(name).arrays()[0], expected)
    # A class by itself has the patches that it has among the others.
    generate_folder(run, tmp_path / "one", 3, Silent(), classes=("water",), filter="bilinear", seed=5)
    alone = PatchFolder.open(tmp_path / "one")
    assert alone.classes == ["water"]
    assert torch.equal(alone.arrays()[0], folder.of_class("water").arrays()[0][:3])
    divided = generate_folder(run, tmp_path / "divided", 5, Silent(), classes=("water=4", "forest"))
    assert divided["classes"] == {"water": 4, "forest": 1}


def test_the_card_names_model_seed_and_settings(tmp_path):
    run = saved(began(), tmp_path / "run")
    info = generate_folder(run, tmp_path / "set", 2, Silent(), filter="lanczos", size=30, seed=9)
    card = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert {**card, "seconds": info["seconds"]} == info
    checkpoint = run / "checkpoints" / "step_000007"
    digest = json.loads((checkpoint / "meta.json").read_text())["sha256"]["weights.safetensors"]
    assert card["model"] == {
        "kind": "began",
        "checkpoint": str(checkpoint),
        "step": 7,
        "running_mean": False,
        "sha256": digest,
    }
    assert (card["seed"], card["filter"], card["size"], card["generated_size"]) == (9, "lanczos", 30, 20)
    assert (card["scenario"], card["training"]["data"]) == ("simple", "somewhere")
    assert f"synthetic: began {digest[:12]} seed 9" in (tmp_path / "set" / "labels.csv").read_text()
    assert card["classes"] == {"generated": 2}  # learnt together, without their names


def test_shares_and_counts():
    assert shares([], CLASSES) == shares(["all"], CLASSES) == dict.fromkeys(CLASSES, 1.0)
    assert shares(["all"], ["all", "none"]) == {"all": 1.0}
    assert shares(["a=2"], ["a=2", "a"]) == {"a=2": 1.0}
    with pytest.raises(DataError, match="no class 'sea': the generator knows forest, settlement, water"):
        shares(["sea"], CLASSES)
    with pytest.raises(DataError, match="no class 'water': the generator was trained without classes"):
        shares(["water"], ["generated"])
    with pytest.raises(ValueError, match="water is given twice"):
        shares(["water", "water=2"], CLASSES)
    for share in ("0", "-1", "nan", "inf", "much", ""):
        with pytest.raises(ValueError, match=f"the share of water is '?{share}'?; give a number above 0"):
            shares([f"water={share}"], CLASSES)
    for count in (7, 8, 100):
        found = parts(count, {"a": 1.0, "b": 2.5, "c": 2.5})
        assert sum(found.values()) == count
        assert all(
            abs(found[name] - count * share / 6.0) < 1 for name, share in zip("abc", (1.0, 2.5, 2.5), strict=True)
        )
    with pytest.raises(ValueError, match="count is 2, of which c would get none"):
        parts(2, {"a": 1.0, "b": 1.0, "c": 1.0})


def test_nothing_is_left_of_a_set_that_cannot_be_made(tmp_path):
    run = saved(began(classes=3), tmp_path / "run")
    with pytest.raises(ValueError, match="of side 20"):
        generate_folder(run, tmp_path / "out", 3, Silent(), size=16)
    with pytest.raises(ValueError, match="count is 0, of which forest, settlement, water"):
        generate_folder(run, tmp_path / "out", 0, Silent())
    with pytest.raises(DataError, match="no class 'sea'"):
        generate_folder(run, tmp_path / "out", 3, Silent(), classes=("sea",))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    generate_folder(run, tmp_path / "out", 3, Silent())
    with pytest.raises(DataError, match="not an empty folder"):
        generate_folder(run, tmp_path / "out", 3, Silent())


def test_a_training_of_one_class_names_its_patches(tmp_path):
    data = write_simulated(tmp_path / "set", scenes_per_class=2, patches_per_scene_side=2, size=32)
    small = {"model": BEGANConfig.preset("sarcore", width=4), "fit": FitConfig(steps=2, batch_size=4)}
    config = TrainBegan(data, class_name="water", scenario="intermediate", **small)
    train_began(config, tmp_path / "run", Silent())
    train_began(dataclasses.replace(config, class_name=None), tmp_path / "other", Silent())
    assert generate_folder(tmp_path / "run", tmp_path / "a", 2, Silent())["classes"] == {"water": 2}
    assert PatchFolder.open(tmp_path / "a").shape == (1, 32, 32)
    assert generate_folder(tmp_path / "other", tmp_path / "b", 2, Silent())["classes"] == {"generated": 2}
