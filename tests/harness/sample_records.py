"""Run folders as a study leaves them, with invented numbers."""

import json
import math
import random

from harness.record import append_metrics, write_record

FAMILIES = {"bert": "encoder", "gpt": "decoder", "t5": "encoder-decoder", "mamba": "decoder"}
OBJECTIVES = {"encoder": "masked", "decoder": "causal", "encoder-decoder": "span_prefix"}
BITS = {"bert": 2.41, "gpt": 1.92, "t5": 2.05, "mamba": 1.71}
RECALL = {"bert": 1.0, "gpt": 0.995, "t5": 0.42, "mamba": 0.26}


def write_run(
    root,
    arch="gpt",
    seed=1,
    task="language",
    *,
    status="completed",
    test=False,
    curves=True,
    parts=None,
    clusters=0,
    **changes,
):
    """One run folder below `root`; `changes` go into its record, dotted keys (with __) into nested ones.

    parts: {"pairs": (4, 8)} adds accuracy_pairs_4, ...; a number below 0 stands for one that the model cannot
    do. clusters: of the test set, in test.json.
    """
    family = FAMILIES.get(arch, "decoder")
    draw = random.Random(f"{arch} {seed} {task}")
    noise = draw.gauss(0, 0.01)
    if task == "language":
        context = "left" if family == "decoder" else "both"
        bits = BITS.get(arch, 2.0) + noise
        metrics = {
            "continuation_bpb": bits,
            "infill_bpb": bits + 0.1,
            "native_loss": 2 * bits,
            "infill_context": context,
        }
        baselines = {
            "unigram": {"continuation_bpb": 2.42, "infill_bpb": 2.44},
            "bigram": {"continuation_bpb": 2.08, "infill_bpb": 2.1},
            "xz -9": {"continuation_bpb": 2.31},
        }
    else:
        accuracy = min(1.0, RECALL.get(arch, 0.5) + abs(noise) / 4)
        metrics = {"accuracy": accuracy, "exact_match": accuracy**4, "native_loss": 3 * (1 - accuracy)}
        baselines = {"chance": {"accuracy": 0.25}}
    for axis, numbers in (parts or {}).items():
        for place, number in enumerate(numbers):
            value = metrics["accuracy"] * (1 - 0.1 * place) if number > 0 else None
            metrics[f"accuracy_{axis}_{abs(number)}"] = value
    record = {
        "version": 1,
        "identity": f"{arch}{seed}{task}{len(list(root.iterdir())) if root.exists() else 0:04d}",
        "study": root.name,
        "status": status,
        "attempts": 1,
        "error": None,
        "label": arch,
        "config": {
            "choices": {"arch": arch, "task": task},
            "label": arch,
            "arch": {"_target_": "archs.Decoder", "dim": 128, "depth": 4},
            "task": {"_target_": "tasks.Task", "window": 256},
            "corpus": {"name": "sotu"},
            "tokenizer": {"vocab_size": 2048},
            "budget": {"kind": "tokens", "tokens": "2M"},
            "optim": {"name": "adamw", "lr": 0.003},
            "size": "1M",
            "seed": seed,
            "batch_size": 16,
            "results_dir": str(root.parent),
            "study_name": root.name,
        },
        "arch": arch,
        "task": task,
        "objective": OBJECTIVES[family] if task == "language" else "answers",
        "asked": OBJECTIVES[family] if task == "language" else "read in place",
        "family": family,
        "seed": seed,
        "lr": 0.003,
        "parameters": {"total": 1_262_144, "non_embedding": 1_003_520, "active": 1_262_144},
        "flops": 1.3e13,
        "tokens": 2_000_896,
        "bytes": 6_100_000,
        "positions": 2_000_896,
        "targets": 2_000_000,
        "epochs": 0.61,
        "steps": 488,
        "seconds": 61.3 + 10 * noise,
        "tokens_per_second": 32_600.0 * (0.4 if arch == "mamba" else 1),
        "peak_memory": 412_000_000,
        "state_bytes": 524_288 if arch != "mamba" else 36_864,
        "validation": metrics,
        "baselines": baselines,
        "curve_baselines": baselines,
        "digests": {"corpus": "c" * 64, "tokenizer": "t" * 64, "windows": "w" * 64}
        if task == "language"
        else {},
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0",
            "device": "cpu",
            "threads": 2,
            "git": "a210cf3",
        },
        "started": "2026-01-05T10:00:00+00:00",
        "finished": "2026-01-05T10:01:04+00:00",
    }
    record["name"] = f"{arch}-{task}-s{seed}"
    for key, value in changes.items():
        *path, last = key.split("__")
        node = record
        for step in path:
            node = node[step]
        node[last] = value
    if status != "completed":
        record["validation"] = {}
    folder = root / f"{record['name']}-{record['identity']}"
    folder.mkdir(parents=True)
    write_record(folder, record)
    if test:
        better = {k: v - 0.02 if k.endswith("bpb") else v for k, v in metrics.items()}
        content = {**better, "baselines": baselines}
        if clusters:
            content["clusters"] = sample_clusters(better, clusters, draw)
        (folder / "test.json").write_text(json.dumps(content))
    if curves:
        for step in range(1, 41):
            fade = math.exp(-step / 12)
            row = {"kind": "train", "step": step * 12, "tokens": step * 50_000, "seconds": step * 1.5}
            append_metrics(folder, row | {"loss": 3.5 + 4 * fade + draw.gauss(0, 0.05), "lr": 0.003})
            if step % 4 == 0:
                seen = {
                    k: v + (1.5 if k.endswith("bpb") else 1.0 if k == "native_loss" else -v * 0.9) * fade
                    for k, v in metrics.items()
                    if isinstance(v, float)
                }
                append_metrics(folder, row | {"kind": "validation"} | seen)
    return folder


def sample_clusters(metrics, count, draw):
    """Numerators and denominators that add up to the metrics, as test.json has them."""
    found = {"names": [f"document {i}" for i in range(count)]}
    for metric, value in metrics.items():
        if metric in ("continuation_bpb", "infill_bpb", "accuracy", "exact_match"):
            off = [draw.gauss(0, 0.2) for _ in range(count)]
            total = [round(value + each - sum(off) / count, 3) for each in off]
            found[metric] = {"total": total, "count": [1.0] * count}
    return found


def write_sweep(root, archs=("gpt", "mamba"), task="recall", rates=(1e-3, 3e-3, 1e-2)):
    """The sweep.json of a study and a trial's folder; mamba's best is at the edge, one of gpt's diverged."""
    trials, chosen = [], []
    for arch in archs:
        for place, lr in enumerate(rates):
            lost = arch == "gpt" and place == len(rates) - 1
            value = None if lost else 0.5 + (0.1 * place if arch == "mamba" else 0.2 * (place == 1))
            trials.append(
                {"label": arch, "task": task, "axes": {}, "lr": lr, "seed": 100, "primary": "accuracy",
                 "status": "diverged" if lost else "completed", "value": value, "identity": f"{arch}{lr}"}
            )  # fmt: skip
        best = rates[-1] if arch == "mamba" else rates[1]
        edge = best in (rates[0], rates[-1])
        chosen.append(
            {"label": arch, "task": task, "axes": {}, "lr": best, "edge": edge, "trials": len(rates)}
        )
    root.mkdir(parents=True, exist_ok=True)
    (root / "sweep.json").write_text(json.dumps({"grid": list(rates), "trials": trials, "chosen": chosen}))
    write_run(root / "sweep", "gpt", 100, "mqar", curves=False, study=f"{root.name}/sweep")


def write_study(root, seeds=(1,), archs=tuple(FAMILIES), tasks=("language", "mqar"), **changes):
    """A whole study: every architecture on every task with every seed."""
    return [write_run(root, a, s, t, **changes) for t in tasks for s in seeds for a in archs]


LAWS = {  # seconds of a training step for one sequence of T tokens: c0 + c1 T + c2 T^2
    "bert": (2e-4, 2.4e-5, 1.1e-8),
    "gpt": (2e-4, 2.5e-5, 0.6e-8),
    "t5": (4e-4, 3.2e-5, 1.4e-8),
    "mamba": (1e-3, 6.0e-5, 0.0),
}
SWEPT = (128, 512, 2048, 8192)
SETTING = "size 1M, vocabulary 2,048, 16,384 tokens per batch, cpu, 2 threads"


def sample_point(arch, length, mode="tokens", side=None, *, draw=None, **changes):
    """A point as archs-bench writes it, with invented numbers."""
    family = FAMILIES.get(arch, "decoder")
    c0, c1, c2 = LAWS.get(arch, LAWS["gpt"])
    batch = max(1, 16_384 // length) if mode == "tokens" else 1
    noise = math.exp(draw.gauss(0, 0.01)) if draw else 1
    step = batch * (c0 + c1 * length + c2 * length**2) * noise * (0.9 if side == "target" else 1)
    forward = step / 3
    token = 1.1e-3 if arch == "mamba" else 9e-4 + 5e-8 * length
    seconds = {"train_step": step, "forward": forward} if mode == "tokens" else {}
    seconds |= {"forward": forward} if family == "encoder" else {"prefill": forward}
    seconds |= {"decode": token} if family != "encoder" and mode == "single" else {}
    memory = batch * length * (90_000 if arch == "mamba" else 50_000 + (4 * length if arch == "t5" else 0))
    point = {
        "arch": arch, "base": arch, "family": family, "side": side, "length": length, "mode": mode,
        "batch": batch, "setting": SETTING, "model": "0123abcd", "status": "ok", "error": None,
        "ended": {}, "seconds": seconds,
        "quartiles": {work: [0.99 * value, 1.01 * value] for work, value in seconds.items()},
        "repeats": dict.fromkeys(seconds, 9),
        "tokens_per_second": {work: batch * length / value for work, value in seconds.items()},
        "memory": {
            work: {"allocator": memory + 4_000_000, "system": memory + 9_000_000, "baseline": 400_000_000}
            for work in seconds
            if work != "decode"
        },
        "memory_method": "allocator, beside the operating system's",
        "state_bytes": {"encoder": 0}.get(family, 36_864 if arch == "mamba" else 2048 * length),
        "flops": {"train_step": 3e9}, "matmul_peak": 1.5e11, "peak_share": {"train_step": 0.4},
        "drift": 0.01, "attempts": 1, "environment": {"device": "cpu", "threads": 2},
    }  # fmt: skip
    if side:
        point["other_length"] = 128
    if changes.get("status", "ok") != "ok":
        for key in ("seconds", "quartiles", "repeats", "tokens_per_second", "memory", "flops", "peak_share"):
            point[key] = {}
        point |= {"state_bytes": None, "ended": dict.fromkeys(seconds, changes["status"])}
    return point | changes


def write_points(root, archs=tuple(FAMILIES), lengths=SWEPT, modes=("tokens", "single"), **changes):
    """A length sweep whose longest bert point ran out of memory."""
    folder = root / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(5)
    for arch in archs:
        sides = ("source", "target") if FAMILIES.get(arch) == "encoder-decoder" else (None,)
        for side in sides:
            for mode in modes:
                for length in lengths:
                    lost = (arch, length) == ("bert", lengths[-1])
                    ended = {"status": "out-of-memory", "error": "4.1 GiB of 4.0 GiB"} if lost else {}
                    point = sample_point(arch, length, mode, side, draw=draw, **ended, **changes)
                    name = "-".join(filter(None, (arch, side, mode, str(length))))
                    (folder / f"{name}.json").write_text(json.dumps(point))
