"""The verb that asks a registered version for its reasons."""

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
