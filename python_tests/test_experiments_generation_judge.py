"""What generated patches are scored by: the feature space, the held-out patches, and the floors beside them."""

import pytest
import torch

from sarcore.data import PatchFolder, read_image, split_by_scene, write_simulated
from sarcore.engine import save_checkpoint
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments.drawing import draw_patches
from sarcore.experiments.generation_judge import Judge
from sarcore.experiments.generation_scenario import GENERATED, ScenarioJudge, shown
from sarcore.experiments.generation_space import Space
from sarcore.experiments.patches import PatchTensor, ScenarioPatches, encoded, in_memory, to_uint8
from sarcore.experiments.progress import Silent
from sarcore.experiments.set_scores import BETTER
from sarcore.metrics import estimate_looks, frechet_distance, histogram_density, histogram_emd, kernel_distance
from sarcore.models import BEGAN, BEGANConfig, Classifier, ClassifierConfig
from sarcore.ops import Radiometry, resample, speckle

LIMITS = 24, 2  # samples and repeats


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Patches of two classes of other scenes each: to learn from, and held out."""
    root = tmp_path_factory.mktemp("judge")
    found = []
    for seed in (1, 2):
        folder = PatchFolder.open(
            write_simulated(root / str(seed), scenes_per_class=3, patches_per_scene_side=2, size=40, seed=seed)
        )
        keep = [i for i, label in enumerate(folder.labels.tolist()) if folder.classes[label] in ("settlement", "water")]
        found.append(folder.subset(keep))
    return found


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """An untrained classifier: a feature space is one whatever it knows."""
    torch.manual_seed(0)
    config = ClassifierConfig(depth=18, width=4, head=(8,), limits=(0.0, 255.0), classes=len(folders[0].classes))
    meta = {"kind": "classifier", "config": config.to_dict(), "classes": folders[0].classes}
    meta |= {"radiometry": folders[0].radiometry.to_dict(), "shape": [1, 40, 40]}
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder, 1, Classifier(config, data_mean=0.4, data_std=0.2), {}, meta)
    return folder


def space_of(run, folders):
    return Space(run, folders[0].radiometry, 1, folders[0].classes)


@pytest.fixture(scope="module")
def space(run, folders):
    return space_of(run, folders)


@pytest.fixture(scope="module")
def parts(folders):
    return tuple(in_memory(folder) for folder in folders)


def known(space, patches, scenario="hard"):
    return space.know(ScenarioPatches(patches, scenario), patches.labels, "patches", Silent())


@pytest.fixture(scope="module")
def judge(space, parts):
    return Judge(space, known(space, parts[0]), known(space, parts[1]), samples=LIMITS[0], repeats=LIMITS[1])


def made_of(images, labels):
    return PatchTensor(to_uint8(images), labels, GENERATED)


# --- the scores and their floors ---


def test_the_held_out_patches_themselves_are_at_no_distance(judge):
    found = judge.scores(judge.held_out)
    assert list(found) == list(BETTER)
    for name in ("fid", "histogram_emd", "spectrum_db", "autocorrelation", "enl_error"):
        assert found[name]["value"] == pytest.approx(0.0, abs=1e-5), name
    assert (found["precision"]["value"], found["coverage"]["value"]) == (1.0, 1.0)


def test_scores_are_those_of_the_measures_and_of_the_draws(judge, parts):
    """All 24 patches of both sides are compared in every draw, so the draws change nothing and deviate by rounding."""
    made = known(judge.space, made_of(encoded(parts[0]) * 0.5, parts[0].labels))
    found = judge.scores(made)
    unit = judge.held_out.features.double().square().mean().sqrt()
    sets = judge.held_out.features / unit, made.features / unit
    assert found["fid"]["value"] == pytest.approx(frechet_distance(*sets), rel=1e-4)
    assert found["kid"]["value"] == pytest.approx(kernel_distance(*sets), rel=1e-6)
    assert found["kid"]["deviation"] < 1e-6 * abs(found["kid"]["value"])
    grey = [histogram_density(images, bins=256) / 256 for images in (encoded(parts[1]), encoded(made.images.patches))]
    assert found["histogram_emd"]["value"] == pytest.approx(histogram_emd(*grey), rel=0.02)


def test_the_floor_is_the_training_patches_against_the_held_out_ones(judge):
    floors = judge.floors()
    assert floors["other_scenes"] == judge.scores(judge.train)
    source, values = torch.Generator().manual_seed(0), []
    both = torch.cat([judge.held_out.features, judge.train.features])
    for _ in range(LIMITS[1]):
        order = torch.randperm(48, generator=source)
        halves = [half.sort().values for half in (order[:24], order[24:])]  # the order in a half changes no score
        unit = both[halves[0]].double().square().mean().sqrt()
        values.append(kernel_distance(both[halves[0]] / unit, both[halves[1]] / unit))
    assert floors["halves"]["kid"]["value"] == pytest.approx(sum(values) / 2, rel=1e-6)


def test_worse_patches_score_worse(judge, parts):
    flat = known(judge.space, made_of(torch.full((24, 1, 40, 40), 0.3), parts[0].labels))
    found, floor = judge.scores(flat), judge.floors()["other_scenes"]
    for name in ("kid", "fid", "histogram_emd"):
        assert found[name]["value"] > 2 * floor[name]["value"], name
    assert found["enl_error"]["value"] is None  # constant patches have no number of looks
    assert judge.looks(flat) is None


def test_looks_are_those_of_the_physical_values(space, parts):
    amplitude = speckle(torch.full((24, 1, 40, 40), 0.3), 9.0, seed=3, domain="amplitude")
    made = known(space, made_of(amplitude, parts[0].labels))
    judge = Judge(space, made, made, samples=24, repeats=1)
    assert judge.looks(made) == pytest.approx(9.0, rel=0.1)
    assert judge.looks(made) == pytest.approx(estimate_looks(255.0 * amplitude, domain="amplitude"), rel=0.02)


def test_copies_of_training_patches_are_found(judge, parts):
    copies = known(judge.space, made_of(encoded(parts[0]), parts[0].labels))
    found = judge.memorisation(copies)
    assert found["ratio"] < 0.05
    assert found["closer_share"] == 1.0
    assert all(made == train for made, train, _ in found["pairs"])


def test_too_few_patches_are_refused(space, parts):
    few = known(space, PatchTensor(parts[0].images[:5], parts[0].labels[:5], parts[0].radiometry))
    with pytest.raises(
        DataError, match=r"24 real patches to learn from, 5 held out and 24 .*too few.*at least 6 of each"
    ):
        Judge(space, known(space, parts[0]), few, samples=24, repeats=1)


# --- the feature space ---


def test_classes_are_those_of_the_classifier(space, run, parts):
    from sarcore.experiments.runs import chosen_weights

    meta, state = chosen_weights(run, "classifier")
    model = Classifier(ClassifierConfig.from_dict(meta["config"]))
    model.load_state_dict(state)
    expected = model.eval().predict(encoded(parts[0])).argmax(1)
    found = space.classified(known(space, parts[0]))
    assert torch.equal(space.classify(known(space, parts[0]).features), expected)
    counts = {name: float((expected == i).float().mean()) for i, name in enumerate(space.names)}
    assert found["shares"] == pytest.approx(counts)
    right = [float((expected[parts[0].labels == i] == i).float().mean()) for i in parts[0].labels.unique().tolist()]
    assert list(found["right"].values()) == pytest.approx(right)
    assert found["balanced"] == pytest.approx(sum(right) / 2)


def test_classes_in_another_order_are_found_by_their_names(space, run, folders, parts):
    turned = Space(run, folders[0].radiometry, 1, folders[0].classes[::-1])
    labels = len(folders[0].classes) - 1 - parts[0].labels
    turned_known = turned.know(ScenarioPatches(parts[0], "hard"), labels, "patches", Silent())
    assert turned.classified(turned_known) == {
        **space.classified(known(space, parts[0])),
        "shares": {name: space.classified(known(space, parts[0]))["shares"][name] for name in turned.names},
    }
    other = Space(run, folders[0].radiometry, 1, ["moon"])
    assert other.classified(turned_known) is None


def test_a_classifier_of_other_patches_is_refused(run, folders):
    with pytest.raises(SarcoreError, match=r"radiometry .* leave out --features to train a classifier"):
        Space(run, Radiometry("amplitude", 0.0, 100.0), 1, folders[0].classes)
    with pytest.raises(SarcoreError, match="1 channels .* these have 2"):
        Space(run, folders[0].radiometry, 2, folders[0].classes)


# --- a scenario ---


@pytest.fixture(scope="module")
def simple(space, parts):
    return ScenarioJudge(space, parts, "simple", "bicubic", LIMITS, Silent())


def test_patches_of_half_the_side_are_scored_at_both_sizes(simple, space, parts):
    made = made_of(torch.rand(24, 1, 20, 20, generator=torch.Generator().manual_seed(0)), parts[0].labels)
    found = simple.judge(made)
    large = resample(encoded(made), 40, mode="bicubic", range=(0.0, 1.0))
    enlarged = space.features.embed([large]).values
    whole_ones = known(space, parts[1]).features
    unit = whole_ones.square().mean().sqrt()
    assert found["used"]["fid"]["value"] == pytest.approx(
        frechet_distance(whole_ones / unit, enlarged / unit), rel=1e-3
    )
    assert found["scores"]["fid"]["value"] != found["used"]["fid"]["value"]
    floors = simple.floors()
    assert set(floors["used"]) == {"other_scenes", "halves", "prepared"}
    assert (floors["n"], floors["size"]) == (24, 20)
    whole = ScenarioJudge(space, parts, "hard", "bicubic", LIMITS, Silent())
    assert whole.floors()["own"]["other_scenes"] == floors["used"]["other_scenes"]
    assert "used" not in whole.judge(made_of(encoded(parts[0]), parts[0].labels))
    assert floors["used"]["prepared"]["spectrum_db"]["value"] > floors["used"]["other_scenes"]["spectrum_db"]["value"]


def test_a_conditional_model_draws_the_classes_in_their_shares(simple, parts):
    config = BEGANConfig(size=20, width=4, classes=7)
    torch.manual_seed(0)
    model = BEGAN(config).eval()
    made = simple.draw(model, seed=5)
    labels = parts[0].labels.unique().tolist()
    assert made.labels.tolist() == [labels[0]] * 12 + [labels[1]] * 12
    assert torch.equal(made.images[12:], draw_patches(model, 12, 20, label=labels[1], seed=5))
    plain = simple.draw(BEGAN(BEGANConfig(size=20, width=4)).eval(), seed=5)
    assert plain.labels.unique().tolist() == [-1]


def test_pictures_have_a_row_of_each_class(simple, parts, tmp_path):
    simple.show_real(tmp_path)
    assert read_image(tmp_path / "real.png").shape == (1, 2 + 2 * 22, 2 + 4 * 22)
    assert read_image(tmp_path / "real_used.png").shape == (1, 2 + 2 * 42, 2 + 4 * 42)
    simple.show_made(made_of(torch.rand(24, 1, 20, 20), torch.full((24,), -1)), tmp_path)
    assert read_image(tmp_path / "generated.png").shape == (1, 2 + 6 * 22, 2 + 4 * 22)
    numbers = shown(parts[1].labels)
    assert parts[1].labels[numbers].tolist() == sorted(parts[1].labels[numbers].tolist())


def test_real_patches_of_other_scenes_are_near_and_shrunk_ones_are_not(run, test_data):
    """Sentinel-1: other scenes agree in grey values, spectrum and looks; enlarged crops have lost their speckle."""
    if not (test_data / "terrain160").is_dir():
        pytest.skip(f"no terrain160 in {test_data}")
    folder = PatchFolder.open(test_data / "terrain160")
    split = split_by_scene(folder, (0.7, 0.0, 0.3), seed=0)
    parts = tuple(in_memory(folder.subset(part[::10])) for part in (split.train, split.test))
    space = Space(run, folder.radiometry, 1, folder.classes)
    floors = ScenarioJudge(space, parts, "simple", "bicubic", (25, 1), Silent()).floors()["used"]
    real, shrunk = ({n: v["value"] for n, v in floors[k].items()} for k in ("other_scenes", "prepared"))
    assert real["histogram_emd"] < 0.05
    assert real["spectrum_db"] < 1.0 < 5.0 < shrunk["spectrum_db"]
    assert real["enl_error"] < 0.2 < 0.3 < shrunk["enl_error"]
