"""ExperimentStore: the definitions, readouts and decisions of the experiments, one folder each."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from abtest.types import Decision, DecisionRule, Experiment, Metric, Readout
from bakeoff import durable
from bakeoff.catalogue import check_name
from bakeoff.records import from_json, to_json
from experiments.home import Home

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Definition:
    """An experiment as it was set up: what is compared, by which metrics, decided by which rule, and why.

    model: the registered model whose versions compete (each variant's payload names its version); days: the planned
    run time; traffic: how simulated traffic is made, in words: an experiment is never made of two kinds.
    """

    experiment: Experiment
    metrics: tuple[Metric, ...]
    rule: DecisionRule
    model: str
    title: str
    hypothesis: str = ""
    days: int = 14
    traffic: str = ""
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is kept of one experiment."""

    definition: Definition
    readout: Readout | None
    decision: Decision | None


class ExperimentStore:
    """Files under home/experiments/<key>/: definition.json, readout.json, decision.json, each written whole."""

    def __init__(self, home: Home) -> None:
        self.folder = home.experiments

    def keys(self) -> list[str]:
        """The experiments, newest first."""
        found = self.folder.glob("*/definition.json")
        return [path.parent.name for path in sorted(found, key=lambda path: (_created(path), path), reverse=True)]

    def save(self, definition: Definition) -> None:
        """Keep the definition; a readout or decision made before stays."""
        self._write(definition.experiment.key, "definition", Definition, definition)

    def definition(self, key: str) -> Definition:
        """The definition; an unknown key is answered with the nearest one."""
        check_name(dict.fromkeys(self.keys()), key, "experiment")
        found = self._read(key, "definition", Definition)
        assert found is not None, "keys() lists folders that have a definition"
        return found

    def record(self, key: str) -> Record:
        """The definition with its latest readout and decision."""
        return Record(
            definition=self.definition(key),
            readout=self._read(key, "readout", Readout),
            decision=self._read(key, "decision", Decision),
        )

    def records(self) -> list[Record]:
        """Every experiment, newest first."""
        return [self.record(key) for key in self.keys()]

    def save_readout(self, readout: Readout) -> None:
        """Keep the latest readout."""
        self._write(readout.experiment, "readout", Readout, readout)

    def save_decision(self, decision: Decision) -> None:
        """Keep the latest decision; a final one marks the experiment as decided."""
        self._write(decision.experiment, "decision", Decision, decision)
        if decision.verdict != "continue":
            definition = self.definition(decision.experiment)
            self.save(replace(definition, experiment=replace(definition.experiment, status="decided")))

    def _path(self, key: str, part: str) -> Path:
        return self.folder / key / f"{part}.json"

    def _write(self, key: str, part: str, kind: type[T], value: T) -> None:
        durable.write_bytes(self._path(key, part), to_json(kind, value).encode())

    def _read(self, key: str, part: str, kind: type[T]) -> T | None:
        path = self._path(key, part)
        if not path.exists():
            return None
        try:
            return from_json(kind, path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(
                f"{path} is damaged at {place}: {first['msg']}; delete it and run the step again"
            ) from None


def _created(definition: Path) -> tuple[float, int]:
    """When an experiment was set up; 0 for a damaged file, which is named when it is read. Ties: the last written."""
    try:
        created = datetime.fromisoformat(json.loads(definition.read_bytes())["created"]).timestamp()
    except (ValueError, KeyError, TypeError):
        created = 0.0
    return created, definition.stat().st_mtime_ns
