"""Plots are well-formed SVG that takes its colours from the page, and shows what there is."""

import xml.etree.ElementTree as ElementTree

import pytest
from sample_records import write_points, write_run, write_study

from harness import palette, plots
from harness.collect import collect
from harness.grouping import compare


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_study(root, seeds=(1, 2))
    write_points(root)
    found = collect(root)
    language, mqar = compare(found.records)
    return plots.plots(language, "language") + plots.plots(mqar, "mqar") + plots.bench_plots(found.points)


def texts(svg):
    return [text for node in ElementTree.fromstring(svg).iter() if (text := (node.text or "").strip())]


def test_every_plot_is_there_once(drawn):
    names = [plot.name for plot in drawn]
    assert names == [
        *(f"language-{kind}" for kind in ("continuation_bpb", "infill_bpb", "speed", "memory", "losses")),
        *(f"mqar-{kind}" for kind in ("accuracy", "exact_match", "speed", "memory", "losses")),
        "bench-time",
        "bench-memory",
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
    assert {"sequence length (tokens)", "time per token (µs)"} <= set(by_name["bench-time"])


def test_losses_of_different_objectives_have_different_panels(drawn):
    (losses,) = (plot for plot in drawn if plot.name == "language-losses")
    assert {"masked", "causal", "span_prefix"} <= set(texts(losses.svg))
    assert losses.svg.count('id="axes_') == 3


def test_a_point_without_a_result_is_named(drawn):
    assert "bert at 8192: out-of-memory" in drawn[-1].caption


def test_drawing_again_gives_the_same_bytes(tmp_path):
    write_run(tmp_path, "gpt")
    first, second = (plots.plots(compare(collect(tmp_path).records)[0], "language") for _ in range(2))
    assert [plot.svg for plot in first] == [plot.svg for plot in second]


def test_runs_without_curves_still_give_the_bars(tmp_path):
    write_run(tmp_path, "gpt", curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    assert [plot.name for plot in plots.plots(comparison, "x")] == ["x-speed", "x-memory"]


def test_an_architecture_always_looks_the_same_and_no_two_known_ones_alike():
    assert palette.look("gpt") == palette.look("gpt")
    assert len({palette.look(name).color for name in palette.KNOWN}) == len(palette.KNOWN)
    assert palette.look("somebody's plugin") == palette.look("somebody's plugin")
    assert palette.look("gpt", twin=1) != palette.look("gpt")


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*palette.SERIES, palette.INK, palette.FAINT], ids=lambda c: c.variable)
def test_colours_stand_out_on_both_pages(colour):
    for own, page in ((colour.light, "#fbfbfa"), (colour.dark, "#14171b")):
        low, high = sorted((luminance(own), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2, graphical objects
