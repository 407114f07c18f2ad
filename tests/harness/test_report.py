"""The report is rebuilt from records alone, in one self-contained page, and writes over nothing else."""

import json
from html.parser import HTMLParser

import pytest
from omegaconf import OmegaConf
from sample_records import write_points, write_run, write_study, write_sweep

from harness import report
from harness.report.selection import Selection

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Collects tags, ids and links, and fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes and "svg" not in self.open:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "quickstart"
    write_study(root, seeds=(1, 2))
    write_run(root, "gpt", 3, status="failed", error="<b>broken</b> & gone", curves=False)
    write_points(root)
    return root, report.build(
        root, command="archs-compare study=quickstart", formats=("markdown", "csv", "latex", "html")
    )


def test_files(built):
    root, written = built
    assert {path.name for path in written if path.suffix != ".svg"} == {
        "report.md",
        "report.csv",
        "report.tex",
        "report.html",
    }
    assert all(path.stat().st_size for path in written)
    for line in (root / "report.md").read_text().splitlines():
        if line.startswith("!["):
            assert (root / line[line.rindex("](") + 2 : -1]).exists()


def test_the_page_needs_nothing_else(built):
    text = (built[0] / "report.html").read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "img")
        assert "src" not in attributes
        assert not attributes.get("href", "#").startswith(("http", "//"))
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_every_row_links_to_its_configuration(built):
    page = Page((built[0] / "report.html").read_text())
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert {f"language-{n}" for n in range(4)} | {f"mqar-{n}" for n in range(4)} <= set(page.ids)
    text = "".join(page.text)
    for needed in (
        "vocab_size: 2048",
        "archs-compare study=quickstart",
        "2.13.0",
        "What these numbers do not say",
    ):
        assert needed in text
    assert str(built[0].parent) not in text


def test_everything_is_escaped(built, tmp_path):
    assert "<b>broken</b>" not in (built[0] / "report.html").read_text()
    evil = "<script>alert(1)</script>"
    write_run(tmp_path, evil.replace("/", "\\"), error=evil, name="x", config__note=f"</code>{evil}")
    report.build(tmp_path, command=evil, formats=["html"])
    text = (tmp_path / "report.html").read_text()
    assert text.count("<script>") == 1
    Page(text)


def test_rebuilding_gives_the_same_bytes_and_keeps_the_command(built, tmp_path):
    root, written = built
    report.build(root, tmp_path / "again", formats=("markdown", "csv", "latex", "html"))
    for path in written:
        assert (tmp_path / "again" / path.relative_to(root)).read_bytes() == path.read_bytes()
    assert (tmp_path / "again" / "command.txt").read_text() == "archs-compare study=quickstart\n"


def test_nothing_else_is_written_over(tmp_path):
    folder = write_run(tmp_path / "mine", "gpt")
    (tmp_path / "mine" / "notes.md").write_text("mine")
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    report.build(tmp_path / "mine")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "run.json"]


def test_damaged_and_foreign_records_are_told_and_left_alone(tmp_path, capsys):
    write_run(tmp_path, "gpt")
    for name, content in {"damaged": "{", "foreign": json.dumps({"name": "theirs"})}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(content)
    report.build(tmp_path)
    out = capsys.readouterr().out
    assert out.count("left alone:") == 2
    assert (tmp_path / "damaged" / "run.json").read_text() == "{"
    for name in ("report.html", "report.md"):
        assert "damaged" in (tmp_path / name).read_text()


def test_what_pretraining_may_have_read_is_said(tmp_path):
    write_run(tmp_path, "gpt", curves=False, config__init_from="results/runs/s/pretrained")
    report.build(tmp_path, formats=["markdown"])
    assert "pretraining may have read the texts of test examples" in (tmp_path / "report.md").read_text()


def test_the_command_reports_a_study_to_the_terminal(tmp_path, capsys):
    write_study(tmp_path / "one", curves=False)
    write_run(tmp_path / "two", "gpt", curves=False)
    config = OmegaConf.create(
        {"results_dir": str(tmp_path), "study_name": "two", "out": None, "formats": ["terminal", "csv"]}
    )
    assert report.run(config) == 0
    assert "bert" not in capsys.readouterr().out
    assert (tmp_path / "two" / "report.csv").exists()
    config.study_name, config.out = None, str(tmp_path / "out")
    assert report.run(config) == 0
    assert "bert" in capsys.readouterr().out
    assert not (tmp_path / "report.csv").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"study_name": "missing"}, "no run records in"),
        ({"formats": ["pdf"]}, "formats: pdf is none of"),
        ({"formats": ["latx"]}, "nearest: latex"),
        ({"rows": "lable"}, "lable: no run has such a key; nearest: label"),
        ({"where": {"seed": [7]}}, "where: no run with seed=7; seed is 1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, change, words):
    write_run(tmp_path / "one", "gpt", curves=False)
    config = {"results_dir": str(tmp_path), "study_name": "one", "out": None, "formats": ["csv"]} | change
    with pytest.raises(SystemExit) as end:
        report.run(OmegaConf.create(config))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_what_was_chosen_stands_beside_the_report_of_everything(tmp_path):
    write_study(tmp_path, seeds=(1, 2), curves=False)
    report.build(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("report.*")}
    selection = Selection.of({"rows": "label", "columns": "task", "where": {"seed": 1}})
    written = report.build(tmp_path, selection=selection)
    assert {path.name for path in written} == {f"chosen.{suffix}" for suffix in ("md", "csv", "tex", "html")}
    assert all(path.read_bytes() == content for path, content in before.items())
    page = Page((tmp_path / "chosen.html").read_text())
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert {f"chosen-{place}" for place in range(4)} <= set(page.ids)
    assert "Only seed 1." in "".join(page.text)


def test_trials_of_a_sweep_are_no_results(tmp_path):
    write_study(tmp_path / "recall", archs=("gpt", "mamba"), tasks=("mqar",), curves=False)
    write_sweep(tmp_path / "recall")
    report.build(tmp_path / "recall", formats=["markdown", "html"])
    text = (tmp_path / "recall" / "report.md").read_text()
    assert "Trials of recall's sweep" in text
    assert "recall-sweep.svg" in text
    assert "2 runs, 1 seed" in text
    (tmp_path / "recall" / "sweep.json").write_text("[]")
    report.build(tmp_path / "recall", formats=["markdown"])
    assert "Trials" not in (tmp_path / "recall" / "report.md").read_text()


def test_a_length_sweep_alone_can_be_reported(tmp_path):
    write_points(tmp_path)
    report.build(tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    for name in ("report.html", "report.md", "report.tex"):
        told = (tmp_path / name).read_text()
        for title in (
            "Training step: tokens/s",
            "Exponents of cost in length",
            "Training time: where curves",
        ):
            assert title in told
