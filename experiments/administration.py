"""The book of experiments in the home: what the service changes, and what other processes changed beside it."""

import fcntl
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from abtest.assignment.holdout import HELD_OUT, KEY
from abtest.service.book import Book, Prepare
from abtest.service.ports import Change, Draft, Serves
from abtest.service.telemetry import say
from abtest.types import Holdout
from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments.audit import Audit
from experiments.home import Home
from experiments.journal import Journal
from experiments.notes import Note, Notes
from experiments.store import Definition, ExperimentStore

HOLDOUT = "holdout.json"


class StoredBook(Book):
    """Experiments as `experiments.store` keeps them; those that it creates are of one registered model.

    champions: the champion of every registered model, which a holdout keeps for who is held out.
    """

    def __init__(
        self,
        home: Home,
        model: str,
        *,
        now: Callable[[], datetime],
        serves: Serves,
        prepare: Prepare,
        warm: Prepare | None = None,
        champions: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._home, self._model, self._champions = home, model, champions
        self._store, self._trail = ExperimentStore(home), Audit(home)
        self._damaged: set[str] = set()
        super().__init__(now=now, serves=serves, prepare=prepare, warm=warm)
        self.refresh()

    def drafts(self) -> Sequence[Draft]:
        """Every experiment that can be read, newest first; a damaged one is told in the log and left out."""
        return [_draft(definition) for definition in self._definitions()]

    def holdout(self) -> Holdout:
        """The units that take part in nothing; none where nobody said so."""
        path = self._store.folder / HOLDOUT
        return from_json(Holdout, path.read_bytes()) if path.exists() else Holdout(share=0.0)

    def versions(self) -> set[int]:
        """The versions that running experiments of this model name, and the one that the held out are given."""
        running = [e for e in self.snapshot.assigner.plan if e.key in self.snapshot.serving]
        named = {int(variant.payload["version"]) for e in running for variant in e.variants}
        held = self.snapshot.variants.get((KEY, HELD_OUT))
        return named | ({int(held.payload["version"])} if held is not None and held.payload else set())

    def baseline_of(self, holdout: Holdout) -> Mapping[str, Any]:
        """The version that was champion when the holdout began, or went back to from there.

        What was rolled back is given to nobody: the held out go back with everybody else.
        """
        version = holdout.baseline.get(self._model)
        if version is None:
            return {}
        for move in Journal(self._home).events(self._model):
            undone = move.change == "rollback" and move.before == version and move.version is not None
            if undone and holdout.since is not None and move.at >= holdout.since:
                version = move.version
        return {"model": self._model, "version": version}

    def _baseline(self) -> Mapping[str, Any]:
        return dict(self._champions())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._store.folder.mkdir(parents=True, exist_ok=True)
        with (self._store.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released with the file
            yield

    def _keep(self, draft: Draft) -> None:
        key = draft.experiment.key
        known = {definition.experiment.key: definition for definition in self._definitions()}
        if key in known:
            self._store.save(replace(known[key], experiment=draft.experiment))
            return
        named = tuple(
            replace(variant, payload={"model": self._model, **variant.payload}) for variant in draft.experiment.variants
        )
        self._store.save(
            Definition(
                experiment=replace(draft.experiment, variants=named),
                metrics=draft.metrics,
                rule=draft.rule,
                model=self._model,
                title=draft.title or key,
                hypothesis=draft.hypothesis,
                created=self._now(),
            )
        )

    def _keep_holdout(self, holdout: Holdout) -> None:
        durable.write_bytes(self._store.folder / HOLDOUT, to_json(Holdout, holdout).encode())

    def _note(self, change: Change) -> None:
        self._trail.add(change)
        if change.action == "stop":
            Notes(self._home).add(change.experiment, Note(at=change.at, by=change.by, text=f"Stopped: {change.why}"))
        if change.action == "ramp":
            old, new = change.before.get("traffic"), change.after.get("traffic")
            text = f"Ramped from {old:.3g} to {new:.3g} of the traffic."
            Notes(self._home).add(change.experiment, Note(at=change.at, by=change.by, text=text))
        if change.action in ("resume", "reweigh"):
            text = f"{'Resumed' if change.action == 'resume' else 'Weights changed'}: {change.why}"
            Notes(self._home).add(change.experiment, Note(at=change.at, by=change.by, text=text))

    def _changes(self, key: str) -> Sequence[Change]:
        return self._trail.of(key)

    def _definitions(self) -> list[Definition]:
        found = []
        for key in self._store.keys():  # noqa: SIM118 -- a store is no mapping
            try:
                found.append(self._store.definition(key))
                self._damaged.discard(key)
            except ValueError as error:
                if key not in self._damaged:
                    self._damaged.add(key)
                    say(logging.ERROR, "experiment damaged", experiment=key, detail=str(error))
        return found


def _draft(definition: Definition) -> Draft:
    return Draft(
        experiment=definition.experiment,
        metrics=definition.metrics,
        rule=definition.rule,
        title=definition.title,
        hypothesis=definition.hypothesis,
    )
