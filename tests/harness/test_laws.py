"""A scaling law is fitted to runs that differ in size and budget, and in nothing else."""

from harness.report.grouping import compare
from harness.report.laws import laws
from harness.statistics.scaling import Fit

LAWS = {"one": Fit(E=0.8, A=60, a=0.4, B=200, b=0.4), "other": Fit(E=1.6, A=90, a=0.4, B=300, b=0.4)}


def runs(tokenizer, law, task="language"):
    return [
        {
            "identity": f"{tokenizer}{n}{d}", "arch": "gpt", "task": task, "seed": 1, "status": "completed",
            "tokens": d, "parameters": {"non_embedding": n}, "digests": {"tokenizer": tokenizer},
            "validation": {"continuation_bpb": float(law.loss(n, d))},
            "config": {"size": n, "budget": {"kind": "tokens", "tokens": d}},
        }
        for n in (1e5, 3e5, 1e6, 3e6)
        for d in (1e6, 3e6, 1e7, 3e7)
    ]  # fmt: skip


def test_runs_of_two_tokenizers_have_a_law_each():
    found = laws(compare([run for name, law in LAWS.items() for run in runs(name, law)]))
    assert sorted(law.title for law in found) == ["language (tokenizer one)", "language (tokenizer other)"]
    for law in found:
        truth = LAWS["one" if "one" in law.title else "other"]
        assert len(law.fits["gpt"].used) == 16
        assert abs(law.fits["gpt"].E - truth.E) < 0.02


def test_one_law_is_named_by_its_task_alone():
    (law,) = laws(compare(runs("one", LAWS["one"])))
    assert law.title == "language"
    assert laws(compare(runs("one", LAWS["one"])[:11])) == []
