"""Where the numbers of `offline_online` come from: leaderboards of registered versions, and their users' values."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from mlflow.exceptions import MlflowException

from experiments import tracking
from experiments.board import Leaderboard, Standing
from experiments.config import DataConfig
from experiments.home import Home
from experiments.offline_online import Difference, History, Point, paired_differences, points, unfinished
from experiments.promote import version_of
from experiments.registry import Registry
from experiments.store import Record
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.loader import load


def history(home: Home, records: Sequence[Record]) -> History:
    """Every finished experiment held against its offline promise, and the reasons why others are not."""
    boards = cache(partial(board_of, home))
    found: list[Point] = []
    left_out = {}
    for record in records:
        key, why = record.definition.experiment.key, unfinished(record)
        if not why:
            try:
                found += _points(home, record, boards)
                continue
            except (ValueError, LookupError) as reason:
                why = str(reason)
        left_out[key] = why
    return History(points=tuple(found), left_out=left_out)


def board_of(home: Home, model: str, version: int) -> Leaderboard:
    """The leaderboard that a registered version came from, where its row has this version."""
    registry = Registry(home)
    try:
        run = registry.client.get_model_version(model, str(version)).tags.get("bakeoff.bakeoff", "")
        if run:
            return tracking.leaderboard_of_run(home, run)
    except (MlflowException, OSError):  # one deleted version or run must not hide all other experiments
        raise LookupError(f"v{version} of {model!r}, or the bake-off it came from, is not in MLflow any more") from None
    raise LookupError(f"v{version} of {model!r} came from no bake-off")


def data_of(home: Home, model: str, version: int) -> Loaded:
    """The data set on which a registered version was made, loaded again as its bake-off's configuration says."""
    text = tracking.text_of_run(home, board_of(home, model, version).run_id, "config.json")
    source = DataConfig.model_validate(json.loads(text)["data"])
    return load(source.source, **source.params)


def _points(home: Home, record: Record, boards: Callable[[str, int], Leaderboard]) -> tuple[Point, ...]:
    definition = record.definition
    versions = [version_of(definition, variant.name) for variant in definition.experiment.variants]
    of_version = {version: boards(definition.model, version) for version in versions}
    found = points(record, of_version)
    rows = {version: _row(board, version) for version, board in of_version.items()}
    return tuple(
        replace(
            point,
            offline={
                **point.offline,
                **_paired(home, *(rows[version_of(definition, name)] for name in (point.control, point.treatment))),
            },
        )
        for point in found
    )


def _row(board: Leaderboard, version: int) -> Standing:
    return next(row for row in board.standings if row.version == version)


def _paired(home: Home, control: Standing, treatment: Standing) -> dict[str, Difference]:
    """The differences user by user, for the metrics that have a value per user."""
    one, other = (tracking.scorecard(home, row) for row in (control, treatment))
    _, of_one, of_other = np.intersect1d(one.users, other.users, assume_unique=True, return_indices=True)
    return paired_differences(
        {name: column[of_one] for name, column in one.values.items()},
        {name: column[of_other] for name, column in other.values.items()},
    )
