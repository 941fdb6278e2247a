"""The book of experiments: what may be done to them, in which order, after which checks; a subclass keeps them."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from abtest.assignment.holdout import KEY
from abtest.assignment.plan import check, problems_of
from abtest.service.lifecycle import NotAllowedError, changed, difference
from abtest.service.ports import Action, Change, Draft, Serves, Snapshot, Wanted
from abtest.types import Experiment, Holdout
from bakeoff.catalogue import check_name
from bakeoff.records import to_json

Prepare = Callable[[Experiment], None]


class Book(ABC):
    """Keeps `abtest.service.ports.Experiments`' promises on top of a place that a subclass knows.

    serves: whether the recommender can fill an experiment's variants; prepare: raises a ValueError when a model that
    a variant names cannot be loaded; warm: called with what another process started, before any unit is assigned to
    it. A change is written to the audit first: a crash in between leaves a line that was
    not carried out, never a silent change.
    """

    def __init__(
        self, *, now: Callable[[], datetime], serves: Serves, prepare: Prepare, warm: Prepare | None = None
    ) -> None:
        self._now = now
        self._serves = serves
        self._prepare = prepare
        self._warm = warm
        self._snapshot = Snapshot.of((), "", serves=serves)

    @property
    def snapshot(self) -> Snapshot:
        """The experiments now."""
        return self._snapshot

    def refresh(self) -> None:
        """Take up what changed in the place; a plan that cannot run leaves the last good one, and is told."""
        experiments = sorted((d.experiment for d in self.drafts() if d.experiment.status != "archived"), key=_key)
        holdout = self.holdout()
        baseline = self.baseline_of(holdout)
        told = "".join(to_json(Experiment, experiment, indent=None) for experiment in experiments)
        told += repr(holdout) + repr(baseline)
        revision = hashlib.sha256(told.encode()).hexdigest()[:16]
        if revision == self._snapshot.revision:
            return
        try:
            snapshot = Snapshot.of(experiments, revision, serves=self._serves, holdout=holdout, baseline=baseline)
        except ValueError as error:
            self._snapshot = replace(self._snapshot, problem=str(error))
            return
        self._make_ready(snapshot)
        self._snapshot = snapshot

    def _make_ready(self, snapshot: Snapshot) -> None:
        """Warm what another process started; what cannot be loaded is told by its loader and stood in for."""
        if self._warm is None:
            return
        for key in snapshot.serving:
            if key not in self._snapshot.serving:
                with suppress(ValueError):  # the other experiments must not wait for it
                    self._warm(snapshot.assigner.plan.experiments[key])

    def draft(self, key: str) -> Draft:
        """One experiment; an unknown key is answered with the nearest."""
        known = {draft.experiment.key: draft for draft in self.drafts()}
        return known[check_name(known, key, "experiment")]

    def create(self, draft: Draft, *, by: str, why: str) -> Draft:
        """Keep a new experiment as a draft."""
        made = replace(draft, experiment=replace(draft.experiment, status="draft"))
        with self._locked():
            key = made.experiment.key
            if key.lower() == KEY:
                raise ValueError(
                    f"the key {key!r} is that of the global holdout, which is analysed under it: take another"
                )
            if any(key.lower() == kept.experiment.key.lower() for kept in self.drafts()):
                raise ValueError(f"there is an experiment {key!r} already; a key names one experiment for ever")
            if problems := problems_of(made.experiment):
                raise ValueError("the plan cannot run: " + "; ".join(problems))
            after = {"status": "draft", "traffic": made.experiment.traffic}
            self._note(Change(at=self._now(), by=by, experiment=key, action="create", before={}, after=after, why=why))
            self._keep(made)
        self.refresh()
        return made

    def change(self, key: str, action: Action, *, by: str, why: str, to: Wanted | None = None) -> Draft:
        """Carry out an action; a start or resumption checks the whole plan and loads the models."""
        begins = action in ("start", "resume")
        if begins:
            self._prepare(self.draft(key).experiment)  # outside the lock: loading may take long
        with self._locked():
            draft = self.draft(key)
            experiment = changed(draft.experiment, action, to)
            if begins:
                check([*self._running(but=key), experiment], self.holdout())
            elif action in ("reweigh", "override") and (problems := problems_of(experiment)):
                raise ValueError("the plan cannot run: " + "; ".join(problems))
            before, after = difference(draft.experiment, experiment)
            self._note(
                Change(at=self._now(), by=by, experiment=key, action=action, before=before, after=after, why=why)
            )
            made = replace(draft, experiment=experiment)
            self._keep(made)
        self.refresh()
        return made

    def audit(self, key: str) -> Sequence[Change]:
        """Everything that was done to an experiment, oldest first."""
        self.draft(key)
        return self._changes(key)

    def hold_out(self, share: float, *, by: str, why: str) -> Holdout:
        """Hold out a share of all units; while something runs it may only become less.

        Who is held out from now on is given until its end what everybody is given now. Less of it leaves both as they
        are: since when, and what is given.
        """
        baseline = self._baseline() if share > 0 else {}  # outside the lock: a registry may take long
        with self._locked():
            before, running = self.holdout(), self._running()
            after = replace(before, share=share) if share else Holdout(share=share, salt=before.salt)
            if share > before.share:
                after = replace(after, since=self._now(), baseline=baseline)
            elif share and before.share > 0.5:  # who left it would be among those that it is compared with
                after = replace(after, since=self._now())
            check(running, after)
            if share > before.share and running:
                raise NotAllowedError(
                    f"the holdout is {before.share:.3g}, asked for {share:.3g}: more of it would throw units out of "
                    f"what runs ({', '.join(e.key for e in running)}); wait until nothing does"
                )
            old, new = _told(before), _told(after)
            self._note(Change(at=self._now(), by=by, experiment="", action="holdout", before=old, after=new, why=why))
            self._keep_holdout(after)
        self.refresh()
        return after

    def holdout_audit(self) -> Sequence[Change]:
        """Everything that was done to the holdout, oldest first."""
        return self._changes("")

    def baseline_of(self, holdout: Holdout) -> Mapping[str, Any]:
        """What its held out are given here: the payload of their arm; empty: what everybody is given."""
        return holdout.baseline

    def _baseline(self) -> Mapping[str, Any]:
        """What everybody is given now, to be kept for who is held out from now on."""
        return {}

    def _running(self, but: str = "") -> list[Experiment]:
        return [d.experiment for d in self.drafts() if d.experiment.status == "running" and d.experiment.key != but]

    @abstractmethod
    def holdout(self) -> Holdout:
        """The units that take part in nothing."""

    @abstractmethod
    def drafts(self) -> Sequence[Draft]:
        """Every experiment that is kept, newest first."""

    @abstractmethod
    def _locked(self) -> AbstractContextManager[None]:
        """Keeps other writers out, those of other processes too."""

    @abstractmethod
    def _keep(self, draft: Draft) -> None:
        """Write an experiment; on disk when it returns."""

    @abstractmethod
    def _keep_holdout(self, holdout: Holdout) -> None:
        """Write the holdout; on disk when it returns."""

    @abstractmethod
    def _note(self, change: Change) -> None:
        """Write a line of the audit; on disk when it returns."""

    @abstractmethod
    def _changes(self, key: str) -> Sequence[Change]:
        """The audit of one experiment, oldest first; of the holdout: ""."""


def _told(holdout: Holdout) -> dict[str, Any]:
    """A holdout in its audit."""
    return {"share": holdout.share, **({"baseline": dict(holdout.baseline)} if holdout.baseline else {})}


def _key(experiment: Experiment) -> str:
    return experiment.key
