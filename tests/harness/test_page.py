"""The page's script in a real browser: sorting, filtering, and views that stand in the address."""

import re
import shutil
import subprocess

import pytest
from sample_records import write_study

from harness import report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no browser to show the page in"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "study"
    archs = ("bert", "gpt", "t5", "mamba", "llama", "hybrid")
    write_study(root, archs=archs, tasks=("language", "mqar"), curves=False)
    report.build(root, formats=["html"])
    return root / "report.html"


@pytest.fixture
def shown(page, tmp_path):
    def dump(fragment="", script="", flags=()):
        """({table: rows that can be seen}, the document) after the page's script, and then `script`."""
        place = page
        if script:
            place = tmp_path / "page.html"
            place.write_text(page.read_text().replace("</script>", f"\n{script}\n</script>"))
        command = [
            BROWSER,
            *QUIET,
            *flags,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"file://{place}{fragment}",
        ]
        text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        tables = {}
        for name, body in re.findall(
            r'class="sortable" id="([\w-]+)".*?<tbody>(.*?)</tbody>', text, re.DOTALL
        ):
            rows = re.findall(
                r'<tr( hidden="")?>.*?<th scope="row".*?<a href="#[\w-]+">(.*?)</a>', body, re.DOTALL
            )
            tables[name] = [label for hidden, label in rows if not hidden]
        return tables, text

    return dump


def test_as_it_comes(shown):
    tables, text = shown()
    assert tables["language-quality"] == ["bert", "gpt", "hybrid", "llama", "mamba", "t5"]
    assert '<option value="causal">' in text, "a column of few values has a list to choose from"


def test_a_view_in_the_address_is_sorted_and_filtered(shown):
    tables, text = shown("#at=language-quality&sort=-3&filter=causal")
    assert tables["language-quality"] == ["llama", "hybrid", "gpt", "mamba"]
    assert tables["mqar-quality"] == ["bert", "gpt", "hybrid", "llama", "mamba", "t5"]
    assert text.count('aria-sort="descending">') == 1
    tables, _ = shown("#at=mqar-quality&sort=3")
    assert tables["mqar-quality"][0] == "mamba"
    tables, _ = shown("#at=language-quality&c2=masked")
    assert tables["language-quality"] == ["bert"]
    tables, _ = shown("#sort=-1&filter=gpt")
    assert tables["tasks-table"] == ["gpt"], "without a table, the first"


def test_clicking_and_typing_sort_filter_and_stand_in_the_address(shown):
    script = """
    const table = document.getElementById("language-quality");
    const button = table.tHead.rows[0].cells[2].querySelector("button");
    button.click(); button.click();
    const input = table.closest("section").querySelector("input");
    input.value = "causal"; input.dispatchEvent(new Event("input"));
    document.title = location.hash;
    """
    tables, text = shown(script=script)
    assert tables["language-quality"] == ["llama", "hybrid", "gpt", "mamba"]
    assert "<title>#at=language-quality&amp;sort=-3&amp;filter=causal</title>" in text


def test_a_link_opens_the_configuration_it_points_to(shown):
    _, text = shown("#language-1")
    assert re.findall(r'<details id="([\w-]+)" open="">', text) == ["language-1"]


def test_nonsense_in_the_address_changes_nothing(shown):
    plain, _ = shown()
    for fragment in ("#at=nothing&sort=2", "#sort=999", "#sort=x&c99=y", "#<script>"):
        assert shown(fragment)[0] == plain


def test_nothing_is_wider_than_a_phone(shown):
    script = """
    const wide = [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre, svg"))
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1);
    document.title = `${innerWidth}: ${wide.map((e) => e.tagName)}`;
    """
    _, text = shown(script=script, flags=["--window-size=500,900"])
    assert "<title>500: </title>" in text
