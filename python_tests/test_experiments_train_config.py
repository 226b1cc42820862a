"""Settings of a training: files, presets and the command line, and what is refused."""

import dataclasses
import re
from pathlib import Path

import pytest

from sarcore.cli import main
from sarcore.engine import FitConfig
from sarcore.errors import SarcoreError
from sarcore.experiments import classification, generation, translation
from sarcore.experiments.train_config import (
    build,
    layered,
    read_config,
    write_config,
)
from sarcore.experiments.train_kinds import KINDS, TrainBegan, TrainClassifier, TrainCycleGAN, TrainPix2Pix
from sarcore.models import BEGANConfig, ClassifierConfig, CycleGANConfig, Pix2PixConfig

BEGAN = TrainBegan(
    Path("/patches"),
    "forest",
    "hard",
    "marmanis",
    0.25,
    BEGANConfig.preset("marmanis", width=12, latent=5, output="linear", skip_h0=False, betas=(0.25, 0.75), lr=1e-3),
    FitConfig(7, 6, 3, 1.5, 0.5, 9, "bf16-mixed", "cpu", True, True, True, 2, 3, 4, 5, 6, 7, 8, 9),
)
CLASSIFIER = TrainClassifier(
    Path("/patches"), Path("/split.json"), "weights.pth", 0.0, 0.5,
    ClassifierConfig(depth=18, head=(), optimizer="sgd", lr=0.5, augment="speckle", speckle_looks=(2.0, 3.0)),
    FitConfig(steps=1),
)  # fmt: skip
CYCLEGAN = TrainCycleGAN(
    Path("/pairs"), Path("/pairs.csv"), "sorabatake", 64, False, 0.2,
    CycleGANConfig.preset("sorabatake", width=8, speckle_looks=4.5, learn_looks=True, lambda_identity=0.25),
    FitConfig(steps=1),
)  # fmt: skip
PIX2PIX = TrainPix2Pix(
    Path("/pairs"), None, "junyanz", model=Pix2PixConfig.preset("junyanz", direction="BtoA", lambda_l1=7.0),
    fit=FitConfig(steps=1),
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """The settings that the commands ask the experiments for."""
    seen = []

    def train(config, out, progress, **more):
        seen.append({"config": config, "out": out, **more})
        return {"steps": 1, "images_per_second": 1.0, "stopped_early": False, "best": None, "classes": []}

    monkeypatch.setattr(generation, "train_began", train)
    monkeypatch.setattr(classification, "train_classifier", train)
    monkeypatch.setattr(translation, "train_translation", train)
    return seen


def error_of(capsys):
    """What the command said on stderr, its box and line breaks removed."""
    return re.sub(r"([\s│|╭╮╰╯─+]|-{3,})+", " ", capsys.readouterr().err).strip()


# --- files ---


@pytest.mark.parametrize("config", [BEGAN, CLASSIFIER, CYCLEGAN, PIX2PIX, *(cls(Path("/x")) for cls in KINDS.values())])
def test_a_written_file_gives_the_same_settings(config, tmp_path):
    kind, values = read_config(write_config(tmp_path, config))
    assert build(KINDS[kind], layered(kind, values)) == config


def test_every_setting_of_the_example_differs_from_its_default():
    default = TrainBegan(Path())
    assert all(getattr(BEGAN.fit, f.name) != getattr(default.fit, f.name) for f in dataclasses.fields(FitConfig))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[fit]\nstpes = 5", r"\[fit\] has no field 'stpes'; did you mean 'steps'\?"),
        ("[model]\nwidht = 5", r"\[model\] has no field 'widht'; did you mean 'width'\?"),
        ("[model]\nbatch_size = 5", r"\[model\] has no field 'batch_size'; it belongs to \[fit\]"),
        ("[model]\nbatchsize = 5", r"did you mean 'batch_size' of \[fit\]\?"),
        ("[fit]\nscenario = 'hard'", r"\[fit\] has no field 'scenario'; it belongs to the top of the file"),
        ("steps = 5", r": has no field 'steps'; it belongs to \[fit\]"),
        ("senario = 'hard'", "did you mean 'scenario'"),
        ("zzz = 1", "its fields are data, class_name, conditional, scenario"),
        ("[optimizer]\nlr = 1.0", "has no field 'optimizer'; did you mean|its fields are"),
        ("fit = 3", r"fit is 3; give a table \[fit\]"),
        ("[model]\nsize = 80", r"\[model\] gives size, which follows from the patches and the scenario; leave it out"),
        ("[fit]\nsteps = 'many'", r"\[fit\] steps is 'many'; give a whole number"),
        ("[fit]\nsteps = 2.0", r"\[fit\] steps is 2.0; give a whole number"),
        ("[fit]\nsteps = true", r"\[fit\] steps is True; give a whole number"),
        ("[fit]\nema = '0.9'", r"\[fit\] ema is '0.9'; give a number"),
        ("[fit]\ncompile = 1", r"\[fit\] compile is 1; give true or false"),
        ("[fit]\nprecision = 'bf16'", r"\[fit\] precision is 'bf16'; give '32-true' or 'bf16-mixed' or '16-mixed'"),
        ("[model]\nbetas = [0.5]", r"\[model\] betas is \[0.5\]; give a list of 2, each a number"),
        ("[model]\nbetas = [0.5, 'x']", r"\[model\] betas is .* give a list of 2, each a number"),
        ("class_name = 3", r": class_name is 3; give a string"),
        ("data = 3", r": data is 3; give a path as a string"),
        ("kind = 'classifier'", "is of kind 'classifier', not 'began'; use `sarcore train classifier`"),
        ("kind = 'stylegan'", 'is of kind .stylegan.; give kind = "began" or kind = "gan" or kind = "classifier" or '),
        ("steps =", "is no TOML file"),
    ],
)
def test_a_wrong_file_is_refused_by_name(text, says, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(SarcoreError, match=says) as refused:
        read_config(file, "began")
    assert str(file) in str(refused.value)


def test_a_file_must_say_its_kind_where_the_command_does_not(tmp_path, capsys):
    (tmp_path / "run.toml").write_text("[fit]\nsteps = 5")
    assert main(["train", "--config", str(tmp_path / "run.toml"), "--out", "x"]) == 1
    assert 'names no kind; give kind = "began" or kind = "gan" or kind = "classifier"' in error_of(capsys)


def test_what_is_to_be_repeated_must_be_a_run(tmp_path, capsys):
    assert main(["train", "--from", str(tmp_path)]) == 1
    assert f"{tmp_path}: holds no config.toml; give the folder of a run" in error_of(capsys)
    assert main(["train", "--from", str(tmp_path / "none")]) == 1
    assert f"{tmp_path / 'none'}: there is no such run folder; give the folder of a run" in error_of(capsys)


# --- the command line ---


def test_the_command_line_goes_over_the_file_over_the_preset_over_the_defaults(asked, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        "[model]\nlr = 0.5\ngamma = 0.25\nskip_h0 = false\n[fit]\nsteps = 30\nbatch_size = 6\naccumulate = 3"
    )
    arguments = ["train", "began", "patches", "--out", "run", "--config", str(file), "--preset", "marmanis"]
    assert main([*arguments, "--gamma", "0.75", "--batch-size", "9", "--class", "water", "--skip-h0"]) == 0
    config = asked[0]["config"]
    assert config == TrainBegan(
        Path("patches"), "water", preset="marmanis",
        model=BEGANConfig.preset("marmanis", lr=0.5, gamma=0.75),
        fit=dataclasses.replace(TrainBegan.fit, steps=30, batch_size=9, accumulate=3),
    )  # fmt: skip
    assert (asked[0]["out"], asked[0]["resume"], asked[0]["repeats"]) == (Path("run"), True, None)


def test_without_anything_the_defaults_hold(asked):
    assert main(["train", "began", "patches", "--out", "run"]) == 0
    assert main(["train", "classifier", "patches", "--out", "run", "--no-resume"]) == 0
    assert [call["config"] for call in asked] == [TrainBegan(Path("patches")), TrainClassifier(Path("patches"))]
    assert asked[1]["resume"] is False


def test_translations_have_their_direction_and_their_crops(asked):
    assert main(["train", "pix2pix", "pairs", "--out", "run", "--direction", "BtoA", "--crop", "80"]) == 0
    assert main(["train", "cyclegan", "pairs", "--out", "run", "--preset", "junyanz", "--lambda-cycle", "5"]) == 0
    assert [call["config"] for call in asked] == [
        TrainPix2Pix(Path("pairs"), crop=80, model=Pix2PixConfig.preset("sarcore", direction="BtoA")),
        TrainCycleGAN(
            Path("pairs"), preset="junyanz", model=CycleGANConfig.preset("junyanz", lambda_cycle=5.0)
        ),
    ]  # fmt: skip


def test_a_run_is_repeated_from_its_folder_with_changes(asked, tmp_path):
    write_config(tmp_path, CLASSIFIER)
    assert main(["train", "--from", str(tmp_path), "--lr", "0.25"]) == 0
    config = dataclasses.replace(CLASSIFIER, model=dataclasses.replace(CLASSIFIER.model, lr=0.25))
    repeat = tmp_path.with_name(f"{tmp_path.name}-repeat")
    assert asked == [{"config": config, "out": repeat, "resume": True, "repeats": tmp_path}]
    assert main(["train", "classifier", "other", f"--from={tmp_path}", "--out", "new"]) == 0
    assert (asked[1]["config"].data, asked[1]["out"], asked[1]["repeats"]) == (Path("other"), Path("new"), None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["began", "x", "--out", "y", "--widht", "4"], "Unrecognized options: --widht, 4 Perhaps you meant: --width"),
        (["classifier", "x", "--out", "y", "--batchsize", "4"], "Perhaps you meant: --batch-size"),
        (["began", "x", "--out", "y", "--preset", "mine"], "invalid choice 'mine'"),
        (["pix2pix", "x", "--out", "y", "--direction", "BtoC"], "invalid choice 'BtoC'"),
        (["began", "x", "--out", "y", "--steps", "many"], "--steps: invalid literal"),
        (["began", "x"], "--out"),
        (["began", "--out", "y"], "PATH"),
        (["fly"], "fly"),
    ],
)
def test_wrong_options_are_2_with_the_nearest_one(arguments, says, capsys):
    assert main(["train", *arguments]) == 2
    assert says in error_of(capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["began", "x", "--out", "y", "--size", "80"],
            "--size follows from the patches and the scenario; leave it out",
        ),
        (["classifier", "x", "--out", "y", "--total_steps=9"], "--total-steps follows from steps"),
        (["cyclegan", "x", "--out", "y", "--pool-size", "9"], "--pool-size follows from --crop"),
        (["began", "x", "--out", "y", "--steps", "0"], "steps is 0; give at least 1"),
        (["began", "x", "--out", "y", "--gamma", "2"], "gamma must lie in (0, 1], 2.0 was given"),
        (["began", "x", "--out", "y", "--accumulate", "3"], "batch_size 16 is no multiple of accumulate, 3"),
        (["began", "x", "--out", "y", "--val-fraction", "1"], "val_fraction is 1.0"),
        (["classifier", "x", "--out", "y", "--depth", "19"], "depth"),
        (["began", "--from", "a", "--config", "b", "--out", "y"], "both give the settings"),
    ],
)
def test_wrong_values_are_one_line(arguments, says, capsys):
    assert main(["train", *arguments]) == 1
    assert says in error_of(capsys)


def test_another_preset_than_that_of_the_file_is_refused(tmp_path, capsys):
    write_config(tmp_path, BEGAN)
    assert main(["train", "--from", str(tmp_path), "--preset", "sarcore"]) == 1
    assert "holds the settings of preset 'marmanis', which would win over those of 'sarcore'" in error_of(capsys)


@pytest.mark.parametrize("kind", KINDS)
def test_all_settings_but_those_of_the_data_are_options(kind, capsys):
    assert main(["train", kind, "--help"]) == 0
    cls = KINDS[kind]
    options = set(re.findall(r"--(?:no-)?([a-z0-9-]+)", capsys.readouterr().out))
    names = {f.name for part in (cls.model, cls.fit) for f in dataclasses.fields(part)}
    assert {name.replace("_", "-") for name in names - set(cls.DERIVED)} <= options
    assert not {name.replace("_", "-") for name in cls.DERIVED} & options
