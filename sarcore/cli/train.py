"""``sarcore train KIND``: settings on the command line, over those of a file, over those of a preset.

The settings of the engine are imported with this one: `sarcore.cli.app` imports it for the command `train` alone. What
trains, and torchmetrics with it, is imported when a training begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import arg

from sarcore.cli import tables
from sarcore.cli.progress import ConsoleProgress
from sarcore.cli.train_options import (
    BeganOptions,
    ClassifierOptions,
    ContrastiveOptions,
    CycleGANOptions,
    GanOptions,
    Pix2PixOptions,
    RunOptions,
    Start,
    start,
)
from sarcore.engine.distributed import is_main_process
from sarcore.experiments.train_config import build, nested
from sarcore.experiments.train_kinds import (
    TrainBegan,
    TrainClassifier,
    TrainConfig,
    TrainContrastive,
    TrainCycleGAN,
    TrainGan,
    TrainPix2Pix,
)

Flat = arg(name="")


def commands(words: Sequence[str]) -> tuple[list[str], dict[str, Callable[..., None]]]:
    """The commands of `train`, their defaults those that the words name, and the words to parse."""
    begin = start(words)
    makers = {
        "began": _began,
        "gan": _gan,
        "classifier": _classifier,
        "contrastive": _contrastive,
        "cyclegan": _cyclegan,
        "pix2pix": _pix2pix,
    }
    return begin.words, {name: make(begin) for name, make in makers.items()}


def _began(begin: Start) -> Callable[..., None]:
    def began(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[BeganOptions, Flat] = begin.settings["began"],
    ) -> None:
        """Train a BEGAN on a folder of patches, or on one of its classes.

        Every setting may come from a TOML file (--config) or from an earlier run (--from); the command line goes over
        the file, the file over the preset. Settings are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        from sarcore.experiments import generation

        chosen = build(TrainBegan, nested(settings))
        with _progress(run.out) as progress:
            repeats = _repeats(run.source, begin, chosen)
            facts = generation.train_began(chosen, run.out, progress, resume=run.resume, repeats=repeats)
        progress.console.print(f"{_steps(facts)}; run: {run.out}", markup=False, soft_wrap=True)

    return began


def _gan(begin: Start) -> Callable[..., None]:
    def gan(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[GanOptions, Flat] = begin.settings["gan"],
    ) -> None:
        """Train a GAN for few patches on all classes of a folder, told apart, or on one of them.

        Every setting may come from a TOML file (--config) or from an earlier run (--from); the command line goes over
        the file. Settings are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        from sarcore.experiments import gan as training

        chosen = build(TrainGan, nested(settings))
        with _progress(run.out) as progress:
            repeats = _repeats(run.source, begin, chosen)
            facts = training.train_gan(chosen, run.out, progress, resume=run.resume, repeats=repeats)
        progress.console.print(f"{_steps(facts)}; run: {run.out}", markup=False, soft_wrap=True)

    return gan


def _classifier(begin: Start) -> Callable[..., None]:
    def classifier(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[ClassifierOptions, Flat] = begin.settings["classifier"],
    ) -> None:
        """Train a ResNet on some scenes of a folder, choose the best checkpoint on others, score it on the rest.

        Every setting may come from a TOML file (--config) or from an earlier run (--from); the command line goes over
        the file. Settings are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        from sarcore.experiments import classification

        chosen = build(TrainClassifier, nested(settings))
        with _progress(run.out) as progress:
            repeats = _repeats(run.source, begin, chosen)
            results = classification.train_classifier(chosen, run.out, progress, resume=run.resume, repeats=repeats)
        console = progress.console
        console.print(f"{_steps(results)}; run: {run.out}", markup=False, soft_wrap=True)
        part = results.get("test")
        if part is None:  # no patches to test on, or not the main process
            return
        unseen = "unseen scenes" if chosen.split is None else "the test part"
        tables.classification(part, results["classes"], f"{part['patches']} patches of {unseen}", console)

    return classifier


def _contrastive(begin: Start) -> Callable[..., None]:
    def contrastive(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[ContrastiveOptions, Flat] = begin.settings["contrastive"],
    ) -> None:
        """Pre-train a ResNet without labels, on a folder of patches or of scenes, for `train classifier --init RUN`.

        It learns to find two views of a patch (cut, flipped, speckled) among those of other patches. Every setting may
        come from a TOML file (--config) or from an earlier run (--from); the command line goes over the file. Settings
        are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        from sarcore.experiments.contrastive import train_contrastive

        chosen = build(TrainContrastive, nested(settings))
        with _progress(run.out) as progress:
            repeats = _repeats(run.source, begin, chosen)
            facts = train_contrastive(chosen, run.out, progress, resume=run.resume, repeats=repeats)
        progress.console.print(f"{_steps(facts)}; run: {run.out}", markup=False, soft_wrap=True)

    return contrastive


def _cyclegan(begin: Start) -> Callable[..., None]:
    def cyclegan(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[CycleGANOptions, Flat] = begin.settings["cyclegan"],
    ) -> None:
        """Train a CycleGAN between SAR (A) and optical (B) images, both ways at once, partners or not.

        Every setting may come from a TOML file (--config) or from an earlier run (--from); the command line goes over
        the file, the file over the preset. Settings are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        _translation(build(TrainCycleGAN, nested(settings)), run, begin)

    return cyclegan


def _pix2pix(begin: Start) -> Callable[..., None]:
    def pix2pix(
        *,
        run: Annotated[RunOptions, Flat] = begin.run,
        settings: Annotated[Pix2PixOptions, Flat] = begin.settings["pix2pix"],
    ) -> None:
        """Train a Pix2Pix on pairs of SAR (A) and optical (B) images that lie on one grid, in one --direction.

        Every setting may come from a TOML file (--config) or from an earlier run (--from); the command line goes over
        the file, the file over the preset. Settings are kept as config.toml in the run folder.

        Args:
            run: Which run it is.
            settings: All settings.
        """
        _translation(build(TrainPix2Pix, nested(settings)), run, begin)

    return pix2pix


def _translation(chosen: TrainCycleGAN | TrainPix2Pix, run: RunOptions, begin: Start) -> None:
    from sarcore.experiments import translation

    with _progress(run.out) as progress:
        repeats = _repeats(run.source, begin, chosen)
        results = translation.train_translation(chosen, run.out, progress, resume=run.resume, repeats=repeats)
    console = progress.console
    console.print(f"{_steps(results)}; run: {run.out}", markup=False, soft_wrap=True)
    part = next((name for name in ("test", "val") if name in results), None)
    if part is not None:
        tables.translation(results[part], f"{results['pairs'][part]} images of the part {part}", console)


def _progress(out: Path) -> ConsoleProgress:
    return ConsoleProgress(out) if is_main_process() else ConsoleProgress(console=Console(quiet=True))


def _repeats(source: Path | None, begin: Start, chosen: TrainConfig) -> Path | None:
    """The run whose data must be unchanged: none where other data were named."""
    return source if chosen.data == begin.settings[chosen.KIND].data else None


def _steps(facts: Mapping[str, Any]) -> str:
    """What came of the training, in one line."""
    text = f"{facts['steps']} steps at {facts['images_per_second']:.1f} images/s"
    if facts["stopped_early"]:
        text += ", stopped early"
    best = facts["best"]
    return text + (f", best {best['name']} {best['value']:.4g} at step {best['step']}" if best else "")
