"""What is printed of a search of several objectives: the front, which point was taken, and what that costs."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.front import Front


def front(console: Console, variant: str, found: Front) -> None:
    """The points of the front, best first on the leading metric, and the choice in a sentence."""
    table = Table(title=f"{variant}: the front on validation", title_justify="left")
    table.add_column("trial", justify="right")
    for name in found.objectives:
        table.add_column(name, justify="right")
    table.add_column("parameters", overflow="fold")
    for point in found.points:
        params = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.params.items())
        table.add_row(
            f"{point.trial}",
            *(f"{point.values[name]:.4f}" for name in found.objectives),
            escape(params),
            style="bold" if point.trial == found.chosen else "",
        )
    console.print(table)
    console.print(f"{chosen(found)} {UNPRUNED}", highlight=False, markup=False)


UNPRUNED = "No trial was stopped early: Optuna cannot prune a search of several objectives."


def chosen(found: Front) -> str:
    """Which point was taken, by which rule, and what that costs against the best on the leading metric."""
    values = found.choice.values
    told = f"Chosen: trial {found.chosen}, {found.rule}"
    best = found.points[0]
    if found.chosen == best.trial:
        return f"{told}: {_list([f'{name} {value:.4f}' for name, value in values.items()])}."
    costs = [f"{name} {values[name]:.4f} ({_share(found.cost(name))})" for name in found.objectives]
    return f"{told}: {_list(costs)}, against trial {best.trial}, the best on {found.objectives[0]}."


def _share(cost: float) -> str:
    return "that of the best is 0" if cost != cost else f"{cost:+.1%}"


def _list(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
