"""What `bakeoff calibrate` prints: the certificate as tables, one per kind of promise. Computes nothing."""

import math
from itertools import groupby

from rich.console import Console
from rich.table import Table

from abtest.certificate.lines import Certificate, Line, Measured
from bakeoff.records import to_json

STYLES = {
    "holds": "green",
    "conservative": "cyan",
    "warns": "yellow",
    "refuses": "yellow",
    "unclear": "yellow",
    "does not hold": "bold red",
    "for comparison": "dim",
}
TITLES = {
    "read once": "Read once: 5% false alarms and 95% coverage are promised (4 to 6%, 94 to 96%)",
    "reading": "Margins, posteriors, segments, resampling (non-inferiority: 2.5%, all others 5%)",
    "read daily": "Read at 28 daily looks: at most 5% false alarms at any look",
    "family": "Many questions: at most 5% with any false alarm, or of the found",
    "split": "The split of traffic: alarms at one in a thousand",
}


def certificate(console: Console, found: Certificate, as_json: bool = False) -> None:
    """All lines with their Monte-Carlo intervals, and the verdict over all of them."""
    if as_json:
        print(to_json(Certificate, found))
        return
    for kind, lines in groupby(found.lines, key=lambda line: line.kind):
        console.print(_table(kind, list(lines)))
    for line in found.lines:
        if line.verdict not in ("holds", "for comparison", "unclear"):
            console.print(f"{line.method}, {line.scenario}, {line.units:,} per arm: {line.reason}.", style="dim")
    broken = len(found.broken)
    unclear = sum(line.verdict == "unclear" for line in found.lines)
    told = "no promise was broken" if not broken else f"{broken} promises were not kept"
    told += f", {unclear} need more runs to say" if unclear else ""
    console.print(
        f"{len(found.lines)} lines, {found.runs:,} runs or more each, code {found.version}, seed {found.seed}: {told}.",
        style="green" if not broken else "bold red",
        highlight=False,
    )


def _table(kind: str, lines: list[Line]) -> Table:
    table = Table(title=TITLES.get(kind, kind), title_justify="left", padding=(0, 1, 0, 0))
    shown = {
        "false alarms": [_share(line.type_i) for line in lines],
        "coverage": [_share(line.coverage) for line in lines],
        "of the lift": [_share(line.relative_coverage) for line in lines],
        "power": [_share(line.power) for line in lines],
        "bias, se": [_number(line.bias) for line in lines],
        "false found": [_share(line.false_found) for line in lines],
        "plan used": [_share(line.used) for line in lines],
    }
    columns = [name for name, cells in shown.items() if any(cells)]
    for name in ("method", "data", "per arm"):
        table.add_column(name, no_wrap=True, justify="right" if name == "per arm" else "left")
    for name in (*columns, "verdict"):
        table.add_column(name, no_wrap=True, justify="left" if name == "verdict" else "right")
    for place, line in enumerate(lines):
        verdict = f"[{STYLES[line.verdict]}]{line.verdict}[/]"
        cells = [shown[name][place] for name in columns]
        table.add_row(line.method, line.scenario, f"{line.units:,}", *cells, verdict)
    return table


def _share(measured: Measured) -> str:
    if math.isnan(measured.value):
        return ""
    digits = 2 if measured.value < 0.01 else 1
    return f"{measured.value:.{digits}%} ±{(measured.high - measured.low) / 2:.{digits}%}"


def _number(measured: Measured) -> str:
    return "" if math.isnan(measured.value) else f"{measured.value:+.3f}"
