"""Settings of a training: files, presets and the command line, what is refused, and runs repeated from their folder."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sarcore.cli import main
from sarcore.data import write_simulated
from sarcore.engine import FitConfig, read_metrics
from sarcore.errors import SarcoreError
from sarcore.experiments import classification, generation
from sarcore.experiments.train_config import (
    KINDS,
    TrainBegan,
    TrainClassifier,
    build,
    layered,
    read_config,
    write_config,
)
from sarcore.models import BEGANConfig, ClassifierConfig

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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=20, seed=1)


@pytest.fixture
def asked(monkeypatch):
    """The settings that the commands ask the experiments for."""
    seen = []

    def train(config, out, progress, **more):
        seen.append({"config": config, "out": out, **more})
        return {"steps": 1, "images_per_second": 1.0, "stopped_early": False, "best": None, "classes": []}

    monkeypatch.setattr(generation, "train_began", train)
    monkeypatch.setattr(classification, "train_classifier", train)
    return seen


def error_of(capsys):
    """What the command said on stderr, its box and line breaks removed."""
    return re.sub(r"([\s│|╭╮╰╯─+]|-{3,})+", " ", capsys.readouterr().err).strip()


# --- files ---


@pytest.mark.parametrize("config", [BEGAN, CLASSIFIER, TrainBegan(Path("/x")), TrainClassifier(Path("/x"))])
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
        ("zzz = 1", "its fields are data, class_name, scenario, preset"),
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
        ("kind = 'cyclegan'", 'is of kind \'cyclegan\'; give kind = "began" or kind = "classifier"'),
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
    assert 'names no kind; give kind = "began" or kind = "classifier"' in error_of(capsys)
    assert main(["train", "--from", str(tmp_path)]) == 1
    assert "config.toml: No such file" in error_of(capsys)


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


# --- runs ---


def train(data, run, *more):
    small = ["--steps", "4", "--width", "4", "--batch-size", "4", "--scenario", "hard", "--checkpoint-every", "2"]
    return main(["train", "began", str(data), "--out", str(run), "--accelerator", "cpu", *small, *more])


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert train(data, folder) == 0
    return folder


def weights(run, step=4):
    return (run / "checkpoints" / f"step_{step:06d}" / "weights.safetensors").read_bytes()


def test_a_repeated_run_has_the_same_bits(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.toml", "run.json", "split.json"):  # all that a repetition needs
        shutil.copy(run / name, copy / name)
    assert main(["train", "--from", str(copy)]) == 0
    repeat = tmp_path / "copy-repeat"
    assert weights(repeat) == weights(run)
    assert (repeat / "split.json").read_bytes() == (run / "split.json").read_bytes()
    first, second = (read_config(folder / "config.toml") for folder in (run, repeat))
    assert first == second
    best = [json.loads((folder / "results.json").read_text())["best"] for folder in (run, repeat)]
    assert best[0] == best[1]
    assert best[0]["name"] == "emd"


def test_a_run_on_data_that_changed_is_not_repeated(run, data, tmp_path, capsys):
    moved = shutil.copytree(data, tmp_path / "set")
    assert main(["train", "--from", str(run), str(moved), "--out", str(tmp_path / "moved")]) == 0
    assert weights(tmp_path / "moved") == weights(run)
    patch = next((moved / "water").glob("*.png"))
    patch.write_bytes(patch.read_bytes() + b"more")
    capsys.readouterr()
    again = tmp_path / "again"
    assert main(["train", "--from", str(tmp_path / "moved"), "--out", str(again)]) == 1
    assert f"{moved}: has changed since {tmp_path / 'moved'} was trained on it" in error_of(capsys)
    assert not again.exists()


def test_a_run_goes_on_with_more_steps_and_with_nothing_else(run, data, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    for change, says in (
        (["--steps", "3"], "steps was 4, is 3, and may only grow"),
        (["--gamma", "0.5"], "gamma was 0.9, is 0.5"),
        (["--ema", "0.5"], "ema was 0.0, is 0.5"),
        (["--no-resume"], "holds a run; go on with it by --resume"),
    ):
        assert train(data, tmp_path / "run", *change) == 1
        assert says in error_of(capsys)
    assert weights(tmp_path / "run") == weights(run)
    assert train(data, tmp_path / "run", "--steps", "6", "--log-every", "3") == 0
    assert train(data, tmp_path / "six", "--steps", "6") == 0
    assert weights(tmp_path / "run", 6) == weights(tmp_path / "six", 6)
    assert read_config(tmp_path / "run" / "config.toml")[1]["fit"]["steps"] == 6


def test_too_few_patches_for_a_batch_leave_no_folder(data, tmp_path, capsys):
    assert train(data, tmp_path / "run", "--class", "water", "--batch-size", "9") == 1
    assert "8 patches to train on are fewer than a batch of 9; lower --batch-size" in error_of(capsys)
    assert not (tmp_path / "run").exists()


def test_two_processes_write_one_run(run, data, tmp_path):
    arguments = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "sarcore",
    ]
    arguments += ["train", "--from", str(run), "--out", str(tmp_path / "two")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run: ") == 1, done.stdout
    alone, both = (read_metrics(folder)[-1] for folder in (run, tmp_path / "two"))
    for name in ("loss_real", "loss_fake", "M", "val/emd", "val/spectrum"):
        assert both[name] == pytest.approx(alone[name], rel=1e-4)
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert results["patches"] == json.loads((run / "results.json").read_text())["patches"]
