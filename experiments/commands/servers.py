"""The verbs that start something and stay: the dashboard, serving, MLflow."""

import sys
from typing import Annotated

import typer

from experiments.commands.arguments import HomeFolder
from experiments.commands.terminal import home_at, run_program

commands = typer.Typer()


@commands.command()
def dashboard(
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8501,
) -> None:
    """Open the dashboard: experiments, readouts, models."""
    # by its name, not by an import: the faces stand beside each other
    run_program([sys.executable, "-m", "dashboards.launch", "--home", str(home_at(home).root), "--port", str(port)])


@commands.command()
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

    place = home_at(home)
    if Registry(place).slots(model).champion is None:
        raise ValueError(f"{model!r} has no champion to serve; `bakeoff train CONFIG` registers one")
    run_program(serve_command(model, port), {"MLFLOW_TRACKING_URI": Tracker(place).uri})


@commands.command()
def mlflow(home: HomeFolder = None, port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 5000) -> None:
    """Open MLflow on the runs and models of this home."""
    from experiments.tracking import ui_command

    run_program(ui_command(home_at(home), port))
