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


def write_points(root, archs=tuple(FAMILIES), lengths=(128, 512, 2048, 8192)):
    """A length sweep whose longest bert point ran out of memory."""
    folder = root / "bench"
    folder.mkdir(parents=True)
    for arch in archs:
        for length in lengths:
            step = 4096 * 1e-4 * (1 + (0 if arch == "mamba" else length / 2048))
            point = {
                "arch": arch, "length": length, "batch": 1, "status": "ok",
                "seconds": {"train_step": step * length / 4096}, "peak_memory": 3e7 * (1 + length / 512),
                "tokens_per_second": 1e4, "state_bytes": 1024,
            }  # fmt: skip
            if (arch, length) == ("bert", 8192):
                point = {"arch": arch, "length": length, "batch": 1, "status": "out-of-memory"}
            (folder / f"{arch}-{length}.json").write_text(json.dumps(point))
