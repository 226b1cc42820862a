"""Pictures of what a generator has learnt between its training patches: latent walks, classes, nearest neighbours."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sarcore.data import PatchFolder, Split, patch_cache, write_image
from sarcore.engine import image_grid, write_json
from sarcore.engine.checkpoint import checkpoint_dirs
from sarcore.engine.sheets import LATENT
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments.drawing import KINDS, GenerativeModel, load_generator
from sarcore.experiments.patches import Patches, Scenario, ScenarioPatches, in_memory
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RUN_FILE, read_json, recorded_config, trained_on
from sarcore.metrics import memorisation
from sarcore.models import BEGAN
from sarcore.ops import resample

STEPS = 5  # of a walk
DRAWN = 96  # patches whose nearest training patches are looked for
PAIRS = 6
_ROWS = 8
_PIXELS = 1_600_000  # of one picture, for a page that can be sent by mail
_COARSE = 16  # block means along each side that are compared: speckle must not decide what is near
_TOGETHER = 256  # patches that are reduced together


@dataclass(frozen=True)
class Picture:
    """A picture of the run's folder ``latent``, and what the page says of it; ``columns`` are titles above it."""

    file: str
    title: str
    text: str
    columns: Sequence[str] = ()


def portray(run: Path, progress: Progress, train: Patches | None = None, held_out: Patches | None = None) -> bool:
    """Write the pictures of a run of `sarcore train began` or ``gan`` into its folder, for its page.

    They are those of its best checkpoint; nothing is done, and False returned, where they are there already.
    ``train`` and ``held_out`` are the patches of the training, which are opened where they are not given. Where they
    are gone or were changed, there are no neighbours, and the page says so.

    Raises what `load_generator` raises.
    """
    model, meta = load_generator(run)
    folder, checkpoint = (run / LATENT).parent, f"{Path(meta['path']).name} {meta['sha256']['meta.json']}"
    if (run / LATENT).is_file() and read_json(run / LATENT).get("checkpoint") == checkpoint:
        return False
    progress.note("Drawing latent walks and nearest neighbours")
    if torch.cuda.is_available():
        model.to("cuda")
    folder.mkdir(exist_ok=True)
    pictures, facts, problems = [walk(model, folder, meta["classes"])], None, []
    if model.config.classes:
        pictures.append(exchange(model, folder, meta["classes"]))
    try:
        if train is None:
            train, held_out = _patches(run, Path(meta["training"]["data"]))
        picture, facts = neighbours(model, folder, train, held_out, meta["training"]["scenario"])
        pictures.append(picture)
    except (SarcoreError, OSError) as error:
        problems.append(f"There are no nearest neighbours: {error}")
    described = [asdict(picture) for picture in pictures]
    result = {"checkpoint": checkpoint, "step": meta["step"], "pictures": described}
    write_json(run / LATENT, {**result, "memorisation": facts, "problems": problems})
    return True


def is_generator(run: Path) -> bool:
    """Whether it is the folder of a training that `portray` knows, and has weights.

    >>> is_generator(Path("no/such/run"))
    False
    """
    if not (run / RUN_FILE).is_file() or not checkpoint_dirs(run):
        return False
    return recorded_config(run).get("command") in [f"train {kind}" for kind in KINDS]


def _patches(run: Path, data: Path) -> tuple[Patches, Patches | None]:
    folder = PatchFolder.open(data)
    if not trained_on(run, folder):
        raise DataError(f"{data} has changed since the training")
    split, whole = Split.load(run / "split.json"), patch_cache(folder)
    return in_memory(whole.subset(split.train)), in_memory(whole.subset(split.val)) if split.val else None


def between(first: Tensor, last: Tensor, steps: int, *, spherical: bool) -> Tensor:
    """Points (steps, d) from one latent vector (d,) to another: on a line, or turning at a constant rate.

    Gaussian vectors of many dimensions lie near a sphere, which a line would leave; uniform ones fill a cube.

    >>> between(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, spherical=True).norm(dim=1).round()
    tensor([1., 1., 1.])

    Source: Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985; White, arXiv 1609.04468.
    """
    t = torch.linspace(0.0, 1.0, steps, dtype=first.dtype, device=first.device)[:, None]
    angle = torch.acos(F.cosine_similarity(first, last, dim=0).clamp(-1.0, 1.0))
    if not spherical or float(torch.sin(angle)) < 1e-4:  # nearly one direction, or opposite ones: no plane to turn in
        return first + t * (last - first)
    return (torch.sin((1.0 - t) * angle) * first + torch.sin(t * angle) * last) / torch.sin(angle)


@torch.no_grad()
def walk(model: GenerativeModel, folder: Path, classes: Sequence[str], *, seed: int = 0) -> Picture:
    """Write ``walk.png``: each row goes from one latent vector to another, with one speckle for all of its patches.

    Rows are of the classes that a conditional model has; below each row is its reflectivity, where there is speckle.
    """
    speckled = model.config.speckle != "none"
    most = _most_rows(model, STEPS * (1 + speckled))
    labels = _spread(model.config.classes, most) if model.config.classes else [None] * min(4, most)
    rows = []
    for row, label in enumerate(labels):
        first, last = model.latent(2, torch.Generator().manual_seed(seed + row))
        z = between(first, last, STEPS, spherical=not isinstance(model, BEGAN))
        given = None if label is None else torch.full((STEPS,), label, device=z.device)
        index = torch.full((STEPS,), row, device=z.device)
        rows.append(model.generate(z, given, seed=seed, index=index))
        if speckled:
            rows.append(model.reflectivity(z, given, seed=seed, index=index))
    _write(folder / "walk.png", torch.cat(rows), STEPS)
    text = "From left to right one latent vector turns into another"
    text += "; what is random beside it, as speckle, is the same in a row." if speckled else "."
    if speckled:
        text += " Below each row its reflectivity, which speckle multiplies."
    if model.config.classes:
        text += f" Rows: {', '.join(classes[label] for label in labels if label is not None)}."
    return Picture("walk.png", "Latent walks", text)


@torch.no_grad()
def exchange(model: GenerativeModel, folder: Path, classes: Sequence[str], *, seed: int = 0) -> Picture:
    """Write ``classes.png``: each row is one latent vector, drawn as every class in turn with the same speckle."""
    labels = _spread(model.config.classes, max(2, _PIXELS // model.config.size**2))
    rows = min(4, _most_rows(model, len(labels)))
    latents = model.latent(rows, torch.Generator().manual_seed(seed))
    given = torch.tensor(labels, device=latents.device)
    made = [
        model.generate(z.expand(len(labels), -1), given, seed=seed, index=torch.full_like(given, row))
        for row, z in enumerate(latents)
    ]
    _write(folder / "classes.png", torch.cat(made), len(labels))
    text = "In each row the same latent vector and the same speckle, drawn as one class after the other."
    return Picture("classes.png", "One latent vector, every class", text, [classes[label] for label in labels])


@torch.no_grad()
def neighbours(
    model: GenerativeModel, folder: Path, train: Patches, held_out: Patches | None, scenario: Scenario, *, seed: int = 0
) -> tuple[Picture, dict[str, float] | None]:
    """Write ``neighbours.png``: the generated patches that are nearest to a training patch, each beside that one.

    Near is what has the same means of blocks, 16 along each side. The distances of held-out patches say how near is
    usual, as `sarcore.metrics.memorisation` has it: the second result, None without them. A model with classes draws
    each as often as it is among the training patches.
    """
    shown = ScenarioPatches(train, scenario)
    made = _drawn(model, train.labels, seed)
    known, ours = _coarse(shown), _coarse(made)
    # By differences: a matrix product loses the digits of what is nearly equal, which is what is looked for.
    distance, nearest = torch.cdist(ours, known, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    order = distance.argsort(stable=True)[:PAIRS].tolist()
    pairs = [image for i in order for image in (made[i], shown[int(nearest[i])][0])]
    _write(folder / "neighbours.png", torch.stack(pairs), PAIRS)
    text = f"Of {len(made)} generated patches those that lie nearest to a training patch, nearest first, beside it. "
    text += f"Compared are the means of {_COARSE} x {_COARSE} blocks, so that speckle does not decide"
    text += ", with one crop of each training patch." if scenario == "simple" else "."
    facts = None
    if held_out is not None:
        with contextlib.suppress(ValueError):  # too few of them, or copies of training patches
            scores = memorisation(known, _coarse(ScenarioPatches(held_out, scenario)), ours, pairs=0)
            facts = {name: getattr(scores, name) for name in ("ratio", "closer_share", "p_value")}
            text += (
                f" Generated patches lie {scores.ratio:.2f} times as far from their nearest training patch as patches "
                "of unseen scenes do: about 1 where nothing is repeated, towards 0 where it is."
            )
    return Picture("neighbours.png", "Nearest training patches", text, ("generated", "training") * (PAIRS // 2)), facts


def _drawn(model: GenerativeModel, labels: Tensor, seed: int) -> Tensor:
    """Generated patches on the CPU, of a model with classes by their shares of the labels."""
    chosen = None
    if model.config.classes:
        known = labels[labels >= 0].sort().values
        chosen = known[torch.linspace(0, len(known) - 1, DRAWN).round().long()]
    z = model.latent(DRAWN, torch.Generator().manual_seed(seed))
    made = []
    for numbers in torch.arange(DRAWN).split(32):
        given = None if chosen is None else chosen[numbers].to(z.device)
        made.append(model.generate(z[numbers], given, seed=seed, index=numbers.to(z.device)).float().cpu())
    return torch.cat(made)


def _coarse(images: Tensor | ScenarioPatches) -> Tensor:
    """Means of blocks (N, d) of images (N, C, S, S), or of patches."""
    if isinstance(images, Tensor):
        side = min(_COARSE, images.shape[-1])
        return resample(images, side, mode="area").flatten(1)
    batches = torch.arange(len(images)).split(_TOGETHER)
    return torch.cat([_coarse(torch.stack([images[i][0] for i in numbers.tolist()])) for numbers in batches])


def _most_rows(model: GenerativeModel, columns: int) -> int:
    return max(1, min(_ROWS, _PIXELS // (columns * model.config.size**2)))


def _spread(classes: int, most: int) -> list[int]:
    """Labels of all classes, or of so many at even distances."""
    return [round(place) for place in np.linspace(0, classes - 1, min(classes, most))]


def _write(path: Path, images: Tensor, columns: int) -> None:
    grid = image_grid(images, columns)
    write_image(path, grid if grid.ndim == 2 else grid.transpose(2, 0, 1))
