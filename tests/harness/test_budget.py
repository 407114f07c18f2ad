"""Every currency is spent alike by the four families, each at its own real cost."""

import pytest

from harness.budget import Budget, Cost, CostModel, Steps
from harness.plan import plan
from tasks.rows import IGNORE

FAMILIES = ("gpt", "bert", "t5", "mamba")
TASKS = {
    "language": [],
    "mqar": ["task=mqar", "task.vocab=64", "task.length=32", "task.pairs=[2,4]"],
}


def planned(tiny, task, *overrides):
    return plan(tiny(*TASKS[task], *overrides, text=task == "language"))


def spent(run, unit):
    """What the steps that a plan pays for really cost, batch by batch."""
    cost, config = CostModel(run.outline), run.config
    batches = run.steps * config["trainer"]["accumulate_grad_batches"]
    size, seed = config["batch_size"], config["seed"]
    return sum(getattr(cost(run.task.batch(seed, index, size)), unit) for index in range(batches))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("arch", FAMILIES)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_tokens_and_flops_are_spent_to_within_one_step(tiny, task, arch, accumulate):
    more = f"trainer.accumulate_grad_batches={accumulate}"
    for unit, amount in (("tokens", 9_000), ("flops", 300_000_000)):
        run = planned(tiny, task, f"arch={arch}", more, f"budget={unit}", f"budget.{unit}={amount}")
        step = getattr(run.per_step, unit)
        assert run.steps > 3
        # Rows of span corruption differ in length: the step that does not fit any more may be a long one.
        assert amount - 2 * step < spent(run, unit) <= amount


@pytest.mark.parametrize("task", TASKS)
def test_equal_tokens_are_equal_steps_on_equal_data(tiny, task):
    runs = [planned(tiny, task, f"arch={a}", "budget=tokens", "budget.tokens=9000") for a in FAMILIES]
    assert len({run.steps for run in runs}) == len({spent(run, "tokens") for run in runs}) == 1


@pytest.mark.parametrize("arch", FAMILIES)
def test_steps_are_steps_and_seconds_are_known_only_by_running(tiny, arch):
    assert planned(tiny, "mqar", f"arch={arch}", "budget=steps", "budget.steps=7").steps == 7
    assert planned(tiny, "mqar", f"arch={arch}", "budget=seconds", "budget.seconds=2").steps is None


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_family_is_charged_its_own_rows(tiny, arch):
    """By hand: three times the flops of the rows as they are, the head at scored positions alone."""
    run = planned(tiny, "language", f"arch={arch}")
    batch = run.task.batch(1, 0, 4)
    rows, T = batch.tokens.shape
    S = 0 if batch.source is None else batch.source.shape[1]
    scored = int((batch.targets != IGNORE).sum())
    head = run.outline.flops(T, S, 1) - run.outline.flops(T, S, 0)
    cost = CostModel(run.outline)(batch)
    assert cost.flops == 3 * (rows * run.outline.flops(T, S, 0) + scored * head)
    assert (S > 0) == (arch == "t5")
    assert (cost.tokens, cost.positions, cost.targets) == (4 * 48, rows * (T + S), scored)


def test_several_devices_share_the_budget(tiny):
    one = planned(tiny, "mqar", "budget=tokens", "budget.tokens=9000")
    two = planned(tiny, "mqar", "budget=tokens", "budget.tokens=9000", "trainer.devices=2")
    assert two.per_step.tokens == 2 * one.per_step.tokens
    assert two.steps == one.steps // 2


class Uneven:
    """A task whose batch number i costs 1 + i % 3, in tokens as in FLOPs."""

    def typical(self, size, count):
        return list(range(count))

    def batch(self, seed, index, size):
        return Cost(1 + index % 3, 1, 1, 1 + index % 3)


@pytest.mark.parametrize("amount", [7, 100, 5000])
@pytest.mark.parametrize("kind", ["tokens", "flops"])
def test_uneven_batches_are_counted_one_by_one_and_beyond_that_by_their_mean(kind, amount):
    steps = Steps(Uneven(), lambda batch: batch, 1, 1, 1).paid_by(Budget(kind, amount))
    cost = sum(1 + index % 3 for index in range(steps))
    assert abs(cost - amount) <= 3
    assert cost <= amount or amount > 1024


def test_less_than_a_step_is_refused_in_one_line(tiny):
    with pytest.raises(ValueError, match=r"budget.tokens=5 is less than one step, which") as refusal:
        planned(tiny, "language", "budget=tokens", "budget.tokens=5")
    assert "\n" not in str(refusal.value)
