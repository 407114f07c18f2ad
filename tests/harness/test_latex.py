r"""LaTeX that compiles: balanced, escaped, every line of a table with as many cells as it has columns."""

import re

from hypothesis import given
from hypothesis import strategies as st
from sample_records import write_run, write_study, write_sweep

from harness import report
from harness.report import latex
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.tables import Cell, Column, Grid, quality

UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*[%#&_~^$]")
MATHS = re.compile(r"\$\\[a-z]+\$")


def check(text):
    """Raises AssertionError for what LaTeX would stop at. Returns the cells of every line of every table."""
    depth = 0
    plain = re.sub(r"\\[{}\\]", "", text)
    for character in plain:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    tables = []
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith("\\\\")]
        cells = [re.split(r"(?<!\\)&", line.removesuffix("\\\\")) for line in lines]
        assert {len(line) for line in cells} == {len(columns)}
        tables.append([[cell.strip() for cell in line] for line in cells])
    return tables


@given(st.text())
def test_escaped_text_is_text(text):
    escaped = latex.escape(text)
    assert "\n" not in escaped
    bare = MATHS.sub("", escaped)
    assert not UNESCAPED.search(bare)
    check(latex.table(Grid((Column(text),), ((Cell(text),),)), text, text, [text]))


def test_what_means_something_to_latex():
    assert latex.escape("a_b & 5% of $3 #1 {x} \\y ~ ^") == (
        r"a\_b \& 5\% of \$3 \#1 \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{}"
    )
    assert latex.escape("91.2 ± 0.4 ↑ ≥ 0.99") == r"91.2 $\pm$ 0.4 $\uparrow$ $\geq$ 0.99"


def test_winners_are_bold_intervals_small_and_baselines_apart(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), tasks=("language",), curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    text = latex.table(quality(comparison), "Bits per byte, 50%", "language (size=1M)", ["Means."])
    (lines,) = check(text)
    (mamba,) = (line for line in lines if line[0] == "mamba")
    assert mamba[2].startswith(r"\textbf{1.7")
    assert r"{\footnotesize $\pm$ 0.0" in mamba[2]
    assert [line[0] for line in lines[-3:]] == [r"\textit{unigram}", r"\textit{bigram}", r"\textit{xz -9}"]
    assert text.count(r"\midrule") == 2
    assert r"\caption{Bits per byte, 50\%}" in text
    assert r"\label{tab:language-size-1M}" in text


def test_the_whole_file(tmp_path):
    write_study(tmp_path, seeds=(1, 2), curves=False)
    write_run(tmp_path, "my_net&co", 1, status="failed", error="50% of {it}\\n", curves=False)
    write_sweep(tmp_path)
    report.build(tmp_path, formats=["latex"])
    text = (tmp_path / "report.tex").read_text()
    assert len(check(text)) == text.count(r"\begin{table}") == 6
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels)


def test_a_table_too_wide_for_a_line_is_scaled_to_it():
    def made(words):
        return latex.table(
            Grid([Column("architecture"), Column("remark")], [[Cell("gpt"), Cell(words)]]), "", ""
        )

    assert "resizebox" not in made("short")
    assert "resizebox" in made("long " * 20)
