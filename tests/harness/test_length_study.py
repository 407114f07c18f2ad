"""A study that benches its architectures: every row of it finds what it costs, at its own size."""

from xml.etree import ElementTree

import pytest
import yaml
from sample_records import sample_point, write_run

from harness.compose import compose
from harness.counts import parse_count
from harness.efficiency.points import points
from harness.efficiency.variants import sizes
from harness.report import plots
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.lengths import lengths
from harness.report.points import read_point
from harness.searchpath import conf_dir
from harness.statistics.lengths import POINTS_NEEDED
from harness.strict import as_dict
from harness.study import lengths as bench_of
from harness.study.spec import read

STUDIES = [
    pytest.param(path.stem, scale, marks=[pytest.mark.slow] if scale else [])
    for path in sorted((conf_dir() / "study").glob("*.yaml"))
    if (node := yaml.safe_load(path.read_text())).get("bench")
    for scale in (None, *(node.get("scales") or {}))
]
LEARNED = ("gpt", "bert")  # whose tables of positions end where training did
READ = {"tokens": 1_000_000, "bytes": 2_830_000}  # what a byte-pair encoding of 1,024 makes of speeches


@pytest.mark.parametrize(("name", "scale"), STUDIES)
def test_every_row_of_a_study_stands_in_the_plane(name, scale, tmp_path):
    config = compose("compare", [f"study={name}"])
    study = read(as_dict(config.study, resolve=True), scale)
    asked = bench_of(config, study)
    assert len(asked.lengths) >= POINTS_NEEDED, "fewer tell no exponent"
    asked.device, asked.threads = "cpu", 1
    assert parse_count(study.shared["size"]) in sizes(asked)
    asked.size = study.shared["size"]
    measured = [
        read_point(
            sample_point(p.label, p.length, p.mode, p.side)
            | {"setting": p.setting, "family": p.family, "base": p.base}
        )
        for p in points(asked, tmp_path, pytest.fail)
    ]
    text = study.tasks["language"].overrides
    contexts = [n * text["task.context_bytes"] for n in (1, *text["task.beyond"])]
    for label in study.archs:
        bits = {
            f"validation__continuation_bpb_context_bytes_{n}": None
            if label in LEARNED and n != contexts[0]
            else 2.0
            for n in contexts
        }
        write_run(tmp_path, label, curves=False, config__size=study.shared["size"], **READ, **bits)
    (part,) = lengths(measured)
    drawn = {p.name: p.svg for p in plots.length_plots(part, compare(collect(tmp_path).records))}
    said = [node.text or "" for node in ElementTree.fromstring(drawn["bench-plane-language-0"]).iter()]
    assert set(study.archs) <= set(map(str.strip, said))
