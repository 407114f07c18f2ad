"""Pictures of how well runs do beside what length costs, and of where in a sequence they do well."""

import re
from xml.etree import ElementTree

import pytest
from sample_records import FAMILIES, write_points, write_run

from archs.contract import Family
from harness.report import plots
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.lengths import lengths
from harness.report.palette import styles
from tasks.layout import asked


def texts(svg):
    return [text for node in ElementTree.fromstring(svg).iter() if (text := (node.text or "").strip())]


def study(root, size="1M"):
    for arch, worse in (("gpt", 0.06), ("mamba", -0.02), ("bert", 0.0)):
        for seed in (1, 2):
            bits = {n: 2 + worse * i for i, n in enumerate((512, 1024, 2048, 4096))}
            more = {f"validation__continuation_bpb_context_bytes_{n}": value for n, value in bits.items()}
            if arch == "bert":
                more["validation__continuation_bpb_context_bytes_4096"] = None
            else:
                more["validation__by_position"] = {str(2**i): 4 / (i + 1) for i in range(12)}
            write_run(root, arch, seed, curves=False, config__size=size, **more)
            right = {f"validation__accuracy_length_{n}": 0.9 - n / 4000 for n in (256, 512, 1024)}
            depths = {part: {"0": 0.9, "50": 0.5, "100": 0.8} for part in ("trained", "length_512")}
            write_run(root, arch, seed, "needle", curves=False, validation__by_depth=depths, **right)
    write_points(root)
    return compare(collect(root).records), lengths(collect(root).points)[0]


def test_quality_cost_and_length_share_a_plane(tmp_path):
    comparisons, part = study(tmp_path)
    drawn = {plot.name: plot for plot in plots.length_plots(part, comparisons)}
    language, needle = drawn["bench-plane-language-0"], drawn["bench-plane-needle-1"]
    said = texts(language.svg)
    assert {"gpt", "mamba", "bert", "512", "4k", "continuation (bits/byte)", "time to read a token"} <= set(
        said
    )
    assert "2k" in said  # where bert's path ends: it has no positions further on
    assert "bytes of context" in language.caption
    assert language.caption.endswith("read more for it: bert (the context once per scored token).")
    assert {"256", "1k", "accuracy (%)", "memory to read a sequence"} <= set(texts(needle.svg))


def test_costs_of_another_size_are_no_costs_of_these_runs(tmp_path):
    comparisons, part = study(tmp_path, size="10M")
    names = [plot.name for plot in plots.length_plots(part, comparisons)]
    assert not any("plane-language" in name for name in names)


def test_bits_by_position_and_accuracy_by_depth(tmp_path):
    comparisons, _ = study(tmp_path)
    language, needle = comparisons
    drawn = {plot.name: plot for plot in [*plots.plots(language, "language"), *plots.plots(needle, "needle")]}
    said = texts(drawn["language-positions"].svg)
    assert {"position in the window (tokens)", "gpt", "mamba", "2k"} <= set(said)
    assert "bert" not in said
    depths = texts(drawn["needle-depths"].svg)
    assert {"length trained on", "length 512", "depth (% of what precedes the question)"} <= set(depths)
    assert "bert cannot do 4096" in drawn["language-context-bytes"].caption


# --------------------------------------------------------------------- what a plane may say, and of whom


def planes_of(root, archs, at, **changes):
    """Planes of runs that are asked at those lengths, the first architecture the best."""
    for place, arch in enumerate(archs):
        right = {f"validation__accuracy_length_{n}": 0.9 - place / 10 for n in at}
        own = {key: value(arch) if callable(value) else value for key, value in changes.items()}
        write_run(root, arch, 1, "needle", curves=False, **right, **own)
    write_points(root)
    drawn = plots.length_plots(lengths(collect(root).points)[0], compare(collect(root).records))
    return [plot for plot in drawn if "plane" in plot.name]


def filled(plane, archs):
    """Whose marks are filled."""
    marks = [node.get("style", "") for node in ElementTree.fromstring(plane.svg).iter() if "use" in node.tag]
    colours = {arch: look.color for arch, look in styles({arch: arch for arch in archs}).items()}
    return {
        arch for arch, own in colours.items() if any(re.search(f"fill: [^;]*{own}", mark) for mark in marks)
    }


EVERYONE = ("t5", "bert", "gpt", "mamba")


@pytest.mark.parametrize(
    ("in_place", "targets", "apart", "best"),
    [
        (True, 1_000_000, {"t5": "the source in its decoder, too"}, "bert"),
        (False, 100_000, {}, "t5"),  # answers of a few tokens
        (False, 1_000_000, dict.fromkeys(EVERYONE, "answers too, which are no small part"), None),
    ],
)
def test_whose_answers_took_more_than_is_charged_is_never_filled(tmp_path, in_place, targets, apart, best):
    (plane,) = planes_of(
        tmp_path, EVERYONE, (128, 512), targets=targets, tokens=2_000_000,
        asked=lambda arch: asked(Family(FAMILIES[arch]), in_place),
    )  # fmt: skip
    told = plane.caption.partition("read more for it: ")[2]
    assert dict(re.findall(r"(\w+) \((.*?)\)", told)) == apart
    found = filled(plane, EVERYONE)
    assert not found & apart.keys()
    assert best in found if best else not found


@pytest.mark.parametrize(("at", "drawn"), [((16, 64, 128), 0), ((32, 128, 256), 1), ((16_384, 32_768), 0)])
def test_rows_that_share_one_length_alone_have_no_plane(tmp_path, at, drawn):
    assert len(planes_of(tmp_path, ("gpt", "mamba"), at, targets=100_000)) == drawn
