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
    assert {"length trained on", "length 512", "depth (%; 100: right before the question)"} <= set(depths)
    assert "bert cannot do 4096" in drawn["language-context-bytes"].caption


# --------------------------------------------------------------------- what a plane may say, and of whom


def planes_of(root, archs, at, **changes):
    """Planes of runs with three seeds that are asked at those lengths, the first architecture the best."""
    for place, arch in enumerate(archs):
        right = {f"validation__accuracy_length_{n}": 0.9 - place / 10 for n in at}
        own = {key: value(arch) if callable(value) else value for key, value in changes.items()}
        for seed in (1, 2, 3):
            write_run(root, arch, seed, "needle", curves=False, **right, **own)
    return planes(root)


def planes(root):
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


def judged(root, by_arch):
    """The plane of runs with those accuracies, one per seed, at two lengths: gpt reads them for less."""
    for arch, values in by_arch.items():
        for seed, value in enumerate(values, start=1):
            right = {f"validation__accuracy_length_{n}": value for n in (128, 512)}
            write_run(root, arch, seed, "needle", curves=False, targets=100_000, **right)
    (plane,) = planes(root)
    return plane


GOOD, LUCKY = (0.60, 0.61, 0.62), (0.60, 0.70, 0.59)


@pytest.mark.parametrize(
    ("gpt", "mamba", "best"),
    [
        (GOOD, (0.50, 0.52, 0.51), {"gpt"}),
        ((0.606, 0.616, 0.626), GOOD, {"gpt", "mamba"}),  # by less than a point, whatever its p-value
        (LUCKY, (0.55, 0.58, 0.60), {"gpt", "mamba"}),  # on average by more, and chance may be why
        ((0.50, 0.52, 0.51), GOOD, {"gpt", "mamba"}),
        (GOOD, (0.50, 0.52), {"gpt"}),  # nothing is said of a row that lacks seeds
        (GOOD[:2], (0.50, 0.52), set()),
        (GOOD[:1], (0.50,), set()),
    ],
)
def test_what_is_no_better_beyond_noise_crowds_nobody_out(tmp_path, gpt, mamba, best):
    plane = judged(tmp_path, {"gpt": gpt, "mamba": mamba})
    assert filled(plane, ("gpt", "mamba")) == best
    seeds = sorted({len(gpt), len(mamba)})
    told = f"{' to '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
    assert f"means over {told}" in plane.caption
    assert ("none is filled" in plane.caption) == (not best)


def named(root, label, arch, **changes):
    right = {f"validation__accuracy_length_{n}": 0.5 for n in (128, 512)}
    own = {"label": label, "config__label": label, "targets": 100_000}
    write_run(root, arch, 1, "needle", curves=False, **own, **right, **changes)


@pytest.mark.parametrize(
    ("label", "arch", "priced"),
    [
        ("gpt", "gpt+max_len=128", True),  # what the study calls gpt, the sweep measured
        ("mine", "gpt", True),  # gpt as it comes, under another name
        ("gpt-rope", "gpt+rope", False),
        ("gpt+rope+dim=16", "gpt+rope+dim=16", False),
        (None, "gpt+rope", False),
    ],
)
def test_a_variant_is_not_priced_as_its_plain_architecture(tmp_path, label, arch, priced):
    named(tmp_path, label, arch)
    write_run(
        tmp_path, "mamba", 1, "needle", curves=False, targets=100_000,
        **{f"validation__accuracy_length_{n}": 0.6 for n in (128, 512)},
    )  # fmt: skip
    assert len(planes(tmp_path)) == priced


def test_a_name_of_several_architectures_is_no_price_for_any(tmp_path):
    for dim in (16, 32):
        named(tmp_path, "gpt", f"gpt+dim={dim}", config__arch__dim=dim)
    assert planes(tmp_path) == []


def test_an_encoder_decoder_is_charged_for_its_source(tmp_path):
    for arch in ("t5", "gpt"):
        right = {f"validation__accuracy_length_{n}": 0.5 for n in (128, 512)}
        write_run(tmp_path, arch, 1, "needle", curves=False, targets=100_000, **right)
    assert len(planes(tmp_path)) == 1
    for point in (tmp_path / "bench").glob("t5-source-*"):
        point.unlink()
    measured = lengths(collect(tmp_path).points)[0]
    assert not any(
        "plane" in plot.name for plot in plots.length_plots(measured, compare(collect(tmp_path).records))
    )
