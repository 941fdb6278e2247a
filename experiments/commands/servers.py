"""The verbs that start something and stay: the dashboard, serving, MLflow; and the doctor who looks at them."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

import experiments.commands.life  # noqa: F401  its verbs join `bakeoff experiment`
from experiments.commands.arguments import AsJson, HomeFolder, ServingFile, Settings
from experiments.commands.terminal import NO, YES, console, home_at, run_program

commands = typer.Typer()


@commands.command()
def dashboard(
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8501,
    config: ServingFile = None,
) -> None:
    """Open the dashboard: experiments, readouts, models.

    Where the service keeps its events in PostgreSQL, the page of serving reads them by --config.
    """
    serving = {} if config is None else {"BAKEOFF_SERVING": str(config.resolve())}
    # by its name, not by an import: the faces stand beside each other
    words = [sys.executable, "-m", "dashboards.launch", "--home", str(home_at(home).root), "--port", str(port)]
    run_program(words, serving)


@commands.command()
def serve(
    model: Annotated[str, typer.Argument(help="The registered model; `bakeoff models registered` shows them.")],
    config: ServingFile = None,
    settings: Settings = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="A file of name:role:token lines; else $BAKEOFF_TOKENS. Roles: client, operator, admin."),
    ] = None,
    home: HomeFolder = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; another address than this machine's needs tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the host.")] = 8000,
) -> None:
    """Assign, recommend and log over HTTP: the model's champion and the variants of its running experiments.

    The document is at /docs. Example: `bakeoff serve demo`, then
    `curl localhost:8000/v1/recommend -d '{"unit": "u0001", "k": 5}'`
    """
    import os

    from abtest.service.security import Tokens
    from experiments import server
    from experiments.serving_config import load

    text = tokens.read_text(encoding="utf-8") if tokens else os.environ.get("BAKEOFF_TOKENS", "")
    known = Tokens.parse(text)
    if host not in ("127.0.0.1", "localhost", "::1") and not len(known):
        raise ValueError(
            f"listening on {host} without tokens would let anybody in; set BAKEOFF_TOKENS or --tokens FILE"
        )
    server.run(home_at(home), model, load(config, settings or []), tokens=known, host=host, port=port)


@commands.command()
def serve_model(
    model: Annotated[str, typer.Argument(help="The registered model; `bakeoff models registered` shows them.")],
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8000,
) -> None:
    """Answer for the model's champion by MLflow's own scoring server: tables of users in, tables of items out.

    POST /invocations with {"dataframe_records": [{"user": "u0001"}], "params": {"k": 5}}.
    Example: `bakeoff serve-model demo`
    """
    from experiments.registry import Registry
    from experiments.tracking import Tracker, serve_command

    place = home_at(home)
    if Registry(place).slots(model).champion is None:
        raise ValueError(f"{model!r} has no champion to serve; `bakeoff train CONFIG` registers one")
    run_program(serve_command(model, port), {"MLFLOW_TRACKING_URI": Tracker(place).uri})


@commands.command()
def monitor(
    model: Annotated[str, typer.Argument(help="The registered model whose experiments are watched.")],
    every: Annotated[float, typer.Option(help="Minutes between two looks; 0: look once.")] = 0.0,
    stop: Annotated[bool, typer.Option(help="Stop an experiment whose guardrail is surely broken.")] = False,
    config: ServingFile = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Watch running experiments: broken guardrails, invalid samples, slates that drifted from the training's.

    Looking once ends with exit code 1 when there is a new alarm. Example: `bakeoff monitor demo --every 10 --stop`
    """
    from bakeoff.records import to_json
    from experiments.server import watch_experiments
    from experiments.serving_config import load

    place, chosen = home_at(home), load(config, [])
    while True:
        found = watch_experiments(place, model, chosen, stop=stop)
        for alert in found:
            line = f"{alert.at:%Y-%m-%d %H:%M} {alert.experiment}: {alert.says}{' Stopped.' if alert.stopped else ''}"
            typer.echo(to_json(type(alert), alert, indent=None) if as_json else line)
        if not every:
            raise typer.Exit(NO if found else YES)
        time.sleep(every * 60)


@commands.command()
def doctor(
    model: Annotated[str, typer.Argument(help="Also look at what serving this registered model takes.")] = "",
    config: ServingFile = None,
    home: HomeFolder = None,
    port: Annotated[int, typer.Option(help="Where the service would listen.")] = 8000,
    as_json: AsJson = False,
) -> None:
    """Check the set-up: packages, disk, database, event log, experiments, champion, tokens; and how to mend it.

    Exit code 1 when something is broken. Example: `bakeoff doctor demo`
    """
    from experiments.doctor import examine
    from experiments.show_doctor import findings

    found = examine(home_at(home), model=model, config=config, port=port)
    findings(console, found, as_json)
    raise typer.Exit(NO if any(finding.verdict == "broken" for finding in found) else YES)


@commands.command()
def mlflow(home: HomeFolder = None, port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 5000) -> None:
    """Open MLflow on the runs and models of this home."""
    from experiments.tracking import ui_command

    run_program(ui_command(home_at(home), port))
