"""The command line: one thin command per verb. Everything heavy is imported by the command that needs it."""

import experiments.environment  # noqa: F401, I001  threads and telemetry, before numpy is imported

import getpass
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bakeoff import __version__

if TYPE_CHECKING:
    from experiments.config import BakeoffConfig
    from experiments.home import Home

YES, NO, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="bakeoff",
    help="From an interaction log to a decision: train and tune competing recommenders, compare them offline, test "
    "them on traffic, promote the winner, roll it back.\n\nThe line:  data → tune → train → leaderboard → simulate → "
    "analyse → decide → promote (or all of it: run)",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at a data set before anything is trained on it.", no_args_is_help=True)
config_app = typer.Typer(help="Check a configuration without running it.", no_args_is_help=True)
experiment_app = typer.Typer(help="The A/B experiments.", no_args_is_help=True)
models_app = typer.Typer(help="The models that can compete, and the registered versions.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.add_typer(models_app, name="models")
app.add_typer(experiment_app, name="experiment")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/demo.yaml.")]
Key = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its key; `bakeoff experiment list` shows them.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override one value of the configuration; repeatable."),
]
Folder = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="The folder of the data set: data.params.folder.")
]
HomeFolder = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where everything is kept; default $BAKEOFF_HOME or ./mlruns."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bakeoff {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Options that hold for every command."""
    _state["debug"] = debug


@app.command()
def run(
    config: ConfigFile,
    data: Folder = None,
    settings: Settings = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole line: tune, train, compare, register, simulate traffic, analyse, decide, promote.

    Interrupted, it resumes: finished trials are kept. Example: `bakeoff run configs/demo.yaml`
    """
    from experiments import loop, show

    place, tree = _home(home), _config(config, data, settings)
    with _progress(as_json) as progress:
        outcome = loop.run(tree, place, by=_user(), progress=progress)
    if as_json:
        return _print_json(show.outcome_values(outcome))
    show.outcome(console, outcome, place)
    return None


@app.command()
def tune(config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None) -> None:
    """Search the parameters of every variant on the validation part; resumable.

    Example: `bakeoff tune configs/demo.yaml --set tuning.trials=50 --set tuning.workers=2`
    """
    from experiments import loop, show
    from experiments.train import tune_all

    place, tree = _home(home), _config(config, data, settings)
    with _progress() as progress:
        loaded = loop.load_data(tree)
        tuned = tune_all(tree, loop.cut(tree, loaded), place, progress)
    show.tuned(console, tuned, tree.evaluation.leading)


@app.command()
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

    place, tree = _home(home), _config(config, data, settings)
    with _progress(as_json) as progress:
        board = loop.train(tree, loop.load_data(tree), place, progress)
    show.board(console, board, as_json)


@app.command()
def evaluate(
    config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None, as_json: AsJson = False
) -> None:
    """Tune what is not tuned yet, fit on train, score on validation; nothing is logged.

    The test part is not looked at: run it as often as you like. Example: `bakeoff evaluate configs/demo.yaml`
    """
    from experiments import loop, show
    from experiments.train import validate_all

    place, tree = _home(home), _config(config, data, settings)
    with _progress(as_json) as progress:
        board = validate_all(tree, loop.cut(tree, loop.load_data(tree)), place, progress)
    show.board(console, board, as_json)


@app.command()
def leaderboard(
    name: Annotated[str, typer.Argument(metavar="NAME|CONFIG", help="A bake-off's name, or its configuration.")],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest leaderboard of a bake-off.

    Example: `bakeoff leaderboard demo`
    """
    from experiments import show, tracking

    place = _home(home)
    if name.endswith((".yaml", ".yml")):
        from experiments.reading import read_tree

        name = str(read_tree(Path(name)).get("name", ""))
    show.board(console, tracking.leaderboard(place, name), as_json)


@app.command()
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

    place = _home(home)
    board = tracking.leaderboard(place, name)
    a, b = (tracking.scorecard(place, board.standing(variant)) for variant in (one, other))
    chosen = metric or board.metric
    show.comparison(console, one, other, chosen, pair(a, b, chosen, rng=np.random.default_rng(board.seed)), as_json)


@app.command()
def simulate(config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None) -> None:
    """Set up the experiment of a configuration on its latest leaderboard and send simulated traffic through it.

    Example: `bakeoff simulate configs/demo.yaml --set experiment.days=28`
    """
    from experiments import loop, tracking

    place, tree = _home(home), _config(config, data, settings)
    if tree.experiment is None:
        raise ValueError(f"{config} has no `experiment`; add one (see configs/demo.yaml)")
    with _progress() as progress:
        loaded = loop.load_data(tree)
        definition = loop.design(tree, tree.experiment, tracking.leaderboard(place, tree.name), loaded, place)
        loop.send_traffic(definition, tree, loaded, place, progress)
    key = definition.experiment.key
    console.print(f"Traffic of {definition.days} days is in the log. Next: bakeoff analyse {key}")


@app.command()
def analyse(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|FILE.yaml", help="An experiment's key, or a file that names a table.")
    ],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Read an experiment: sample ratio and other checks, effects with intervals, warnings.

    From the event log by its key, or, for an experiment that was run elsewhere, from a table that a YAML file names.
    Examples: `bakeoff analyse demo-v2-vs-v1`, `bakeoff analyse configs/analyses/cookie_cats.yaml`
    """
    from experiments import loop, show
    from experiments.store import ExperimentStore

    if experiment.endswith((".yaml", ".yml")):
        return _analyse_table(Path(experiment), as_json)
    place = _home(home)
    definition = ExperimentStore(place).definition(experiment)
    show.readout(console, loop.read(definition, place), definition, as_json)
    return None


@app.command()
def plan(
    history: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|FILE.yaml", help="A past experiment, or a file that names a table.")
    ],
    lift: Annotated[float, typer.Option(help="The lift to find, 0.05 = 5%; with a margin, the true one.")] = 0.05,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    shares: Annotated[str, typer.Option(help="Of the arms, control first, as in 50:50 or 2:1:1.")] = "50:50",
    looks: Annotated[str, typer.Option(help="once, planned (daily, by --spending) or any (always valid).")] = "once",
    spending: Annotated[str, typer.Option(help="obrien_fleming, pocock, kim_demets_1 to 3.")] = "obrien_fleming",
    power: Annotated[float, typer.Option(help="The chance to find the lift.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="The chance of a false alarm.")] = 0.05,
    cluster: Annotated[float, typer.Option(help="Units per randomised cluster.")] = 1.0,
    intraclass: Annotated[float, typer.Option(help="How alike the units of a cluster are, 0 to 1.")] = 0.0,
    margin: Annotated[float | None, typer.Option(help="Plan to exclude a loss of so much: 0.02 = 2%.")] = None,
    days: Annotated[int, typer.Option(help="Also: what so many days can find.")] = 14,
    cuped: Annotated[bool, typer.Option(help="Count on what covariates saved in the past.")] = True,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Plan the next experiment from a past one: units, days, and the smallest lift that some days find.

    Examples: `bakeoff plan demo-v2-vs-v1 --lift 0.02 --looks planned`,
    `bakeoff plan configs/analyses/cookie_cats.yaml --metric retention_7 --shares 80:20`
    """
    from experiments import histories, plans, show_plan

    from_file = history.endswith((".yaml", ".yml"))
    found = histories.of_file(Path(history)) if from_file else histories.of_experiment(_home(home), history)
    wanted = plans.design(
        shares=histories.shares_of(shares),
        looks=histories.looks_of(looks),
        spending=spending,
        power=power,
        alpha=alpha,
        cluster=cluster,
        intraclass=intraclass,
        margin=margin,
    )
    found = histories.chosen(found, metric)
    show_plan.plan(console, found, wanted, lift, days, cuped=cuped, as_json=as_json)


@app.command()
def decide(experiment: Key, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Turn the experiment's data into a verdict with reasons, by the rule in its configuration.

    Exit code 0: ship; 1: any other verdict. Example: `bakeoff decide demo-v2-vs-v1`
    """
    from experiments import loop, show
    from experiments.store import ExperimentStore

    place = _home(home)
    definition = ExperimentStore(place).definition(experiment)
    decision = loop.settle(definition, loop.read(definition, place), place)
    show.decision(console, decision, as_json)
    raise typer.Exit(YES if decision.verdict == "ship" else NO)


@app.command()
def promote(experiment: Key, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Make the winner of a decided experiment champion. Refused unless the verdict is `ship`.

    Example: `bakeoff promote demo-v2-vs-v1`
    """
    from experiments import loop, show
    from experiments.promote import promote as move
    from experiments.registry import Registry
    from experiments.store import ExperimentStore

    place = _home(home)
    record, registry = ExperimentStore(place).record(experiment), Registry(place)
    before = registry.slots(record.definition.model)
    move(record.definition, record.decision, registry, at=loop.now(), by=_user())
    show.slots(console, before, registry.slots(record.definition.model), as_json)


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="The registered model; `bakeoff models registered` shows them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the journal.")] = "",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Give the champion alias back to the version that had it before.

    Example: `bakeoff rollback demo --reason "clicks fell"`
    """
    from experiments import loop, show
    from experiments.promote import rollback as move
    from experiments.registry import Registry

    registry = Registry(_home(home))
    before = registry.slots(model)
    move(model, registry, at=loop.now(), by=_user(), reason=reason)
    show.slots(console, before, registry.slots(model), as_json)


@app.command()
def history(
    model: Annotated[str | None, typer.Argument(help="One registered model; default: all.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show who was champion when, and by which decision."""
    from experiments import show
    from experiments.journal import Journal

    show.journal(console, Journal(_home(home)).events(model), as_json)


@app.command()
def calibrate(
    runs: Annotated[int, typer.Option(help="Simulated experiments per cell.")] = 10_000,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    only: Annotated[str, typer.Option(metavar="METHOD", help="Only methods with this in their name.")] = "",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Test the statistics on experiments whose truth is known: false alarms, coverage, power, bias.

    Resumable. Exit code 1 when a promise is not kept. Example: `bakeoff calibrate --only cuped`
    """
    from experiments import show_certificate
    from experiments.calibrate import calibrate as run_cells

    with _progress(as_json) as progress:
        found = run_cells(_home(home), runs=runs, workers=workers, only=only, progress=progress)
    show_certificate.certificate(console, found, as_json)
    raise typer.Exit(NO if found.broken else YES)


@app.command()
def dashboard(
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8501,
) -> None:
    """Open the dashboard: experiments, readouts, models."""
    # by its name, not by an import: the faces stand beside each other
    _run([sys.executable, "-m", "dashboards.launch", "--home", str(_home(home).root), "--port", str(port)])


@app.command()
def stop(
    experiment: Key,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept among the notes.")],
    home: HomeFolder = None,
) -> None:
    """Stop a running experiment; its data stays and can still be read.

    Example: `bakeoff stop demo-v2-vs-v1 --reason "the price list was wrong"`
    """
    from datetime import UTC, datetime

    from experiments.lifecycle import stop as end

    end(_home(home), experiment, at=datetime.now(UTC), by=_user(), reason=reason)
    console.print(f"{experiment} is stopped.", markup=False)


@app.command()
def ramp(
    experiment: Key,
    traffic: Annotated[float, typer.Argument(help="The share of units that take part, above the one it has: 0.5.")],
    home: HomeFolder = None,
) -> None:
    """Give a running experiment more traffic; whoever takes part stays in the same variant.

    Example: `bakeoff ramp demo-v2-vs-v1 0.5`
    """
    from datetime import UTC, datetime

    from experiments.lifecycle import ramp as widen

    widen(_home(home), experiment, traffic, at=datetime.now(UTC), by=_user())
    console.print(f"{experiment} takes {traffic:.3g} of the units now.", markup=False)


@app.command()
def note(
    experiment: Key,
    text: Annotated[str, typer.Argument(help="What to remember beside the numbers.")],
    home: HomeFolder = None,
) -> None:
    """Add a note to an experiment; its readout and its report show it.

    Example: `bakeoff note demo-v2-vs-v1 "Black Friday was on day 5"`
    """
    from datetime import UTC, datetime

    from experiments.notes import Note, Notes

    Notes(_home(home)).add(experiment, Note(at=datetime.now(UTC), by=_user(), text=text))
    console.print("The note is kept.")


@app.command()
def report(
    experiment: Key,
    out: Annotated[Path | None, typer.Option("--out", help="The file; default: EXPERIMENT.html.")] = None,
    home: HomeFolder = None,
) -> None:
    """Write an experiment's readout as one HTML page that stands alone.

    Example: `bakeoff report demo-v2-vs-v1 --out report.html`
    """
    file = [] if out is None else ["--out", str(out)]
    # by its name, not by an import: the faces stand beside each other
    _run([sys.executable, "-m", "dashboards.report", experiment, *file, "--home", str(_home(home).root)])


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="The registered model; `bakeoff models registered` shows them.")],
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8000,
) -> None:
    """Answer recommendations of the model's champion over HTTP, by MLflow's own scoring server.

    POST /invocations with {"dataframe_records": [{"user": "u0001"}], "params": {"k": 5}}. Example: `bakeoff serve demo`
    """
    from experiments.registry import Registry
    from experiments.tracking import Tracker, serve_command

    place = _home(home)
    if Registry(place).slots(model).champion is None:
        raise ValueError(f"{model!r} has no champion to serve; `bakeoff train CONFIG` registers one")
    _run(serve_command(model, port), {"MLFLOW_TRACKING_URI": Tracker(place).uri})


@app.command()
def mlflow(home: HomeFolder = None, port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 5000) -> None:
    """Open MLflow on the runs and models of this home."""
    from experiments.tracking import ui_command

    _run(ui_command(_home(home), port))


@data_app.command("describe")
def data_describe(config: ConfigFile, data: Folder = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Print what a data set holds: counts, density, time span, distributions.

    Example: `bakeoff data describe configs/data/market.yaml`
    """
    from experiments import show

    show.description(console, _load(config, data, settings), as_json)


@data_app.command("validate")
def data_validate(config: ConfigFile, data: Folder = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Report bad rows with file and line, and what looks odd. Exit code 1 when rows are bad.

    Example: `bakeoff data validate configs/movielens.yaml --data FOLDER`
    """
    from experiments import show
    from recsys.data.problems import DataError

    try:
        report = _load(config, data, settings).report
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
    tree = _config(config, data, settings)
    if as_json:
        return _print_json(tree.model_dump(mode="json"))
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

    registry = Registry(_home(home))
    show.registered(console, [registry.slots(name) for name in registry.models()], as_json)


@experiment_app.command("list")
def experiment_list(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """List the experiments, newest first, with their verdicts."""
    from experiments import show
    from experiments.store import ExperimentStore

    show.experiments(console, ExperimentStore(_home(home)).records(), as_json)


def main() -> None:
    """The entry point: an error is one sentence with the cure, the trace comes with --debug."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            errors.print("\ninterrupted; run the same command again to go on where it stopped")
        raise
    except Exception as error:
        if _state["debug"]:
            import traceback

            traceback.print_exception(error)
        else:
            errors.print(f"bakeoff: {_sentence(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(getattr(error, "exit_code", WRONG_USE))


WIDE = None if sys.stdout.isatty() else 150  # a file or a pipe has no width of its own
console = Console(width=WIDE)
errors = Console(stderr=True, width=WIDE)
_state = {"debug": False}


def _sentence(error: Exception) -> str:
    """What to tell: errors that we raise speak for themselves, others are named and lead to the trace."""
    spoken = isinstance(error, ValueError | OSError | ImportError | RuntimeError) or type(error) is LookupError
    if spoken or hasattr(error, "exit_code"):
        return str(error)
    return f"{type(error).__name__}: {error}\nThis was not foreseen; `bakeoff --debug ...` shows where it happened."


def _analyse_table(path: Path, as_json: bool) -> None:
    from experiments import analyses, show, show_analysis
    from experiments.loop import now

    found = analyses.run(path, now())
    if isinstance(found, analyses.Courses):
        return show_analysis.courses(console, found, as_json)
    show_analysis.analysed(console, found, as_json)
    if found.decision is not None and not as_json:
        show.decision(console, found.decision)
    return None


def _home(folder: Path | None) -> "Home":
    from experiments.home import Home

    return Home.at(folder)


def _config(path: Path, data: Path | None, settings: Sequence[str] | None) -> "BakeoffConfig":
    from experiments.config import folder_override, load

    return load(path, [*folder_override(data), *(settings or [])])


def _load(path: Path, data: Path | None, settings: Sequence[str] | None) -> Any:
    from experiments.config import load_data
    from recsys.data.sources.loader import load

    found = load_data(path, data, settings or ())
    return load(found.source, **found.params)


@contextmanager
def _progress(quiet: bool = False) -> Iterator[Any]:
    from experiments.progress import bars, silent

    if quiet:
        yield silent
        return
    with bars(console) as progress:
        yield progress


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def _print_json(value: Any) -> None:
    from bakeoff.records import to_json

    typer.echo(to_json(dict[str, Any], value))


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    import os
    import subprocess

    # MLflow starts `uvicorn` by its bare name: this environment's, also where it was never activated
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    words = {**os.environ, "PATH": path, **(environment or {})}
    raise typer.Exit(subprocess.run(command, check=False, env=words).returncode)
