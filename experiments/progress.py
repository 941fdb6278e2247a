"""How long work tells where it is: one callable, shown as bars by the CLI, ignored by default."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int, str], None]
"""Called as (what is being done, steps done, steps in all, a note such as the best value so far)."""


def silent(what: str, done: int, total: int, note: str = "") -> None:
    """Progress that nobody watches."""


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """Progress as bars with the time left; a line of plain text per finished task where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as shown:
        tasks = {}

        def show(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total, note=note)
            shown.update(tasks[what], completed=done, total=total, note=note)
            if done >= total and not console.is_terminal:
                console.print(f"{what}: {done}/{total} {note}".rstrip(), highlight=False)

        yield show
