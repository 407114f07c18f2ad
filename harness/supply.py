"""How fast tasks make batches, and how long training waits for them: `python -m harness.supply [TASK ...]`.

For each generated task at its default configuration: corpus tokens per second of one core (processor time of
whole batches, drawing included), and the share of training time that a GPT of 250k parameters spends waiting
for data. Writes results/supply/report.md, and command.txt beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track
from tabulate import tabulate

from tasks.synthetic.generated import GeneratedTask
from tasks.task import Task

from . import record
from .building import make_task, unsized
from .compose import compose
from .plan import plan
from .searchpath import conf_dir
from .train import run

OUT = Path("results/supply/report.md")
COMMAND = "python -m harness.supply"
BATCH = 64
BATCHES = 100
STEPS = 30
HELD = 16  # examples to evaluate on, which is no part of what is measured
# Images are sequences longer than GPT's table of positions as it is written.
OVERRIDES = ["arch=gpt", "size=250k", f"batch_size={BATCH}", "arch.position.max_len=2048", "progress=false"]
ABOUT = f"""# How fast tasks make their batches

```sh
{COMMAND}
```

Tokens per second of one core in batches of {BATCH}, drawing and layout included, over {BATCHES} batches (a
fixed training set is drawn whole at the first of them, unless a task has kept it from before). *Waiting* is
the share of the training time in which a GPT of 250k parameters waits for data, over {STEPS} steps of such
batches in one thread.

"""


def generated() -> Iterator[str]:
    """The names of conf/task whose examples are drawn."""
    for path in sorted((conf_dir() / "task").glob("*.yaml")):
        node = compose("train", [f"task={path.stem}"]).task
        module, _, name = str(node["_target_"]).rpartition(".")
        target = getattr(__import__(module, fromlist=[name]), name)
        if issubclass(target, GeneratedTask):
            yield path.stem


def speed(task: Task) -> float:
    """Tokens per second of processor time."""
    begin, tokens = time.process_time(), 0
    for index in range(BATCHES):
        tokens += task.batch(1, index, BATCH).consumed
    return tokens / (time.process_time() - begin)


def waiting(name: str) -> float:
    """Share of training time spent waiting for batches."""
    with tempfile.TemporaryDirectory() as folder:
        own = ["budget=steps", f"budget.steps={STEPS}", "evaluations=0", "trainer.threads=1"]
        own += [f"task.{split}_examples={HELD}" for split in ("validation", "test", "quick")]
        config = compose("train", [*OVERRIDES, f"task={name}", *own, f"results_dir={folder}"])
        if run(config):
            raise SystemExit(f"{name}: the run did not complete")
        return float(record.read_record(plan(config).folder)["waiting_share"])


def main() -> None:
    rows = []
    names = sys.argv[1:] or list(generated())
    for name in track(names, "tasks", console=Console(stderr=True)):
        config = compose("train", [*OVERRIDES, f"task={name}"])
        task = make_task(config, unsized(config))
        rows.append([name, f"{speed(task) / 1e6:.1f}M", f"{waiting(name):.2%}"])
    table = tabulate(rows, ["task", "tokens/s", "waiting"], tablefmt="pipe", disable_numparse=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(ABOUT + table + "\n", encoding="utf-8")
    OUT.with_name("command.txt").write_text(" ".join([COMMAND, *sys.argv[1:]]) + "\n", encoding="utf-8")
    print(table)
    print(OUT)


if __name__ == "__main__":
    main()
