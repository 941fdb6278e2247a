"""The command line: one thin command per verb, in `experiments.commands`."""

import experiments.environment  # noqa: F401, I001  threads and telemetry, before numpy is imported

import sys
from typing import Annotated

import typer

from bakeoff import __version__
from experiments.commands import offline, online, servers, why
from experiments.commands.arguments import AsJson, ConfigFile, Folder, HomeFolder, Settings
from experiments.commands.terminal import (
    INTERRUPTED,
    WRONG_USE,
    console,
    errors,
    home_at,
    print_json,
    progress_bars,
    read_config,
    user_name,
)

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
_state = {"debug": False}


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

    place, tree = home_at(home), read_config(config, data, settings)
    with progress_bars(as_json) as progress:
        outcome = loop.run(tree, place, by=user_name(), progress=progress)
    if as_json:
        return print_json(show.outcome_values(outcome))
    show.outcome(console, outcome, place)
    return None


for part in (offline, why, online, servers):
    app.add_typer(part.commands)


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


def _sentence(error: Exception) -> str:
    """What to tell: errors that we raise speak for themselves, others are named and lead to the trace."""
    spoken = isinstance(error, ValueError | OSError | ImportError | RuntimeError) or type(error) is LookupError
    if spoken or hasattr(error, "exit_code"):
        return str(error)
    return f"{type(error).__name__}: {error}\nThis was not foreseen; `bakeoff --debug ...` shows where it happened."
