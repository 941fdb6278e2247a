"""Home: the one folder where a local installation keeps everything it writes."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "mlruns"
VARIABLE = "BAKEOFF_HOME"


@dataclass(frozen=True)
class Home:
    """Where each thing lies under `root` (see mlruns/README.md). Absolute, whatever the working directory becomes."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path | None = None) -> "Home":
        """The home in `folder`, else in $BAKEOFF_HOME, else in ./mlruns; made if it is missing."""
        root = Path(folder or os.environ.get(VARIABLE) or DEFAULT).expanduser().resolve()
        if root.exists() and not root.is_dir():
            raise NotADirectoryError(f"the home {root} is a file; give a folder with --home or {VARIABLE}")
        root.mkdir(parents=True, exist_ok=True)
        return cls(root)

    @property
    def database(self) -> Path:
        """MLflow's tracking store and model registry."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.root / "artifacts"

    @property
    def studies(self) -> Path:
        """Optuna's journal files."""
        return self.root / "studies"

    @property
    def checkpoints(self) -> Path:
        """Unfinished fits of neural models."""
        return self.root / "checkpoints"

    @property
    def backtests(self) -> Path:
        """The per-user values of backtests, window by window."""
        return self.root / "backtests"

    @property
    def experiments(self) -> Path:
        """One folder per A/B experiment."""
        return self.root / "experiments"

    @property
    def events(self) -> Path:
        """The event log."""
        return self.root / "events.sqlite"

    @property
    def lake(self) -> Path:
        """The event history as Parquet."""
        return self.root / "lake"

    @property
    def certificate(self) -> Path:
        """What the statistics keep of their promises, measured (`bakeoff calibrate`)."""
        return self.root / "certificate.json"

    @property
    def promotions(self) -> Path:
        """The audit journal of alias changes."""
        return self.root / "promotions.jsonl"
