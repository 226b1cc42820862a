"""docs/translation.md has every step and every fault of the document once, each with a test and commands that exist."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from sarcore.cli.app import COMMANDS
from sarcore.experiments.train_kinds import KINDS

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "translation.md"


def rows(letter: str) -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith(f"| {letter}2-")]


@pytest.mark.parametrize(("letter", "count"), [("S", 30), ("I", 32)])
def test_the_table_is_complete_and_its_tests_exist(letter, count):
    found = rows(letter)
    texts = (path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    there = {test for text in texts for test in re.findall(r"^def (test_\w+)\(", text, re.M)}
    assert [row[0] for row in found] == [f"{letter}2-{i:02d}" for i in range(1, count + 1)]
    for name, *_, tests in found:
        named = set(re.findall(r"`(test_\w+)`", tests))
        assert named or name == "I2-32", name
        assert named <= there, name


def test_its_commands_exist():
    for name, _, here, _ in rows("S"):
        for first, second in re.findall(r"`sarcore (\S+?)(?: ([a-z0-9]+))?[ `]", here):
            assert first in COMMANDS, name
            group = KINDS if first == "train" else COMMANDS[first]
            assert not isinstance(group, Mapping) or second in group, name
