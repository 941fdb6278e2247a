"""The verbs of an experiment's life: create, start, resume, reweigh, override ... A running service follows them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.commands.arguments import AsJson, HomeFolder, Key
from experiments.commands.online import experiment_app
from experiments.commands.terminal import console, home_at, user_name

if TYPE_CHECKING:
    from abtest.service.ports import Change

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


@experiment_app.command("resume")
def resume(experiment: Key, why: Why, home: HomeFolder = None) -> None:
    """Go on after a stop, with the same checks as a start; every unit finds the variant it had.

    Example: `bakeoff experiment resume ease-vs-knn --why "the price list is right again"`
    """
    from experiments.proposals import book_for

    draft = book_for(home_at(home), experiment).change(experiment, "resume", by=user_name(), why=why)
    console.print(f"{experiment} runs again on {draft.experiment.traffic:.3g} of the units.", markup=False)


@experiment_app.command("reweigh")
def reweigh(
    experiment: Key,
    weights: Annotated[list[str], typer.Argument(metavar="VARIANT=SHARE...", help="Every variant with its share.")],
    why: Why,
    home: HomeFolder = None,
) -> None:
    """Give new weights to the units that have no variant yet; whoever takes part stays where he is.

    Example: `bakeoff experiment reweigh ease-vs-knn knn=0.2 ease=0.8 --why "it does no harm"`
    """
    from abtest.service.ports import Wanted
    from experiments.proposals import book_for, pairs

    to = Wanted(weights={name: float(share) for name, share in pairs(weights).items()})
    book_for(home_at(home), experiment).change(experiment, "reweigh", by=user_name(), why=why, to=to)
    console.print(f"{experiment}: units that come in from now on follow {', '.join(weights)}.", markup=False)


@experiment_app.command("override")
def override(
    experiment: Key,
    why: Why,
    testers: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT=VARIANT...", help="All testers; none: there are none.")
    ] = None,
    home: HomeFolder = None,
) -> None:
    """Say which variant testers see, instead of what was said before; none of what they see is counted.

    Example: `bakeoff experiment override ease-vs-knn ada=ease --why "to look at it on a phone"`
    """
    from abtest.service.ports import Wanted
    from experiments.proposals import book_for, pairs

    to = Wanted(overrides=pairs(testers or []))
    book_for(home_at(home), experiment).change(experiment, "override", by=user_name(), why=why, to=to)
    console.print(f"{experiment} has {len(to.overrides or {})} testers.", markup=False)


@experiment_app.command("holdout")
def holdout(
    share: Annotated[float | None, typer.Argument(help="Of all units, such as 0.05; without it, tell.")] = None,
    why: Annotated[str, typer.Option("--why", help="Kept in the audit.")] = "by hand",
    home: HomeFolder = None,
) -> None:
    """Hold out a share of all units from every experiment. While something runs it may only become less.

    The held out keep the champion of today, and `bakeoff analyse holdout` tells what everything that is shipped and
    run from now on does together. To begin a new one, set it to 0 and then to its share.
    Example: `bakeoff experiment holdout 0.05 --why "to measure a year of experiments together"`
    """
    from abtest.assignment.holdout import reading
    from experiments.proposals import book_of

    book = book_of(home_at(home), "")
    if share is not None:
        book.hold_out(share, by=user_name(), why=why)
    kept = book.holdout()
    console.print(f"{kept.share:.3g} of the units take part in nothing.", markup=False)
    console.print(reading(kept), markup=False, highlight=False)
    for change in book.holdout_audit():
        _say(change)


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
        _say(change)
    if not changes:
        console.print("Nothing was done to it yet.")


def _say(change: "Change") -> None:
    moved = ", ".join(f"{name} {change.before.get(name, 'none')} → {new}" for name, new in change.after.items())
    line = f"{change.at:%Y-%m-%d %H:%M:%S} {change.by} {change.action}: {moved}. {change.why}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
