"""What `bakeoff doctor` prints: what was looked at, how it is, and what to do about it."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape

from experiments.doctor import Finding

SIGNS = {"fine": "[green]✔[/green]", "warning": "[yellow]![/yellow]", "broken": "[red]✖[/red]"}


def findings(console: Console, found: Sequence[Finding], as_json: bool) -> None:
    """One line each, and the cure below where something is not fine."""
    if as_json:
        console.print_json(data=[asdict(finding) for finding in found])
        return
    for finding in found:
        line = f"{SIGNS[finding.verdict]} {escape(finding.what)}: {escape(finding.says)}"
        console.print(line, highlight=False, soft_wrap=True)
        if finding.cure:
            console.print(f"    → {escape(finding.cure)}", highlight=False, soft_wrap=True)
