"""The audit of an experiment: who did what when, from what to what, and why. Appended, never changed."""

from abtest.service.ports import Change
from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments.home import Home


class Audit:
    """The lines of home/experiments/<key>/audit.jsonl, one JSON object each."""

    def __init__(self, home: Home) -> None:
        self.folder = home.experiments

    def add(self, change: Change) -> None:
        """Keep a line; it is on disk when this returns."""
        durable.append_line(self.folder / change.experiment / "audit.jsonl", to_json(Change, change, indent=None))

    def of(self, experiment: str) -> list[Change]:
        """The lines of one experiment, oldest first; a line that a crash cut short is left out."""
        path = self.folder / experiment / "audit.jsonl"
        if not path.exists():
            return []
        return [from_json(Change, line) for line in path.read_bytes().split(b"\n")[:-1] if line.strip()]
