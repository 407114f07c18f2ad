"""What a study will cost, before it starts: runs, tokens, FLOPs and time by stage and task, then the time of
the test split and of the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..counts import format_count
from ..plan import Plan
from .expand import Job
from .speed import Speed, asked

TRAINING = ("sweep", "final")  # the stages that are made of runs


@dataclass(frozen=True)
class Cost:
    """What one run is expected to take."""

    tokens: float
    flops: float
    seconds: float
    test_seconds: float


@dataclass(frozen=True)
class Line:
    """One line of the estimate. runs: of the stage (of a bench its points); todo: those without a result,
    whose cost the rest is; rough: whether nothing was timed for it."""

    stage: str
    task: str
    runs: int
    todo: int
    tokens: float
    flops: float
    seconds: float
    rough: bool = False


def cost(planned: Plan, speed: Speed, *, test: bool) -> Cost:
    """The cost of a run at its speed; under a budget of seconds the tokens follow from it.

    test: whether it is to be judged on the test split, which may be larger than that of validation.
    """
    step = planned.per_step
    if planned.steps is None:
        steps, training = planned.budget.amount * speed.tokens_per_second / step.tokens, planned.budget.amount
    else:
        steps, training = planned.steps, planned.steps * step.tokens / speed.tokens_per_second
    judging = speed.full * asked(planned, "test") / asked(planned, "validation") if test else 0.0
    return Cost(steps * step.tokens, steps * step.flops, training + speed.around, judging)


def lines(
    jobs: Sequence[Job],
    todo: Sequence[bool],
    untested: Sequence[bool],
    costs: Mapping[object, Cost],
    at_once: int,
) -> list[Line]:
    """The estimate by stage and task, in the order of `jobs`; the time is divided by the runs at once.

    untested: of each job whether the test split is still to be read for it.
    """
    found = []
    for stage, task in dict.fromkeys((job.stage, job.task) for job in jobs):
        here = [
            (job, left)
            for job, left in zip(jobs, todo, strict=True)
            if (job.stage, job.task) == (stage, task)
        ]
        left = [costs[job.shape] for job, undone in here if undone]
        seconds = sum(each.seconds for each in left) / at_once
        amounts = sum(each.tokens for each in left), sum(each.flops for each in left)
        found.append(Line(stage, task, len(here), len(left), *amounts, seconds))
    unread = [costs[job.shape].test_seconds for job, left in zip(jobs, untested, strict=True) if left]
    if unread:
        finals = sum(job.stage == "final" for job in jobs)
        found.append(Line("test", "all", finals, len(unread), 0, 0, sum(unread) / at_once))
    return found


def table(found: Sequence[Line], at_once: int) -> Table:
    aside = "" if at_once == 1 else f", {at_once} runs at a time"
    rough = any(line.rough for line in found)
    shown = Table(
        title=f"estimate, from a few steps on this machine{aside}",
        caption="~ rough, from the number of operations alone" if rough else None,
        box=SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("stage", "task", "runs", "to do", "tokens", "FLOPs", "time"):
        shown.add_column(heading, justify="left" if heading in ("stage", "task") else "right")
    for line in found:
        shown.add_row(line.stage, line.task, *_amounts(line))
    if len(found) > 1:
        trained = [line for line in found if line.stage in TRAINING]
        total = Line(
            "all",
            "",
            sum(line.runs for line in trained),
            sum(line.todo for line in trained),
            sum(line.tokens for line in found),
            sum(line.flops for line in found),
            sum(line.seconds for line in found),
            rough,
        )
        shown.add_section()
        shown.add_row("all", "", *_amounts(total))
    return shown


def _amounts(line: Line) -> list[str]:
    spent = [rounded(line.tokens), f"{line.flops:.1e}"] if line.tokens else ["–", "–"]
    return [str(line.runs), str(line.todo), *spent, "~ " * line.rough + duration(line.seconds)]


def rounded(count: float) -> str:
    """About two digits: 614k, 12M."""
    power = 10 ** max(0, len(str(int(count))) - 2)
    return format_count(round(count / power) * power)


def duration(seconds: float) -> str:
    """A length of time as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
