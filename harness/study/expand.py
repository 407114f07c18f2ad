"""The runs of a study: what each is, what it is called, and the overrides that compose it.

    label x task x axes x fold x rate x seed  ->  Job

Later overrides win: shared, the task's, the variant's, the axes', the sweep's own, then what the user typed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..compose import compose
from ..diagnose import parse
from ..errors import ConfigError, nearest
from .spec import OWN, Study

Axes = tuple[tuple[str, Any], ...]
Rates = Mapping[tuple[str, str, Axes], float | None]  # chosen, by (label, task, axes left free by the sweep)


@dataclass(frozen=True)
class Job:
    """One run of a study. axes: ((key, value), ...); fold: null where its task has none.

    overrides: what composes it but for `init_from`, the folder of the run `start` of the same stage.
    """

    stage: str
    label: str
    task: str
    axes: Axes
    fold: int | None
    seed: int
    lr: float
    overrides: tuple[str, ...]
    start: Job | None = None

    @property
    def title(self) -> str:
        where = [*(f"{key.split('.')[-1]} {value}" for key, value in self.axes)]
        where += [] if self.fold is None else [f"fold {self.fold}"]
        return " · ".join([self.label, self.task, *where, f"lr {self.lr:g}", f"seed {self.seed}"])

    @property
    def shape(self) -> tuple[str, str, str, Axes]:
        """What jobs share that cost the same."""
        return self.stage, self.label, self.task, self.axes


@dataclass(frozen=True)
class Expansion:
    """Expands one study. user: overrides that win over all; study_name: the folder of the final runs."""

    study: Study
    user: Sequence[str]
    study_name: str
    folded: frozenset[str]  # the tasks that are run once per fold

    def trials(self, task: str, rates: Rates) -> Iterator[Job]:
        """The sweep's runs of one task, seed by seed; of a task whose rate is given, one per seed.

        Folds are for estimating what is reported: rates are chosen on the first.
        """
        sweep = self.study.sweep
        assert sweep is not None
        for seed, label, axes in product(sweep.seeds, self.study.archs, self.axes("sweep")):
            given = self.study.tasks[task].lr
            for lr in sweep.lr if given is None else given_rates(given, task, label):
                yield from self._job("sweep", label, task, axes, 0, seed, lr, rates)

    def finals(self, task: str, rates: Rates) -> Iterator[Job]:
        """The reported runs of one task, seed by seed so that every architecture is seen early.

        Those of an architecture for which no rate could be chosen are left out.
        """
        for seed, label, axes in product(self.study.seeds, self.study.archs, self.axes("final")):
            for lr, fold in product(self.rates(label, task, axes, rates), range(self.study.folds)):
                if fold == 0 or task in self.folded:
                    yield from self._job("final", label, task, axes, fold, seed, lr, rates)

    def axes(self, stage: str) -> list[Axes]:
        """Every point of the grid; in the sweep with the axes that it holds."""
        held = self.study.sweep.at if stage == "sweep" and self.study.sweep else {}
        values = [[held[axis]] if axis in held else of for axis, of in self.study.grid.items()]
        values = [[tuple(value) if isinstance(value, list) else value for value in each] for each in values]
        return [tuple(zip(self.study.grid, point, strict=True)) for point in product(*values)]

    def rates(self, label: str, task: str, axes: Axes, chosen: Rates) -> list[float]:
        """The rates of a final run: the task's own, or the one that the sweep chose."""
        given = self.study.tasks[task].lr
        if given is not None:
            return given_rates(given, task, label)
        rate = chosen.get(self.choice(label, task, axes))
        return [] if rate is None else [rate]

    def choice(self, label: str, task: str, axes: Axes) -> tuple[str, str, Axes]:
        """Whose rate a run takes: the key of `chosen` that stands for it."""
        sweep = self.study.sweep
        assert sweep is not None
        free = tuple((axis, value) for axis, value in axes if axis not in sweep.at)
        return label, sweep.on or task, free

    def _job(
        self, stage: str, label: str, task: str, axes: Axes, fold: int, seed: int, lr: float, rates: Rates
    ) -> Iterator[Job]:
        """The job, unless what it starts from has no rate."""
        study, block = self.study, self.study.tasks[task]
        start = None
        if block.init_from is not None:
            found = self.rates(label, block.init_from, axes, rates)
            if not found:
                return
            if len(found) > 1:
                raise ConfigError(
                    f"study.tasks.{task}.init_from={block.init_from}: it has {len(found)} rates for {label}, "
                    "and a run can start from one"
                )
            start = next(self._job(stage, label, block.init_from, axes, fold, seed, found[0], rates), None)
        folds = {"task.fold": fold} if task in self.folded else {}
        own = study.sweep.overrides if stage == "sweep" and study.sweep else {}
        name = f"{self.study_name}/sweep" if stage == "sweep" else self.study_name
        named = label if start is None else f"{label} from {block.init_from}"
        run = {"optim.lr": lr, "seed": seed, "label": named, "study_name": name}
        overrides = (
            *lines(study.shared),
            *lines(block.overrides),
            *study.archs[label],
            *lines(dict(axes)),
            *lines(own),
            *self.user,
            *lines({**folds, **run, "progress": False}),
        )
        yield Job(stage, label, task, axes, fold if folds else None, seed, lr, overrides, start)


def lines(chosen: Mapping[str, Any]) -> list[str]:
    """Overrides as they are typed, from {key: value}."""
    return [f"{key}={typed(value)}" for key, value in chosen.items()]


def typed(value: Any) -> str:
    """A plain value in the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not all(letter.isalnum() or letter in "._/-+*" for letter in value):
        escaped = value.replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def given_rates(given: Any, task: str, label: str) -> list[float]:
    """The rates of one architecture: from one for all, or from {label: rate or rates}."""
    if isinstance(given, Mapping):
        if label not in given:
            near = nearest(label, given)
            raise ConfigError(
                f"study.tasks.{task}.lr has no rate for {label}, only for {', '.join(given)}"
                + (f" (nearest: {near})" if near else "")
                + f": add one to the study's YAML, or give one to all with study.tasks.{task}.lr=1e-3"
            )
        given = given[label]
    return list(given) if isinstance(given, list) else [given]


def refuse_own(user: Sequence[str]) -> None:
    """Raise ConfigError for an override that the study sets itself, run by run."""
    for override in parse(user):
        if override.key_or_group in OWN:
            key = override.key_or_group
            raise ConfigError(f"{override.input_line}: a study sets {key} run by run; write {OWN[key]}")


def composed(
    job: Job, init_from: str | None = None, *, known: MutableMapping[Any, DictConfig] | None = None
) -> DictConfig:
    """The job's configuration. Raises ConfigError naming the part of the study that does not compose.

    known: what has been composed already. Jobs that differ in seed, rate and fold alone are composed once,
    since Hydra takes longer for that than all the rest of planning.
    """
    values = {"seed": job.seed, "optim.lr": job.lr} | ({} if job.fold is None else {"task.fold": job.fold})
    others = tuple(line for line in job.overrides if line.partition("=")[0] not in values)
    known = {} if known is None else known
    if (others, init_from) not in known:
        extra = [] if init_from is None else lines({"init_from": init_from})
        try:
            known[others, init_from] = compose("train", [*job.overrides, *extra])
        except ConfigError as error:
            place = " · ".join([job.label, job.task, *(f"{key}={value}" for key, value in job.axes)])
            raise ConfigError(f"study, {place}: {error}") from error
    config = known[others, init_from].copy()
    for key, value in values.items():
        OmegaConf.update(config, key, value)
    return config


def folded(study: Study, user: Sequence[str]) -> frozenset[str]:
    """The tasks of a study with `folds` that are run once per fold: those with a key `fold`.

    Raises ConfigError where none has one.
    """
    if study.folds == 1:
        return frozenset()
    found = set()
    for name, block in study.tasks.items():
        first = next(iter(study.archs.values()))
        config = compose("train", [*lines(study.shared), *lines(block.overrides), *first, *user])
        if OmegaConf.select(config, "task.fold", default=()) != ():
            found.add(name)
    if not found:
        raise ConfigError(f"study.folds={study.folds}: none of {', '.join(study.tasks)} has a key task.fold")
    return frozenset(found)
