"""Plots are well-formed SVG that takes its colours from the page, and shows what there is."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import write_run, write_study, write_sweep

from harness.report import palette, plots
from harness.report.across import across
from harness.report.collect import collect
from harness.report.frontier import frontier
from harness.report.grouping import compare
from harness.report.plot_study import scaling_plot
from harness.statistics.scaling import Fit, Point


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_study(root, seeds=(1, 2))
    language, mqar = compare(collect(root).records)
    return plots.plots(language, "language") + plots.plots(mqar, "mqar")


def texts(svg):
    return [text for node in ElementTree.fromstring(svg).iter() if (text := (node.text or "").strip())]


def test_every_plot_is_there_once(drawn):
    names = [plot.name for plot in drawn]
    assert names == [
        *(f"language-{kind}" for kind in ("continuation_bpb", "infill_bpb", "cost", "losses")),
        *(f"mqar-{kind}" for kind in ("accuracy", "cost", "losses")),
    ]


def test_plots_are_well_formed_and_take_their_colours_from_the_page(drawn):
    for plot in drawn:
        root = ElementTree.fromstring(plot.svg)
        assert {"viewBox"} <= set(root.attrib)
        assert not {"width", "height"} & set(root.attrib)
        assert "var(--ink" in plot.svg
        for colour in palette.COLOURS:
            assert plot.svg.count(colour.light) == plot.svg.count(f"var({colour.variable}, {colour.light})")
        assert "#000000" not in plot.svg
        assert "DejaVu" not in plot.svg


def test_axes_have_units_and_rows_have_names(drawn):
    by_name = {plot.name: texts(plot.svg) for plot in drawn}
    assert {"corpus tokens", "continuation (bits/byte)", "bert", "gpt", "t5", "mamba"} <= set(
        by_name["language-continuation_bpb"]
    )
    assert {"unigram", "bigram", "xz -9"} <= set(by_name["language-continuation_bpb"])
    assert "chance" in by_name["mqar-accuracy"]


def test_losses_of_different_objectives_have_different_panels(drawn):
    (losses,) = (plot for plot in drawn if plot.name == "language-losses")
    assert {"masked", "causal", "span_prefix"} <= set(texts(losses.svg))
    assert losses.svg.count('id="axes_') == 3


def test_drawing_again_gives_the_same_bytes(tmp_path):
    write_run(tmp_path, "gpt")
    first, second = (plots.plots(compare(collect(tmp_path).records)[0], "language") for _ in range(2))
    assert [plot.svg for plot in first] == [plot.svg for plot in second]


def test_runs_without_curves_still_give_quality_against_cost(tmp_path):
    write_study(tmp_path, archs=("gpt", "mamba"), tasks=("mqar",), curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    assert [plot.name for plot in plots.plots(comparison, "x")] == ["x-cost"]
    write_run(tmp_path / "alone", "gpt", curves=False)
    (comparison,) = compare(collect(tmp_path / "alone").records)
    assert plots.plots(comparison, "x") == []


def test_accuracy_against_difficulty_marks_what_a_model_cannot_do(tmp_path):
    for arch, longest in (("gpt", -64), ("mamba", 64)):
        for seed in (1, 2, 3):
            parts = {"pairs": (4, 8), "length": (16, 32, longest)}
            write_run(tmp_path, arch, seed, "mqar", parts=parts, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    drawn = {plot.name: plot for plot in plots.plots(comparison, "mqar")}
    assert {"mqar-pairs", "mqar-length"} <= set(drawn)
    assert "gpt cannot do 64" in drawn["mqar-length"].caption
    assert "cannot" not in drawn["mqar-pairs"].caption
    assert {"16", "32", "64", "length", "accuracy (%)"} <= set(texts(drawn["mqar-length"].svg))


def test_metrics_against_the_axes_of_a_grid(tmp_path):
    for arch in ("gpt", "mamba"):
        for dim in (32, 64):
            for pairs in (4, 8):
                task = {"_target_": "tasks.MQAR", "pairs": pairs}
                write_run(tmp_path, arch, task="mqar", curves=False, config__arch__dim=dim, config__task=task)
    over = plots.overview(compare(collect(tmp_path).records), None, ())
    by_name = {plot.name: texts(plot.svg) for plot in over.plots}
    assert set(by_name) == {"mqar-by-dim", "mqar-by-pairs"}
    assert {"pairs 4", "pairs 8", "32", "64", "gpt", "mamba"} <= set(by_name["mqar-by-dim"])


def test_parts_against_the_width_make_a_panel_per_part(tmp_path):
    """The published picture of recall: accuracy against width, one panel per number of pairs."""
    for label, arch in (("attention", "gpt+rope"), ("mamba", "mamba")):
        for dim in (16, 32, 64):
            write_run(
                tmp_path, f"{arch}+dim={dim}", task="mqar", parts={"pairs": (4, 8)}, curves=False,
                label=label, config__label=label, config__arch__dim=dim,
            )  # fmt: skip
    over = plots.overview(compare(collect(tmp_path).records), None, ())
    by_name = {plot.name: texts(plot.svg) for plot in over.plots}
    assert {"mqar-by-dim", "mqar-by-dim-by-pairs"} == set(by_name)
    parted = by_name["mqar-by-dim-by-pairs"]
    assert {"pairs 4", "pairs 8", "dim", "16", "64", "attention", "mamba"} <= set(parted)


def test_the_sweep_shows_the_rates_chosen_and_says_what_lies_at_the_edge(tmp_path):
    write_sweep(tmp_path)
    (plot,) = plots.overview((), None, collect(tmp_path).sweeps).plots
    assert {"learning rate", "accuracy (%)", "recall", "0.001", "0.01"} <= set(texts(plot.svg))
    assert "mamba on recall at 0.01" in plot.caption
    assert "gpt on recall" not in plot.caption


def test_ranks_over_tasks(tmp_path):
    tasks = ("mqar", "sort", "copy", "parity", "induction", "reverse")
    write_study(tmp_path, tasks=tasks, curves=False)
    comparisons = compare(collect(tmp_path).records)
    side = across(comparisons)
    (plot,) = (plot for plot in plots.overview(comparisons, side, ()).plots if plot.name == "ranks")
    said = " ".join(texts(plot.svg))
    for row, rank in side.ranks.mean_ranks.items():
        assert row in said
        assert f"{rank:.2f}" in said
    assert "critical difference" in said


def test_a_scaling_law_is_drawn_with_its_exponents(tmp_path):
    def law(n, d):
        return 0.8 + 60 / n**0.4 + 200 / d**0.4

    for n in (1e5, 3e5, 1e6, 3e6):
        for d in (1e6, 3e6, 1e7, 3e7):
            parameters = {"total": int(n), "non_embedding": int(n), "active": int(n)}
            write_run(
                tmp_path, "gpt", curves=False, tokens=d, parameters=parameters, config__size=n,
                config__budget={"kind": "tokens", "tokens": d}, validation__continuation_bpb=law(n, d),
            )  # fmt: skip
    over = plots.overview(compare(collect(tmp_path).records), None, ())
    assert "language-scaling" in [plot.name for plot in over.plots]
    (line,) = (line for line in over.lines if "Scaling on language" in line)
    assert "gpt: " in line
    assert "a = 0.4" in line


def test_the_caption_of_laws_names_those_that_have_no_curve():
    points = tuple(Point(n, d, 1.0 + 1 / n) for n in (1e4, 1e5) for d in (1e6, 1e7))
    fits = {"gpt": Fit(A=math.inf, used=points), "mamba": Fit(0.5, 1.0, 0.3, 1.0, 0.3, used=points)}
    caption = scaling_plot("language", fits, {}, "bits/byte").caption
    assert "and its curve of L = " in caption
    assert caption.endswith("; no curve where the law cannot be drawn: gpt")
    assert "no curve" not in scaling_plot("language", {"mamba": fits["mamba"]}, {}, "bits/byte").caption
    assert "its curve" not in scaling_plot("language", {"gpt": fits["gpt"]}, {}, "bits/byte").caption


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1), st.booleans())
def test_the_frontier_is_what_nothing_dominates(points, lower):
    def dominates(a, b):
        better = a[1] <= b[1] if lower else a[1] >= b[1]
        return a != b and a[0] <= b[0] and better

    expected = {i for i, b in enumerate(points) if not any(dominates(a, b) for a in points)}
    found = frontier(points, lower_is_better=lower)
    assert set(found) == expected
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


def test_names_in_one_plot_never_look_alike():
    archs = {f"{arch}-{i}": arch for arch in ("gpt", "mamba2", "hybrid", "mine") for i in range(3)}
    looks = palette.styles(archs)
    assert len(set(looks.values())) == len(archs)


def test_an_architecture_always_looks_the_same_and_no_two_known_ones_alike():
    known = palette.styles({name: name for name in palette.KNOWN})
    assert len({look.color for look in known.values()}) == len(known)
    assert palette.styles({"gpt": "gpt", "somebody's plugin": "plugin"})["gpt"] == known["gpt"]
    changed = palette.styles({"attention": "gpt+rope+dim=16", "wider": "gpt+rope+dim=32", "mamba": "mamba"})
    assert changed["mamba"] == known["mamba"]
    assert changed["attention"].color == changed["wider"].color == known["gpt"].color


def test_variants_of_one_architecture_differ_in_colour():
    rows = {name: name for name in ("gpt", "gpt+rope", "gpt+swiglu", "gpt+none", "mamba", "mamba+swiglu")}
    looks = palette.styles(rows)
    assert len({look.color for look in looks.values()}) == len(rows)
    assert looks["gpt"].color == palette.styles({"gpt": "gpt"})["gpt"].color


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*palette.SERIES, palette.INK, palette.FAINT], ids=lambda c: c.variable)
def test_colours_stand_out_on_both_pages(colour):
    for own, page in ((colour.light, "#fbfbfa"), (colour.dark, "#14171b")):
        low, high = sorted((luminance(own), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2, graphical objects
