"""The record of a run as Markdown."""

from __future__ import annotations

from typing import Any

import peers


def markdown(record: dict[str, Any]) -> str:
    """All tables of a run, ready for a README."""
    parts = [caption(record)]
    for op, about in dict.fromkeys((w["op"], w["about"]) for w in record["workloads"]):
        entries = [w for w in record["workloads"] if (w["op"], w["about"]) == (op, about)]
        parts.append(f"**`{op}`**, {about}")
        parts += [device_table(w) for w in entries] if record["machine"]["device"] == "cuda" else [ratio_table(entries)]
    if "constant" in record:
        parts.append("**Constant images**, forward: how many times longer than noise")
        parts.append(constant_table(record["constant"]))
    if "scene_memory" in record:
        parts.append("**Peak memory of a process** that despeckles a uint16 GeoTIFF, as the scene grows")
        parts.append(memory_table(record["scene_memory"]))
    parts.append("**Price of a call** on a 1 x 1 x 4 x 4 tensor, no gradient")
    parts.append(overhead_table(record["overhead"]))
    if record["left_out"]:
        parts.append("Left out: " + "; ".join(record["left_out"]) + ".")
    return "\n\n".join(parts)


def caption(record: dict[str, Any]) -> str:
    m = record["machine"]
    packages = [f"{key} {m[key]}" for key in ("torch", *peers.PACKAGES) if m[key]]
    where = f"{m['name']}" + (f", CUDA {m['cuda']}" if m["cuda"] else f", {m['threads']} threads")
    return (
        f"{where}; sarcore {m['sarcore']}, {', '.join(packages)}; {m['date']}. Results were compared before timing; "
        "all contestants in turn in one process; medians of the ratios per round. Floor: a copy of the same bytes."
    )


def ratio_table(entries: list[dict[str, Any]]) -> str:
    """Rows: contestants. Columns: workloads, each as how many times longer than sarcore, and the extra memory."""
    names = list(dict.fromkeys(row["contestant"] for w in entries for row in w["rows"]))
    head = ["time / sarcore's time"] + [f"{shape(w)}" for w in entries] + [f"extra memory, {entries[-1]['name']}"]
    rates = "images_per_s" in entries[-1]["rows"][0]
    head += ["images/s"] if rates else []
    body = []
    for name in names:
        rows = [next((r for r in w["rows"] if r["contestant"] == name), None) for w in entries]
        cells = [times(r["ratio"]) if r else "-" for r in rows]
        cells.append(size(rows[-1]["extra_bytes"]) if rows[-1] else "-")
        if rates:
            cells.append(f"{rows[-1]['images_per_s']:.3g}" if rows[-1] and name != "floor" else "-")
        body.append([label(name), *cells])
    return table(head, body)


def device_table(entry: dict[str, Any]) -> str:
    """Rows: contestants. Columns: wall time with autograd, kernel time, CUDA-graph replay; milliseconds and ratios."""
    head = [shape(entry), "wall, ms", "/ sarcore", "kernels, ms", "/ sarcore", "graph, ms", "/ sarcore"]
    head += ["copy bandwidth", "extra memory"] + (["images/s"] if "images_per_s" in entry["rows"][0] else [])
    floor = next(r for r in entry["rows"] if r["contestant"] == "floor")
    body = []
    for r in entry["rows"]:
        cells = [label(r["contestant"])]
        for key, ratio in (("ms", "ratio"), ("kernel_ms", "kernel_ratio"), ("graph_ms", "graph_ratio")):
            cells += ["-" if r[key] is None else f"{r[key]:.4g}", "-" if r[ratio] is None else times(r[ratio])]
        share = f"{100 * floor['kernel_ms'] / r['kernel_ms']:.3g} %"
        cells += [share, size(r["extra_bytes"])]
        if "images_per_s" in r:
            cells.append(f"{r['images_per_s']:.3g}" if r["contestant"] != "floor" else "-")
        body.append(cells)
    bandwidth = entry["floor_bytes"] / floor["kernel_ms"] * 1e-9
    return table(head, body) + f"\n\nThe copy moves {entry['floor_bytes'] / 1e6:.3g} MB at {bandwidth:.3g} TB/s."


def constant_table(rows: list[dict[str, Any]]) -> str:
    kinds = list(rows[0]["ratios"])
    body = [[f"`{r['op']}`", label(r["contestant"]), *(times(r["ratios"][k]) for k in kinds)] for r in rows]
    return table(["op", "", *kinds], body)


def memory_table(rows: list[dict[str, Any]]) -> str:
    sides = list(rows[0]["peak_bytes"])
    body = [[label(r["contestant"]), *(size(r["peak_bytes"][side]) for side in sides)] for r in rows]
    return table(["", *(f"{side} x {side}" for side in sides)], body)


def overhead_table(rows: list[dict[str, Any]]) -> str:
    return table(["call", "µs", "/ torch.mul"], [[f"`{r['call']}`", f"{r['us']:.3g}", times(r["ratio"])] for r in rows])


def label(name: str) -> str:
    return {"sarcore": "**sarcore**", "floor": "floor (copy)"}.get(name, name)


def shape(entry: dict[str, Any]) -> str:
    return f"{entry['name']} {' x '.join(map(str, entry['shape']))}"


def times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.3g}x"


def size(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
