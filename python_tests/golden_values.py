"""Golden values: the bits that the CPU code gave when they were written, compared on every device.

SARCORE_WRITE_GOLDEN=1 pytest -k golden rewrites them; a change of theirs is a change of the op's results and belongs
into the changelog.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent / "golden"


def compare_with_golden(op: str, results: dict[str, torch.Tensor]) -> None:
    """Asserts that every result has the bits of golden/<op>.json; writes the file instead where that was asked for."""
    file = FOLDER / f"{op}.json"
    found = {name: _record(tensor) for name, tensor in results.items()}
    if os.environ.get("SARCORE_WRITE_GOLDEN"):
        assert all(not t.is_cuda for t in results.values()), "golden values are those of the CPU"
        lines = [f" {json.dumps(name)}: {json.dumps(record)}" for name, record in found.items()]
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return
    golden = json.loads(file.read_text(encoding="utf-8"))
    assert sorted(golden) == sorted(found)
    for name, record in golden.items():
        assert found[name] == record, f"{op} {name} has other bits than the golden values"


def _record(tensor: torch.Tensor) -> dict[str, object]:
    plain = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    array = np.ascontiguousarray(plain.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    name = str(tensor.dtype).removeprefix("torch.")
    return {"dtype": name, "shape": list(tensor.shape), "bytes": array.tobytes().hex()}
