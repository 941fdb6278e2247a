"""The verbs that ask why: a registered version for its reasons, a ranker for what it goes by."""

from typing import Annotated

import typer

from experiments.commands.arguments import AsJson, HomeFolder
from experiments.commands.terminal import console, home_at

commands = typer.Typer()


@commands.command()
def explain(
    model: Annotated[str, typer.Argument(help="The registered model; `bakeoff models registered` shows them.")],
    user: Annotated[list[str], typer.Option(help="Whose slate; repeatable.")],
    version: Annotated[int | None, typer.Option(help="Which version; the champion by default.")] = None,
    k: Annotated[int, typer.Option(help="Items of a slate.", min=1, max=100)] = 10,
    verb: Annotated[str, typer.Option(help="What users do with items: because you VERB ...")] = "liked",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tell why each item stands in a user's slate: the history item that drives its score, or what the log shows.

    Of a pipeline also which sources named it and what moved its ranker. Example: `bakeoff explain demo --user u0001`
    """
    from experiments import show_explanations
    from experiments.explanations import explained_slates
    from experiments.registry import Registry

    registry = Registry(home_at(home))
    chosen = registry.slots(registry.check(model)).champion if version is None else version
    if chosen is None:
        raise ValueError(f"{model!r} has no champion; name a --version, `bakeoff models registered {model}` shows them")
    slates = explained_slates(registry.load(model, chosen), user, k=k, verb=verb)
    show_explanations.explained(console, slates, as_json)


@commands.command()
def importance(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bake-off's name.")],
    variant: Annotated[str, typer.Argument(help="A pipeline among its variants.")] = "best",
    top: Annotated[int, typer.Option(help="Features that are shown.", min=1)] = 20,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what a pipeline's ranker goes by: groups and features, by gain, SHAP values and a random forest.

    Example: `bakeoff importance hybrid pipeline`
    """
    from bakeoff.records import from_json, to_json
    from experiments import show_importance, tracking
    from experiments.importance import Importance

    place = home_at(home)
    board = tracking.leaderboard(place, name)
    row = board.standing(board.resolve(variant))
    if row.model != "pipeline" or row.note.startswith("its ranker learnt nothing"):
        pipelines = ", ".join(one.variant for one in board.standings if one.model == "pipeline") or "none"
        raise LookupError(
            f"variant {row.variant!r} has no ranker; pipelines on the leaderboard of {name!r}: {pipelines}"
        )
    text = tracking.text_of_run(place, row.run_id, "importance.json")
    found = from_json(Importance, text)
    if as_json:
        print(to_json(Importance, found))
    else:
        show_importance.importance(console, row.variant, found, top)
