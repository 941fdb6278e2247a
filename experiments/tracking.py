"""The only writer of MLflow runs, and the reader of what it wrote."""

import hashlib
import json
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from bakeoff import __version__
from bakeoff.records import from_json, to_json
from experiments.board import Leaderboard, Standing
from experiments.home import Home
from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.scorecard import Scorecard

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)  # migrations of a new database are no news to a user

SERVER = "MLFLOW_TRACKING_URI"
"""The environment variable that names a tracking server; without it everything stays in the home."""
KIND = "bakeoff.kind"
"""The tag that says what a run is: `bakeoff`, `variant`, `trial` or `backtest`."""
QUESTION = "bakeoff.question"
"""The tag by which a bake-off that asks the same again is recognised."""
MAX_PARAM = 6_000
"""The longest parameter value that MLflow keeps."""
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(AnyType(), "user")]),  # type: ignore[no-untyped-call]  # or numbers would be refused
    outputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.long, "rank"),
            ColSpec(DataType.string, "item"),
            ColSpec(DataType.string, "title"),
            ColSpec(DataType.double, "score"),
        ]
    ),
    params=ParamSchema([ParamSpec("k", DataType.long, 10)]),
)


@dataclass(frozen=True)
class Run:
    """An open MLflow run."""

    id: str
    client: MlflowClient

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        model_id: str | None = None,
    ) -> None:
        """Write parameters, metrics and tags in one batch; a metric that is not finite is left out."""
        now = int(time.time() * 1000)
        self.client.log_batch(
            self.id,
            metrics=[
                Metric(name, value, now, 0, model_id=model_id)
                for name, value in (metrics or {}).items()
                if value == value and abs(value) != float("inf")  # MLflow's stores disagree on NaN
            ],
            params=[Param(name, str(value)[:MAX_PARAM]) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    def lineage(self, dataset: Dataset, source: str) -> None:
        """Say which data the run used: name, fingerprint, where from, how much."""
        profile = {
            "users": len(dataset.users),
            "items": len(dataset.items),
            "interactions": len(dataset.interactions),
        }
        entity = DatasetEntity(
            name=dataset.name,
            digest=dataset.fingerprint,
            source_type="local",
            source=source,
            profile=json.dumps(profile),
        )
        self.client.log_inputs(self.id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])

    def text(self, content: str, path: str) -> None:
        """Keep a text as an artifact."""
        self.client.log_text(self.id, content, path)

    def figure(self, figure: Figure, path: str) -> None:
        """Keep a plot as an artifact."""
        self.client.log_figure(self.id, figure, path)

    def file(self, path: Path, folder: str | None = None) -> None:
        """Keep a file as an artifact."""
        self.client.log_artifact(self.id, str(path), folder)

    def model(self, package: Package, name: str, example: list[str]) -> tuple[str, str]:
        """Log the package as a pyfunc with signature and input example; returns (model id, model uri)."""
        with tempfile.TemporaryDirectory() as folder:
            package.save(Path(folder) / "package")
            with mlflow.start_run(run_id=self.id):
                logged = mlflow.pyfunc.log_model(
                    name=name,
                    python_model=str(Path(__file__).with_name("pyfunc.py")),
                    artifacts={"package": str(Path(folder) / "package")},
                    signature=SIGNATURE,
                    input_example=pd.DataFrame({"user": example}),
                    pip_requirements=[f"bakeoff[train]=={__version__}"],
                )
        return str(logged.model_id), str(logged.model_uri)


class Tracker:
    """Where runs are kept: the server in MLFLOW_TRACKING_URI, else SQLite in the home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.uri = address(home)
        if _server() is None:
            _write_ahead(home.database)
        _point_mlflow_at(self.uri)
        self.client = MlflowClient(self.uri, self.uri)

    @contextmanager
    def run(
        self, experiment: str, name: str, *, kind: str, parent: Run | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """An open run that ends FINISHED, FAILED when the block raises, KILLED when it is interrupted."""
        source = {"mlflow.source.name": "bakeoff", "mlflow.source.git.commit": revision()}
        all_tags = {**reproducibility(), **source, KIND: kind, **(tags or {})}
        if parent is not None:
            all_tags["mlflow.parentRunId"] = parent.id
        created = self.client.create_run(self._experiment(experiment), run_name=name, tags=all_tags)
        run = Run(created.info.run_id, self.client)
        try:
            yield run
        except KeyboardInterrupt:
            self.client.set_terminated(run.id, "KILLED")
            raise
        except BaseException:
            self.client.set_terminated(run.id, "FAILED")
            raise
        self.client.set_terminated(run.id, "FINISHED")

    def closed_run(
        self,
        experiment: str,
        name: str,
        *,
        parent: Run,
        status: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> str:
        """A run that is over already (a trial): created, written in one batch and closed. Returns its id."""
        tags = {KIND: "trial", "mlflow.parentRunId": parent.id}
        created = self.client.create_run(self._experiment(experiment), run_name=name, tags=tags)
        Run(created.info.run_id, self.client).log(params=params, metrics=metrics)
        self.client.set_terminated(created.info.run_id, status)
        return str(created.info.run_id)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = (self.home.artifacts / name).as_uri() if _server() is None else None
        return str(self.client.create_experiment(name, artifact_location=local))


def save_leaderboard(run: Run, board: Leaderboard) -> None:
    """Keep the leaderboard with its run, for the CLI and the dashboard."""
    run.text(to_json(Leaderboard, board), "leaderboard.json")


def leaderboards(home: Home) -> list[str]:
    """The names of the bake-offs that have a leaderboard, the latest first."""
    if not _exists(home):
        return []
    tracker = Tracker(home)
    experiments = {e.experiment_id: e.name for e in tracker.client.search_experiments()}
    runs = _bakeoffs(tracker, list(experiments))
    return list(dict.fromkeys(experiments[run.info.experiment_id] for run in runs))


def leaderboard(home: Home, name: str) -> Leaderboard:
    """The latest leaderboard of the bake-off `name`."""
    if _exists(home):
        tracker = Tracker(home)
        found = tracker.client.get_experiment_by_name(name)
        if found is not None and (runs := _bakeoffs(tracker, [found.experiment_id])):
            return _board_of(tracker, runs[0])
    known = ", ".join(leaderboards(home)) or "none yet"
    raise LookupError(f"no leaderboard of {name!r}; known: {known}; `bakeoff train CONFIG` makes one")


def latest(home: Home, question: str) -> Leaderboard | None:
    """The latest leaderboard whose run carries this question as a tag, None when there is none."""
    if not _exists(home):
        return None
    tracker = Tracker(home)
    everywhere = [e.experiment_id for e in tracker.client.search_experiments()]
    runs = _bakeoffs(tracker, everywhere, f" and tags.`{QUESTION}` = '{question}'")
    return _board_of(tracker, runs[0]) if runs else None


def finished_run(home: Home, kind: str, question: str) -> str | None:
    """The id of the latest finished run of a kind that carries this question as a tag, None when there is none."""
    if not _exists(home):
        return None
    tracker = Tracker(home)
    everywhere = [e.experiment_id for e in tracker.client.search_experiments()]
    runs = _bakeoffs(tracker, everywhere, f" and tags.`{QUESTION}` = '{question}'", kind=kind)
    return str(runs[0].info.run_id) if runs else None


def scorecard(home: Home, row: Standing) -> Scorecard:
    """The per-user values behind a row of a leaderboard, under the variant's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Tracker(home).client.download_artifacts(row.run_id, "scorecard.parquet", folder)
        return Scorecard.of_table(pq.read_table(path))


def leaderboard_of_run(home: Home, run_id: str) -> Leaderboard:
    """The leaderboard that a bake-off's run keeps: also an older one than the latest of its name."""
    return from_json(Leaderboard, text_of_run(home, run_id, "leaderboard.json").encode())


def text_of_run(home: Home, run_id: str, path: str) -> str:
    """A text that a run keeps as an artifact, such as the configuration it ran with."""
    with tempfile.TemporaryDirectory() as folder:
        return Path(Tracker(home).client.download_artifacts(run_id, path, folder)).read_text(encoding="utf-8")


def run_link(home: Home, run_id: str, address: str = "http://127.0.0.1:5000") -> str:
    """Where `mlflow ui` shows the run (its machine-learning view, not the GenAI one it opens with)."""
    run = Tracker(home).client.get_run(run_id)
    return f"{address}/#/experiments/{run.info.experiment_id}/runs/{run_id}?workflowType=machine_learning"


def ui_command(home: Home, port: int) -> list[str]:
    """The command that serves MLflow's own pages over this home."""
    mlflow_ui = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    return [*mlflow_ui, "--backend-store-uri", address(home)]


def address(home: Home) -> str:
    """Where MLflow keeps the runs of a home: the server in MLFLOW_TRACKING_URI, else SQLite in the home."""
    return _server() or f"sqlite:///{home.database}"


def serve_command(model: str, port: int) -> list[str]:
    """The command that serves the champion of `model` over HTTP; MLFLOW_TRACKING_URI says where it is."""
    served = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", f"models:/{model}@champion"]
    return [*served, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]


def reproducibility() -> dict[str, str]:
    """The tags that say which code ran."""
    return {"bakeoff.version": __version__, "bakeoff.revision": revision()}


@cache
def code() -> str:
    """A digest of the source that makes a bake-off's numbers: a revision is silent about uncommitted changes."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(path for name in ("bakeoff", "recsys", "experiments") for path in (root / name).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def revision() -> str:
    """The git revision of this code, with `-dirty` when it was changed since; `unknown` outside a checkout.

    Asked once: what is committed while a bake-off runs is not what runs.
    """
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _bakeoffs(tracker: Tracker, experiment_ids: list[str], also: str = "", kind: str = "bakeoff") -> list[Any]:
    """The finished bake-offs, or runs of another kind, the latest first."""
    return list(
        tracker.client.search_runs(
            experiment_ids,
            f"tags.`{KIND}` = '{kind}' and attributes.status = 'FINISHED'{also}",
            run_view_type=ViewType.ACTIVE_ONLY,
            order_by=["attributes.end_time DESC"],
        )
    )


def _board_of(tracker: Tracker, run: Any) -> Leaderboard:
    with tempfile.TemporaryDirectory() as folder:
        path = tracker.client.download_artifacts(run.info.run_id, "leaderboard.json", folder)
        return from_json(Leaderboard, Path(path).read_bytes())


def _server() -> str | None:
    return os.environ.get(SERVER) or None


def _exists(home: Home) -> bool:
    return _server() is not None or home.database.exists()


def _point_mlflow_at(uri: str) -> None:
    """Set MLflow's address, and leave the environment as it was.

    MLflow writes the address there, where the next home would take it for a server that the user asked for.
    """
    before = {name: os.environ.get(name) for name in (SERVER, "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)


def _write_ahead(database: Path) -> None:
    """Put SQLite in WAL mode: readers and a writer at once, and half the time per batch."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
