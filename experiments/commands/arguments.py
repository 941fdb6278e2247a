"""Arguments and options that many verbs share."""

from pathlib import Path
from typing import Annotated

import typer

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
ServingFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="BAKEOFF_SERVING",
        help="What `bakeoff serve` runs with, such as configs/serving.yaml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
