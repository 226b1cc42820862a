"""A trained translation applied to a folder of images."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sarcore.data import IMAGE_SUFFIXES, Scene
from sarcore.data.images import write_bytes
from sarcore.errors import DataError
from sarcore.inference.translate import check_scene, translate_scene
from sarcore.inference.translation_values import TargetValues
from sarcore.inference.translator import Translator

CARD = "translation.json"
_UNFINISHED = ".translation.*.json"  # what `write_bytes` leaves of it when the process is killed


def translate_folder(
    translator: Translator,
    folder: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    on_image: Callable[[int], None] | None = None,
    **options: Any,
) -> list[Path]:
    """Translate the images of a folder, not of those in it, into files of the same names.

    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> from torch import nn
    >>> from sarcore import Radiometry
    >>> from sarcore.data import write_image
    >>> folder = Path(mkdtemp())
    >>> _ = write_image(folder / "a.tif", np.full((1, 40, 30), -12.0, np.float32))
    >>> network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh())
    >>> translator = Translator(network, Radiometry("db", -25, 0), Radiometry("digital", 0, 255), direction="AtoB")
    >>> [file.name for file in translate_folder(translator, folder, folder / "colours")]
    ['a.png']

    Each image is translated as by `translate_scene`. The files are .png where they are 8 bit grey or colour and not
    georeferenced, else .tif. The speckle of an image follows from its name, not from the other images.

    Args:
        translator: a direction of a model.
        folder: the images.
        out: folder to write; made where it does not exist.
        resume: leave files alone that an unfinished run of the same translation wrote, if their image is not newer.
        on_image: hears how many images are finished.
        options: of `translate_scene`.

    Returns:
        The files, in the order of the names.

    Raises:
        DataError: no images, an image of other channels or in another unit (before any is translated, as far as its
            header and a sample of the first tell), `out` with something else or of another translation.
    """
    folder, out = Path(folder), Path(out)
    images = images_of(folder)
    names = _names(translator, images)
    check_scene(translator, Scene.open(images[0]), options.get("channels"), options.get("unit"))
    _begin(out, _card(translator, options), resume=resume)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        file = out / name
        if not (resume and file.is_file() and file.stat().st_mtime_ns >= image.stat().st_mtime_ns):
            index = zlib.crc32(image.name.encode()) >> 1  # 31 bits
            translate_scene(translator, image, file, index=index, resume=resume, **options)
        if on_image is not None:
            on_image(number + 1)
    return [out / name for name in names]


def images_of(folder: Path) -> list[Path]:
    """The images of a folder, by name; DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one of images, or a single image and the name of its translation")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not images:
        inside = any(path.is_dir() for path in folder.iterdir())
        raise DataError(
            f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})"
            + ("; give one of the folders in it" if inside else "; check the path")
        )
    return images


def _names(translator: Translator, images: list[Path]) -> list[str]:
    plain = TargetValues(translator.target, None).suffix(translator.channels[1])
    names = [path.stem + (".tif" if Scene.open(path).georeferenced else plain) for path in images]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"{images[0].parent} holds several images that would become {min(twice)}; rename one of them")
    return names


def _card(translator: Translator, options: dict[str, Any]) -> dict[str, Any]:
    """What the files of a folder have together."""
    chosen = {name: value for name, value in options.items() if name not in ("device", "batch", "on_rows", "on_layer")}
    return {
        "translation": str(translator), "weights": translator.checksum(), "seed": translator.seed,
        "source": translator.source.to_dict(), "target": translator.target.to_dict(),
        "options": json.loads(json.dumps(chosen, default=repr)),
    }  # fmt: skip


def _begin(out: Path, card: dict[str, Any], *, resume: bool) -> None:
    """Make the folder this translation's."""
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror or error}; choose another") from error
    with _alone(out):  # of several processes each comes here
        _claim(out, card, resume=resume)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claim(out: Path, card: dict[str, Any], *, resume: bool) -> None:
    file = out / CARD
    if file.is_file():
        try:
            before = json.loads(file.read_bytes())
        except ValueError:
            before = None
        if before != card and resume:
            raise DataError(
                f"{out} holds the images of another translation or of other options (see {CARD}); give another folder, "
                "or write them anew with resume=False (--no-resume)"
            )
    elif any(not path.match(_UNFINISHED) for path in out.iterdir()):
        raise DataError(f"{out} is not empty and holds no translations; give a new folder")
    write_bytes(file, json.dumps(card, indent=1).encode())
