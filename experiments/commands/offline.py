"""The verbs before any traffic: data, tuning, training, leaderboards, models."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.arguments import AsJson, ConfigFile, Folder, HomeFolder, Settings
from experiments.commands.terminal import NO, YES, console, home_at, load_log, print_json, progress_bars, read_config

commands = typer.Typer()
data_app = typer.Typer(help="Look at a data set before anything is trained on it.", no_args_is_help=True)
config_app = typer.Typer(help="Check a configuration without running it.", no_args_is_help=True)
models_app = typer.Typer(help="The models that can compete, and the registered versions.", no_args_is_help=True)
commands.add_typer(data_app, name="data")
commands.add_typer(config_app, name="config")
commands.add_typer(models_app, name="models")


@commands.command()
def tune(
    config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None, as_json: AsJson = False
) -> None:
    """Search the parameters of every variant on the validation part; resumable.

    Example: `bakeoff tune configs/demo.yaml --set tuning.trials=50 --set tuning.workers=2`
    """
    from experiments import loop, show
    from experiments.train import tune_all

    place, tree = home_at(home), read_config(config, data, settings)
    with progress_bars(as_json) as progress:
        loaded = loop.load_data(tree)
        tuned = tune_all(tree, loop.cut(tree, loaded), place, progress)
    show.tuned(console, tuned, tree.evaluation.leading, as_json)


@commands.command()
def train(
    config: ConfigFile,
    data: Folder = None,
    settings: Settings = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tune what is not tuned yet, refit on train and validation, score once on test, log and register.

    Example: `bakeoff train configs/demo.yaml`
    """
    from experiments import loop, show

    place, tree = home_at(home), read_config(config, data, settings)
    with progress_bars(as_json) as progress:
        board = loop.train(tree, loop.load_data(tree), place, progress)
    show.board(console, board, as_json)


@commands.command()
def evaluate(
    config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None, as_json: AsJson = False
) -> None:
    """Tune what is not tuned yet, fit on train, score on validation; nothing is logged.

    The test part is not looked at: run it as often as you like. Example: `bakeoff evaluate configs/demo.yaml`
    """
    from experiments import loop, show
    from experiments.train import validate_all

    place, tree = home_at(home), read_config(config, data, settings)
    with progress_bars(as_json) as progress:
        board = validate_all(tree, loop.cut(tree, loop.load_data(tree)), place, progress)
    show.board(console, board, as_json)


@commands.command()
def leaderboard(
    name: Annotated[str, typer.Argument(metavar="NAME|CONFIG", help="A bake-off's name, or its configuration.")],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest leaderboard of a bake-off.

    Example: `bakeoff leaderboard demo`
    """
    from experiments import show, tracking

    place = home_at(home)
    if name.endswith((".yaml", ".yml")):
        from experiments.reading import read_tree

        name = str(read_tree(Path(name)).get("name", ""))
    show.board(console, tracking.leaderboard(place, name), as_json)


@commands.command()
def compare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bake-off's name.")],
    one: Annotated[str, typer.Argument(help="A variant.")],
    other: Annotated[str, typer.Argument(help="Another variant.")],
    metric: Annotated[str, typer.Option(help="Such as ndcg_10; default: the leading one.")] = "",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compare two variants of the latest leaderboard, user by user.

    Example: `bakeoff compare demo bpr popularity --metric recall_20`
    """
    import numpy as np

    from experiments import show, tracking
    from recsys.scorecard import compare as pair

    place = home_at(home)
    board = tracking.leaderboard(place, name)
    a, b = (tracking.scorecard(place, board.standing(variant)) for variant in (one, other))
    chosen = metric or board.metric
    show.comparison(console, one, other, chosen, pair(a, b, chosen, rng=np.random.default_rng(board.seed)), as_json)


@commands.command()
def backtest(
    config: ConfigFile,
    windows: Annotated[int | None, typer.Option(help="How many moments; default: backtest.windows.")] = None,
    every: Annotated[
        str | None,
        typer.Option(help="From one to the next: a duration (90d) or a share of the rows (0.03); backtest.every."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="Compare all with this variant, not with the best.")
    ] = None,
    data: Folder = None,
    settings: Settings = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Repeat the bake-off at several moments of the past: does the winner win every time, or only in the last weeks?

    Every variant is tuned before the first window, then fitted at each on all that came before and judged by what came
    next. Interrupted, it resumes. Example: `bakeoff backtest configs/demo.yaml --windows 6 --every 4d`
    """
    from datetime import UTC, datetime

    from experiments import backtest_log, loop, show_backtest

    given = {"backtest.windows": windows, "backtest.every": every}
    also = [f"{key}={value}" for key, value in given.items() if value is not None]
    place, tree = home_at(home), read_config(config, data, [*(settings or []), *also])
    with progress_bars(as_json) as progress:
        dataset = loop.load_data(tree).dataset
        found = backtest_log.run(tree, dataset, place, at=datetime.now(UTC), against=against, progress=progress)
    show_backtest.backtest(console, found, as_json)


@commands.command()
def ablate(
    config: ConfigFile,
    variant: Annotated[str, typer.Argument(help="A variant that is a pipeline.")],
    on: Annotated[
        str, typer.Option(help="The part that judges: validation, test, or the windows of a backtest.")
    ] = "validation",
    data: Folder = None,
    settings: Settings = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tell what each candidate source, group of features, ranker and reranker of a pipeline contributes.

    It is tuned if it is not yet, then judged whole and without each. Example: `bakeoff ablate configs/hybrid.yaml
    pipeline`
    """
    from experiments import loop, show_ablation
    from experiments.ablation import ablate as measure
    from experiments.ablation import ablate_windows, part

    place, tree, judging = home_at(home), read_config(config, data, settings), part(on)
    with progress_bars(as_json) as progress:
        loaded = loop.load_data(tree)
        if judging == "windows":
            found = ablate_windows(tree, variant, loaded.dataset, place, progress=progress)
        else:
            found = measure(tree, variant, loop.cut(tree, loaded), place, on=judging, progress=progress)
    show_ablation.ablation(console, found, as_json)


@data_app.command("describe")
def data_describe(config: ConfigFile, data: Folder = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Print what a data set holds: counts, density, time span, distributions.

    Example: `bakeoff data describe configs/data/market.yaml`
    """
    from experiments import show

    show.description(console, load_log(config, data, settings), as_json)


@data_app.command("validate")
def data_validate(config: ConfigFile, data: Folder = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Report bad rows with file and line, and what looks odd. Exit code 1 when rows are bad.

    Example: `bakeoff data validate configs/movielens.yaml --data FOLDER`
    """
    from experiments import show
    from recsys.data.problems import DataError

    try:
        report = load_log(config, data, settings).report
    except DataError as refused:
        if not refused.problems:
            raise
        show.refused(console, refused, as_json)
        raise typer.Exit(NO) from None
    show.quality(console, report, as_json)
    raise typer.Exit(NO if report.problems else YES)


@config_app.command("check")
def config_check(config: ConfigFile, data: Folder = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Check a configuration and print it with every default and reference resolved."""
    tree = read_config(config, data, settings)
    if as_json:
        return print_json(tree.model_dump(mode="json"))
    import yaml

    typer.echo(yaml.safe_dump(tree.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip())
    return None


@models_app.command("list")
def models_list(
    family: Annotated[str | None, typer.Option(help="Only this family, such as neighbourhood or neural.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the models that a variant can name: family, what they need, whom they serve, who described them.

    Example: `bakeoff models list --family sequence`
    """
    from experiments import show_models

    show_models.catalogue(console, show_models.entries(family), as_json)


@models_app.command("describe")
def models_describe(
    model: Annotated[str, typer.Argument(help="Its name; `bakeoff models list` shows them.")], as_json: AsJson = False
) -> None:
    """Tell how one model works, its parameters with their defaults, and its search space.

    Example: `bakeoff models describe ease`
    """
    from experiments import show_models

    show_models.description(console, show_models.entry(model), as_json)


@models_app.command("registered")
def models_registered(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """List the registered models with their champion and challenger."""
    from experiments import show
    from experiments.registry import Registry

    registry = Registry(home_at(home))
    show.registered(console, [registry.slots(name) for name in registry.models()], as_json)
