"""The verbs of an experiment's life beside its traffic: create, start, archive, audit. A running service follows."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.arguments import AsJson, HomeFolder, Key
from experiments.commands.online import experiment_app
from experiments.commands.terminal import console, home_at, user_name

Why = Annotated[str, typer.Option("--why", help="Kept in the audit.")]


@experiment_app.command("create")
def create(
    model: Annotated[str, typer.Argument(help="The registered model whose versions compete.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="What POST /v1/experiments takes, as YAML.")],
    home: HomeFolder = None,
) -> None:
    """Keep a new experiment as a draft, from a file under version control.

    Example: `bakeoff experiment create demo configs/experiments/example.yaml`
    """
    from experiments.proposals import book_of, read_draft

    draft, why = read_draft(file)
    book_of(home_at(home), model).create(draft, by=user_name(), why=why)
    key = draft.experiment.key
    console.print(f"{key} is a draft. Next: bakeoff experiment start {key} --why ...", markup=False)


@experiment_app.command("start")
def start(experiment: Key, why: Why, home: HomeFolder = None) -> None:
    """Start a draft: the whole plan is checked and every model that it names is loaded first.

    Example: `bakeoff experiment start ease-vs-knn --why "reviewed by the shop team"`
    """
    from experiments.proposals import book_for

    draft = book_for(home_at(home), experiment).change(experiment, "start", by=user_name(), why=why)
    console.print(f"{experiment} runs on {draft.experiment.traffic:.3g} of the units.", markup=False)


@experiment_app.command("archive")
def archive(experiment: Key, why: Why, home: HomeFolder = None) -> None:
    """Put an experiment away that is over or never began; its data stays."""
    from experiments.proposals import book_for

    book_for(home_at(home), experiment).change(experiment, "archive", by=user_name(), why=why)
    console.print(f"{experiment} is archived.", markup=False)


@experiment_app.command("audit")
def audit(experiment: Key, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Show who did what to an experiment, when, from what to what, and why.

    Example: `bakeoff experiment audit demo-v2-vs-v1`
    """
    from abtest.service.ports import Change
    from bakeoff.records import to_json
    from experiments.proposals import book_for

    changes = list(book_for(home_at(home), experiment).audit(experiment))
    if as_json:
        typer.echo(to_json(list[Change], changes))
        return
    for change in changes:
        moved = ", ".join(f"{name} {change.before.get(name, 'none')} → {new}" for name, new in change.after.items())
        line = f"{change.at:%Y-%m-%d %H:%M:%S} {change.by} {change.action}: {moved}. {change.why}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not changes:
        console.print("Nothing was done to it yet.")
