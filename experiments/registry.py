"""The registry: versions, their aliases, and the journal of every change, so that any change can be taken back."""

import os
from datetime import datetime

import mlflow
from mlflow.exceptions import MlflowException

from bakeoff.catalogue import check_name
from experiments.config import CHAMPION
from experiments.home import Home
from experiments.journal import Event, Journal, Slots, previous_champion
from experiments.package import Package
from experiments.tracking import SERVER, Tracker

CHALLENGER = "challenger"


def champions(home: Home) -> dict[str, int]:
    """The champion of every registered model that has one; none where nothing was ever registered."""
    if not home.database.exists() and not os.environ.get(SERVER):
        return {}
    try:
        registry = Registry(home)
        found = {model: registry.alias(model, CHAMPION) for model in registry.models()}
    except MlflowException as error:
        raise OSError(f"the registry does not tell who is champion: {str(error)[:200]}") from error
    return {model: version for model, version in found.items() if version is not None}


class Registry:
    """Versions and aliases in MLflow, every move written to the journal as well: MLflow keeps no history of them."""

    def __init__(self, home: Home) -> None:
        self.journal = Journal(home)
        self.client = Tracker(home).client

    def models(self) -> list[str]:
        """The registered models."""
        return sorted(model.name for model in self.client.search_registered_models())

    def register(self, model: str, run_id: str, name: str, tags: dict[str, str]) -> int:
        """Make the model that a run logged under `name` the next version of `model`; no alias moves."""
        try:
            self.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        outputs = self.client.get_run(run_id).outputs
        ids = [output.model_id for output in outputs.model_outputs] if outputs else []
        logged = [self.client.get_logged_model(model_id) for model_id in ids]
        found = next((candidate for candidate in logged if candidate.name == name), None)
        if found is None:
            raise LookupError(f"run {run_id} has logged no model {name!r}; run the bake-off again")
        made = self.client.create_model_version(
            model, found.artifact_location, run_id, tags=tags, model_id=found.model_id
        )
        return int(made.version)

    def alias(self, model: str, alias: str) -> int | None:
        """The version an alias points at, None when it points at none."""
        try:
            return int(self.client.get_model_version_by_alias(model, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def move(self, event: Event) -> None:
        """Point the event's alias at its version (None removes it) and write the event to the journal.

        The journal first: a crash in between leaves a line that `slots` shows as not carried out, never a silent move.
        """
        self.journal.append(event)
        if event.version is None:
            self.client.delete_registered_model_alias(event.model, event.alias)
        else:
            self.client.set_registered_model_alias(event.model, event.alias, str(event.version))

    def tag(self, model: str, version: int, tags: dict[str, str]) -> None:
        """Write tags on a version."""
        for name, value in tags.items():
            self.client.set_model_version_tag(model, str(version), name, value)

    def variant(self, model: str, version: int) -> str:
        """The name that a version had in the bake-off that made it; empty when it came from elsewhere."""
        return str(self.client.get_model_version(model, str(version)).tags.get("bakeoff.variant", ""))

    def check(self, model: str) -> str:
        """Return the name of a registered model; an unknown one is answered with the nearest."""
        return check_name(dict.fromkeys(self.models()), model, "registered model")

    def slots(self, model: str) -> Slots:
        """Who is champion and challenger, who was champion before, since when and why."""
        champion = self.alias(model, CHAMPION)
        moves = [event for event in self.journal.events(model) if event.alias == CHAMPION]
        last = moves[-1] if moves and moves[-1].version == champion else None
        return Slots(
            model=model,
            champion=champion,
            challenger=self.alias(model, CHALLENGER),
            previous=previous_champion(moves, champion),
            since=last.at if last else None,
            last=last,
        )

    def note_hand_made_moves(self, model: str, at: datetime) -> None:
        """Write to the journal what somebody changed in MLflow itself since its last line."""
        for alias in (CHAMPION, CHALLENGER):
            moves = [event for event in self.journal.events(model) if event.alias == alias]
            known, now = (moves[-1].version if moves else None), self.alias(model, alias)
            if known != now:
                self.journal.append(
                    Event(at=at, model=model, change="by hand", alias=alias, version=now, before=known, by="unknown")
                )

    def load(self, model: str, version: int) -> Package:
        """The package of a version, read straight from its artifacts."""
        logged = mlflow.pyfunc.load_model(f"models:/{model}/{version}")
        package: Package = logged.unwrap_python_model().package
        return package
