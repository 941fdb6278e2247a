"""The report and the picture that stand alone."""

import html.parser
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards import pictures, report
from experiments.home import Home
from experiments.notes import Note
from experiments.store import Record
from tests.dashboards import worlds
from tests.dashboards.test_readout_states import FATAL, deep
from tests.dashboards.worlds import START, broken, comparisons, decision, definition, readout


def won() -> Record:
    return Record(definition=definition("won"), readout=deep("won"), decision=decision("won", "ship", "treatment"))


class Addresses(html.parser.HTMLParser):
    """Everything that a browser would fetch or follow, and every tag that was left open."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_fetches_nothing_and_runs_nothing() -> None:
    page = report.report(won())
    parser = Addresses()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.found) == 1
    assert parser.found[0].startswith("data:image/png;base64,")
    for forbidden in ("<script", "@import", "url("):
        assert forbidden not in page


def test_report_holds_verdict_numbers_checks_segments_and_notes() -> None:
    page = report.report(won(), [Note(at=START, by="ada", text="Black Friday was on day 5")])
    for text in (
        "Ship treatment.", "Every guardrail holds.", "+3.1% (+1.2% to +5.0%)", "One unit makes 12% of revenue.",
        "Conversion by device", "Black Friday was on day 5", "share of units with a purchase",
    ):  # fmt: skip
        assert text in page


def test_report_withholds_what_must_not_be_read() -> None:
    invalid = Record(definition=definition("bad"), readout=broken("bad"), decision=decision("bad", "invalid"))
    fatal = replace(won(), readout=replace(deep("won"), checks=(FATAL,)))
    for record in (invalid, fatal):
        page = report.report(record)
        assert "Effects withheld" in page
        assert "<img" not in page
        assert "+3.1%" not in page
    assert "Ship treatment." not in report.report(fatal)


def test_report_of_an_experiment_without_data_says_so() -> None:
    record = Record(definition=definition("young"), readout=None, decision=None)
    assert "Not analysed yet" in report.report(record)


def test_hostile_texts_stay_texts() -> None:
    nasty = "<script>alert(1)</script> $x$"
    record = replace(won(), definition=replace(won().definition, title=nasty, hypothesis=nasty))
    page = report.report(record, [Note(at=START, by=nasty, text=nasty)])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_same_record_gives_the_same_page() -> None:
    assert report.report(won()) == report.report(won())


def test_report_is_written_by_its_command(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    worlds.keep(home, definition("won"), readout("won"))
    words = [sys.executable, "-m", "dashboards.report", "--home", str(home.root), "--out", str(tmp_path / "a.html")]
    done = subprocess.run([*words, "won"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    wrong = subprocess.run([*words, "wun"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.strip() == "bakeoff: unknown experiment 'wun'; did you mean 'won'? known: won"


@pytest.mark.parametrize("n", [0, 1, 4])
def test_picture_is_a_png_that_grows_with_its_rows(n: int) -> None:
    content = pictures.forest_png(comparisons()[:n], "A $title$ with {braces}")
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width == round(pictures.WIDTH * 160)
    assert height == pytest.approx(160 * (pictures.FRAME + pictures.ROW * max(n, 1)), abs=1)
