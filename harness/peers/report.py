"""Measurements as lines and tables, beside what was to be reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..environment import version_of

TARGETS: dict[str, dict[int, float]] = {  # how many times a peer's tokens per second, at widths 128 and 512
    "gpt": {128: 1.2, 512: 1.1},
    "llama": {128: 1.2, 512: 1.1},
    "bert": {128: 1.4, 512: 1.15},
    "t5": {128: 1.6, 512: 1.3},
    "mamba": {128: 12, 512: 8},
    "mamba2": {128: 3, 512: 2},
}
DECODING, SHARE, SCAN_MEMORY = 4.0, 0.55, 1.3


def line(spec: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """One measurement on one line."""
    about = " ".join(f"{value}" for key, value in spec.items() if key != "repeats")
    if "error" in found:
        return f"{about}: {found['error']}"
    if "ratio" in found and "quartiles" in found:
        return f"{about}: {found['ratio']:.2f} times as fast {quartiles(found)}"
    if spec["what"] == "scan":
        return f"{about}: {found['seconds'] * 1e3:.1f} ms, peak {found['ratio']:.2f} of what must exist"
    if spec["what"] == "share":
        return f"{about}: {found['share']:.0%} of the matmul rate"
    return f"{about}: " + ", ".join(f"{key}: {value * 1e3:.2f} ms" for key, value in found.items())


def quartiles(found: Mapping[str, Any]) -> str:
    if found["repeats"] == 1:
        return "(one cold pair)"
    low, high = found["quartiles"]
    return f"[{low:.2f}–{high:.2f}]"


def against(ratio: float, target: float) -> str:
    return f"{target:g}, {'reached' if ratio >= target else 'missed'}"


def training(results: list[dict]) -> pd.DataFrame:
    rows = []
    for spec, found in of(results, "train"):
        row = {
            "ours": spec["arch"],
            "peer": spec["peer"],
            "width": spec["width"],
            "precision": spec["precision"],
        }
        if "error" in found:
            rows.append(row | {"times as fast": found["error"]})
            continue
        wanted = against(found["ratio"], TARGETS[spec["arch"]][spec["width"]])
        mine, theirs = found["tokens_per_second"]
        own, others = found["parameters"]
        rows.append(
            row
            | {
                "times as fast": f"{found['ratio']:.2f} {quartiles(found)}",
                "to reach": wanted if spec["precision"] == "32-true" else "",
                "tokens/s": f"{mine:,.0f}",
                "theirs": f"{theirs:,.0f}",
                "parameters": f"{own:,}",
                "theirs ": f"{others:,}",
                "pairs": found["repeats"],
            }
        )
    return pd.DataFrame(rows).fillna("")


def decoding(results: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ours": spec["arch"],
            "ms per token": f"{found['ours'] * 1e3:.2f}",
            "transformers' generate": f"{found['theirs'] * 1e3:.2f}",
            "times as fast": f"{found['ratio']:.2f} {quartiles(found)}",
            "to reach": against(found["ratio"], DECODING),
        }
        for spec, found in of(results, "decode")
        if "error" not in found
    )


def scans(results: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "length": f"{spec['length']:,}",
            "forward and backward, ms": f"{found['seconds'] * 1e3:.1f}",
            "µs per step": f"{found['seconds'] * 1e6 / spec['length']:.2f}",
            "peak, MB": f"{found['peak'] / 1e6:.0f}",
            f"of inputs, outputs, gradients (at most {SCAN_MEMORY:g})": f"{found['ratio']:.2f}",
        }
        for spec, found in of(results, "scan")
        if "error" not in found
    )


def slope(results: list[dict], figure: str) -> float:
    """Exponent of a scan's figure in length: least squares on log-log axes."""
    points = [
        (math.log(s["length"]), math.log(f[figure])) for s, f in of(results, "scan") if "error" not in f
    ]
    frame = pd.DataFrame(points, columns=["x", "y"])
    return float(frame["x"].cov(frame["y"]) / frame["x"].var())


def of(results: list[dict], what: str) -> Iterator[tuple[dict, dict]]:
    return ((r["spec"], r["found"]) for r in results if r["spec"]["what"] == what)


def markdown(results: list[dict], about: Mapping[str, Any], command: str) -> str:
    """The whole report."""
    others = ("torch", "transformers", "x-transformers", "mambapy")
    versions = ", ".join(f"{name} {version_of(name)}" for name in others)
    parts = [
        "# Beside other libraries",
        f"`{command}` on {about['processor']}, {about['threads']} threads, Python {about['python']}, "
        f"{versions}, revision {about['git']}.",
        "The same shapes taking turns in one process per row: medians of the paired ratios with their "
        "quartiles. A whole training step is forward, loss, backward and fused AdamW, without dropout: 512 "
        "tokens, a vocabulary of 4,096; width 128 with batch 8 and 4 layers (8 for Mamba), width 512 with "
        "batch 4 and 4 layers. Our head reads only the positions that are scored: for BERT, 15% of them, "
        "where transformers computes the logits of all.",
    ]
    if (table := training(results)).size:
        parts += ["## Training", table.to_markdown(index=False, disable_numparse=True)]
    if (table := decoding(results)).size:
        parts += [
            "## Decoding, one sequence at width 128",
            table.to_markdown(index=False, disable_numparse=True),
        ]
    for _, found in of(results, "context"):
        if "error" not in found:
            times = ", ".join(f"{int(n):,}: {value * 1e3:.2f}" for n, value in found.items())
            parts.append(f"Mamba's milliseconds per token by tokens of context: {times}.")
    if (table := scans(results)).size:
        parts += ["## Selective scan, B1 E256 N16", table.to_markdown(index=False, disable_numparse=True)]
        if len(table) > 1:
            time, memory = slope(results, "seconds"), slope(results, "peak")
            parts.append(f"Exponents in length: time {time:.3f}, memory {memory:.3f}.")
    for spec, found in of(results, "share"):
        if "error" not in found:
            parts += [
                f"## Where a GPT step goes at width {spec['width']}",
                f"A training step reaches {found['share']:.0%} of the matmul rate measured in turn with it "
                f"({found['matmul_peak'] / 1e9:.0f} GFLOP/s); to reach: {against(found['share'], SHARE)}.",
                pd.DataFrame(
                    {"operation": name, "share of the step's CPU time": f"{part:.1%}"}
                    for name, part in found["profile"].items()
                ).to_markdown(index=False, disable_numparse=True),
            ]
    failed = [line(r["spec"], r["found"]) for r in results if "error" in r["found"]]
    return "\n\n".join(parts + [f"Failed: {text}" for text in failed]) + "\n"
