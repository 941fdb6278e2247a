"""The verbs of an experiment, from simulated traffic to promotion and back, and those of the statistics themselves."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.commands.arguments import AsJson, ConfigFile, Folder, HomeFolder, Key, ServingFile, Settings
from experiments.commands.terminal import NO, YES, console, home_at, progress_bars, read_config, run_program, user_name

if TYPE_CHECKING:
    from experiments.home import Home

commands = typer.Typer()
experiment_app = typer.Typer(help="The A/B experiments.", no_args_is_help=True)
commands.add_typer(experiment_app, name="experiment")


@commands.command()
def simulate(config: ConfigFile, data: Folder = None, settings: Settings = None, home: HomeFolder = None) -> None:
    """Set up the experiment of a configuration on its latest leaderboard and send simulated traffic through it.

    Example: `bakeoff simulate configs/demo.yaml --set experiment.days=28`
    """
    from experiments import loop, tracking

    place, tree = home_at(home), read_config(config, data, settings)
    if tree.experiment is None:
        raise ValueError(f"{config} has no `experiment`; add one (see configs/demo.yaml)")
    with progress_bars() as progress:
        loaded = loop.load_data(tree)
        definition = loop.design(tree, tree.experiment, tracking.leaderboard(place, tree.name), loaded, place)
        loop.send_traffic(definition, tree, loaded, place, progress)
    key = definition.experiment.key
    console.print(f"Traffic of {definition.days} days is in the log. Next: bakeoff analyse {key}")


@experiment_app.command("list")
def experiment_list(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """List the experiments, newest first, with their verdicts."""
    from experiments import show
    from experiments.store import ExperimentStore

    show.experiments(console, ExperimentStore(home_at(home)).records(), as_json)


@commands.command()
def analyse(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|FILE.yaml", help="An experiment's key, or a file that names a table.")
    ],
    config: ServingFile = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Read an experiment: sample ratio and other checks, effects with intervals, warnings.

    From the event log by its key, or, for an experiment that was run elsewhere, from a table that a YAML file names.
    `holdout` is the global one: everything that was shipped and runs, against who was held out from it.
    Examples: `bakeoff analyse demo-v2-vs-v1`, `bakeoff analyse configs/analyses/cookie_cats.yaml`
    """
    from abtest.assignment.holdout import KEY
    from experiments import loop, show
    from experiments.store import ExperimentStore

    if experiment.endswith((".yaml", ".yml")):
        return _analyse_table(Path(experiment), as_json)
    place = home_at(home)
    if experiment == KEY:
        return _analyse_holdout(place, config, as_json)
    definition = ExperimentStore(place).definition(experiment)
    show.readout(console, loop.read(definition, place, serving=config), definition, as_json)
    return None


@commands.command()
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
    found = histories.of_file(Path(history)) if from_file else histories.of_experiment(home_at(home), history)
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


@commands.command()
def decide(experiment: Key, config: ServingFile = None, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Turn the experiment's data into a verdict with reasons, by the rule in its configuration.

    Exit code 0: ship; 1: any other verdict. Example: `bakeoff decide demo-v2-vs-v1`
    """
    from experiments import loop, show
    from experiments.store import ExperimentStore

    place = home_at(home)
    definition = ExperimentStore(place).definition(experiment)
    decision = loop.settle(definition, loop.read(definition, place, serving=config), place)
    show.decision(console, decision, as_json)
    raise typer.Exit(YES if decision.verdict == "ship" else NO)


@commands.command()
def promote(experiment: Key, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Make the winner of a decided experiment champion. Refused unless the verdict is `ship`.

    Example: `bakeoff promote demo-v2-vs-v1`
    """
    from experiments import loop, show
    from experiments.promote import promote as move
    from experiments.registry import Registry
    from experiments.store import ExperimentStore

    place = home_at(home)
    record, registry = ExperimentStore(place).record(experiment), Registry(place)
    before = registry.slots(record.definition.model)
    move(record.definition, record.decision, registry, at=loop.now(), by=user_name())
    show.slots(console, before, registry.slots(record.definition.model), as_json)


@commands.command()
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

    registry = Registry(home_at(home))
    before = registry.slots(model)
    move(model, registry, at=loop.now(), by=user_name(), reason=reason)
    show.slots(console, before, registry.slots(model), as_json)


@commands.command()
def history(
    model: Annotated[str | None, typer.Argument(help="One registered model; default: all.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show who was champion when, and by which decision."""
    from experiments import show
    from experiments.journal import Journal

    show.journal(console, Journal(home_at(home)).events(model), as_json)


@commands.command()
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

    end(home_at(home), experiment, at=datetime.now(UTC), by=user_name(), reason=reason)
    console.print(f"{experiment} is stopped.", markup=False)


@commands.command()
def ramp(
    experiment: Key,
    traffic: Annotated[float, typer.Argument(help="The share of units that take part, above the one it has: 0.5.")],
    why: Annotated[str, typer.Option("--why", help="Kept in the audit.")] = "by hand",
    home: HomeFolder = None,
) -> None:
    """Give a running experiment more traffic; whoever takes part stays in the same variant.

    Example: `bakeoff ramp demo-v2-vs-v1 0.5 --why "two days without an alarm"`
    """
    from datetime import UTC, datetime

    from experiments.lifecycle import ramp as widen

    widen(home_at(home), experiment, traffic, at=datetime.now(UTC), by=user_name(), why=why)
    console.print(f"{experiment} takes {traffic:.3g} of the units now.", markup=False)


@commands.command()
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

    Notes(home_at(home)).add(experiment, Note(at=datetime.now(UTC), by=user_name(), text=text))
    console.print("The note is kept.")


@commands.command()
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
    run_program([sys.executable, "-m", "dashboards.report", experiment, *file, "--home", str(home_at(home).root)])


@commands.command()
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

    with progress_bars(as_json) as progress:
        found = run_cells(home_at(home), runs=runs, workers=workers, only=only, progress=progress)
    show_certificate.certificate(console, found, as_json)
    raise typer.Exit(NO if found.broken else YES)


def _analyse_holdout(home: "Home", config: Path | None, as_json: bool) -> None:
    from experiments import holdouts, show
    from experiments.loop import now

    found, readout = holdouts.read(home, now(), config)
    show.readout(console, readout, found.definition, as_json)
    for fact in () if as_json else holdouts.facts(found):
        console.print(fact, markup=False, highlight=False)


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
