"""Latent walks and nearest neighbours on the page of a generator's training."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from sarcore.engine.sheets import LATENT
from sarcore.report.run_folder import RunFolder
from sarcore.report.samples import file_uri


@dataclass(frozen=True)
class Picture:
    """A picture for the page: pixels across and down, what it is called, what it shows, titles of its columns."""

    uri: str
    size: tuple[int, int]
    title: str
    text: str
    columns: list[str]


def pictures(run: RunFolder) -> list[Picture]:
    """Those that `sarcore train` and `sarcore report` left in the run folder; problems go to ``run.problems``."""
    found = []
    for described in run.latent.get("pictures", []):
        file = (run.path / LATENT).with_name(str(described["file"]))
        try:
            with Image.open(file) as image:
                size = image.size
            uri = file_uri(file)
        except OSError as error:
            run.problems.append(f"{file.parent.name}/{file.name}: cannot be read ({error.strerror or error}).")
            continue
        found.append(Picture(uri, size, described["title"], described["text"], list(described["columns"])))
    return found
