import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from bakeoff.records import from_json
from experiments import plots
from experiments.backtest import Judged, backtest, cut
from experiments.backtest_board import Backtest
from experiments.backtest_rank import rank
from experiments.bench import Bench
from experiments.cli import app
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.show_backtest import sentence
from experiments.tracking import KIND, Tracker
from experiments.tune import _journal
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.data.vocabulary import Vocabulary
from recsys.evaluate import evaluate
from recsys.models.base import create
from recsys.scorecard import Scorecard
from tests.experiments.trees import NEIGHBOURS, tree

AT = datetime(2026, 1, 1, tzinfo=UTC)
STAGED = {
    "candidates": [{"model": "item_knn", "m": 30}, {"model": "popularity", "m": 30}],
    "features": ["origins", "user"],
    "ranker": {"n_trees": 20, "min_leaf": 10},
}
VARIANTS = {
    "popularity": {"model": "popularity"},
    "knn": {"model": "item_knn", "search": NEIGHBOURS, "trials": 3},
    "staged": {"model": "pipeline", "params": STAGED},
    "hybrid": {"model": "fusion", "parts": ["popularity", "knn"], "trials": 3},
}


UNSEARCHED = {"popularity": {"model": "popularity"}, "knn": {"model": "item_knn"}, "staged": VARIANTS["staged"]}


def changed(**changes: Any) -> dict[str, Any]:
    """The tree of a tiny backtest."""
    windows = {"windows": 3, "every": "4d", "validation": 2}
    return tree(**{"variants": VARIANTS, "experiment": None, "backtest": windows, **changes})


def rewritten(dataset: Dataset, late: NDArray[np.bool_], item: NDArray[np.integer] | int) -> Dataset:
    """The same log where the late rows are of other items."""
    rows = dataset.interactions
    return dataset.keep(
        Interactions.of(
            user=rows.user,
            item=np.where(late, item, rows.item),
            time=rows.time,
            weight=rows.weight,
            kind=rows.kind,
            kinds=rows.kinds,
            n_users=rows.n_users,
            n_items=rows.n_items,
        )
    )


def interrupted(config: BakeoffConfig, dataset: Dataset, home: Home, after: int) -> None:
    """Press Ctrl-C when so many fits are judged."""

    def press(what: str, done: int, total: int, note: str = "") -> None:
        if what == "fit and judge" and done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(config, dataset, home, press)


def values(judged: Judged) -> Mapping[str, list[float]]:
    return {name: card.values["ndcg_10"].tolist() for name, card in judged.cards.items()}


@pytest.fixture(scope="module")
def small() -> BakeoffConfig:
    return BakeoffConfig.model_validate(changed())


@pytest.fixture(scope="module")
def judged(small: BakeoffConfig, loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return backtest(small, loaded.dataset, Home.at(tmp_path_factory.mktemp("judged")))


@pytest.fixture(scope="module")
def found(small: BakeoffConfig, loaded: Loaded, judged: Judged) -> Backtest:
    return rank(small, loaded.dataset, judged, against=None, at=AT)


# --- what is judged ---


def test_each_window_is_judged_by_a_model_of_all_before_it(small: BakeoffConfig, judged: Judged) -> None:
    knn, params = judged.cards["knn"], judged.tuned["knn"].params
    for number, window in enumerate(judged.rolling.windows):
        by_hand = evaluate(
            create("item_knn", **params).fit(window.seen),
            window.seen,
            window.truth,
            ks=(10,),
            metrics=("ndcg",),
            fallback=small.fallback.create().fit(window.seen),
        )
        assert knn.window is not None
        own = knn.where(knn.window == number)
        np.testing.assert_array_equal(own.users, by_hand.users)
        np.testing.assert_allclose(own.values["ndcg_10"], by_hand.values["ndcg_10"])


def test_a_trial_is_worth_its_mean_over_the_users_of_all_validation_windows(
    small: BakeoffConfig, judged: Judged
) -> None:
    best = max(judged.tuned["knn"].trials, key=lambda trial: trial.values[0])
    found = []
    for window in judged.rolling.validation:
        fallback = small.fallback.create().fit(window.seen)
        model = create("item_knn", **{**judged.tuned["knn"].params, **best.params}).fit(window.seen)
        card = evaluate(model, window.seen, window.truth, ks=(10,), metrics=("ndcg",), fallback=fallback)
        found += card.values["ndcg_10"].tolist()
    assert judged.tuned["knn"].value == pytest.approx(np.mean(found))
    assert judged.tuned["hybrid"].value >= judged.tuned["knn"].value  # a part alone is among its first trials


def test_nothing_of_a_window_or_after_it_is_tuned_or_fitted_on(
    small: BakeoffConfig, loaded: Loaded, judged: Judged, home: Home
) -> None:
    """Another future changes neither the parameters nor what was judged before it."""
    last = judged.rolling.windows[-1]
    late = loaded.dataset.interactions.time >= last.start
    other = backtest(small, rewritten(loaded.dataset, late, loaded.dataset.interactions.item[::-1]), home)
    assert {name: tuned.params for name, tuned in other.tuned.items()} == {
        name: tuned.params for name, tuned in judged.tuned.items()
    }
    for name, card in judged.cards.items():
        before, after = card, other.cards[name]
        assert before.window is not None
        assert after.window is not None
        rows = before.window < 2
        np.testing.assert_array_equal(before.values["ndcg_10"][rows], after.values["ndcg_10"][after.window < 2])


def test_a_planted_future_is_not_seen(small: BakeoffConfig, loaded: Loaded, home: Home) -> None:
    """From the first window on everybody takes one item that nobody had: who had seen that would put it first."""
    last = cut(small, loaded.dataset).windows[-1]
    rows = loaded.dataset.interactions
    unknown = loaded.dataset.interactions.n_items
    items = Vocabulary.of([*loaded.dataset.items.ids, "zz-tomorrow"])
    wider = Dataset(
        name="planted",
        interactions=Interactions.of(
            user=rows.user,
            item=np.where(rows.time >= last.start, unknown, rows.item),
            time=rows.time,
            weight=rows.weight,
            kind=rows.kind,
            kinds=rows.kinds,
            n_users=rows.n_users,
            n_items=unknown + 1,
        ),
        users=loaded.dataset.users,
        items=items,
    )
    assert items.numbers(["zz-tomorrow"]).tolist() == [unknown]
    windows = {"windows": 1, "every": "4d", "validation": 1}
    config = BakeoffConfig.model_validate(changed(variants=UNSEARCHED, backtest=windows))
    judged = backtest(config, wider, home)
    for card in judged.cards.values():
        assert len(card.users) > 20
        assert card.values["ndcg_10"].max() == 0
    leaked = create("popularity").fit(wider)
    card = evaluate(leaked, wider.keep(wider.interactions.where(rows.time < last.start)), wider, ks=(10,))
    assert card.mean("ndcg_10") > 0  # who has seen it finds it: the test can fail


# --- the standing ---


def test_the_standing_is_over_all_lists_and_by_window(found: Backtest, judged: Judged) -> None:
    assert [line.cell.mean for line in found.lines] == sorted((line.cell.mean for line in found.lines), reverse=True)
    for line in found.lines:
        card = judged.cards[line.variant]
        assert line.cell.mean == pytest.approx(card.mean("ndcg_10"))
        assert line.cell.n == found.users == len(np.unique(card.users)) < found.lists == len(card.users)
        weighted = sum(window.means[line.variant] * window.users for window in found.windows) / found.lists
        assert weighted == pytest.approx(line.cell.mean)
    assert sum(line.led for line in found.lines) >= 3
    assert sum(window.rows for window in found.windows) == sum(
        len(window.truth.interactions) for window in judged.rolling.windows
    )
    assert found.slices[0].lists == sum(window.new_users for window in found.windows)
    assert sum(part.lists for part in found.slices) == found.lists


def test_a_variant_is_compared_with_the_best_or_with_the_one_that_is_named(
    small: BakeoffConfig, loaded: Loaded, judged: Judged, found: Backtest
) -> None:
    best, second = found.lines[:2]
    assert found.reference == best.variant
    assert (best.rival, best.ahead) == (None, 0)
    assert found.lead is not None
    assert (found.lead.variant, found.lead.other) == (best.variant, second.variant)
    assert found.lead.difference == pytest.approx(best.cell.mean - second.cell.mean)
    assert found.lead.low <= found.lead.difference <= found.lead.high
    named = rank(small, loaded.dataset, judged, against=found.lines[-1].variant, at=AT)
    assert named.lead is not None
    assert (named.lead.variant, named.lead.other) == (best.variant, found.lines[-1].variant)
    assert named.lines[-1].rival is None
    for line in named.lines[:-1]:
        assert line.rival is not None
        assert line.rival.difference == pytest.approx(line.cell.mean - named.lines[-1].cell.mean)
    itself = rank(small, loaded.dataset, judged, against=best.variant, at=AT)
    assert itself.lead == found.lead


def test_the_sentence_says_who_is_ahead_or_that_none_can_be_told(found: Backtest) -> None:
    assert found.lead is not None
    sure = replace(found.lead, variant="a", other="b", difference=0.021, low=0.004, high=0.038, p_value=0.02, ahead=2)
    over = f"over 3 windows and {found.users} users"
    assert sentence(replace(found, lead=sure)) == (
        f"a is ahead of b by 0.0210 [0.0040, 0.0380] (p = 0.02) {over}; it was ahead in 2 of 3 windows."
    )
    assert sentence(replace(found, lead=replace(sure, low=-0.001, p_value=0.3))) == (
        f"a and b cannot be told apart: the difference is 0.0210 [-0.0010, 0.0380] (p = 0.30) {over}; "
        "a was ahead in 2 of 3 windows."
    )
    assert sentence(replace(found, lead=None, lines=found.lines[:1])).startswith(f"{found.lines[0].variant} is alone")


def test_each_window_is_drawn(found: Backtest) -> None:
    above, below = plots.by_window(found).axes
    assert len(above.lines) == len(found.lines)
    assert np.asarray(above.lines[0].get_ydata()).tolist() == [
        window.means[found.lines[0].variant] for window in found.windows
    ]
    assert len(below.patches) >= 3


# --- going on ---


def test_an_interrupted_backtest_goes_on_where_it_stopped(
    small: BakeoffConfig, loaded: Loaded, judged: Judged, tmp_path: Path
) -> None:
    home = Home.at(tmp_path / "home")
    unsearched = small.model_copy(
        update={"variants": {name: small.variants[name] for name in ("popularity", "staged")}}
    )
    interrupted(unsearched, loaded.dataset, home, after=3)
    kept = {path: path.stat().st_mtime_ns for path in home.backtests.rglob("*.parquet")}
    assert len(kept) == 3
    told: list[tuple[int, str]] = []
    again = backtest(unsearched, loaded.dataset, home, lambda what, done, total, note="": told.append((done, what)))
    assert [done for done, what in told if what == "fit and judge"] == [3, 4, 5, 6]
    assert values(again) == {name: values(judged)[name] for name in ("popularity", "staged")}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(home.backtests.rglob("*.parquet"))) == 6


def test_studies_are_their_own(small: BakeoffConfig, split: Split, loaded: Loaded, home: Home) -> None:
    knn, windows = small.variants["knn"], cut(small, loaded.dataset)
    benches = [
        Bench.of(small, split),
        Bench.over(small, windows.validation),
        Bench.over(small, windows.validation[1:]),
        Bench.over(small, windows.windows[:2]),
    ]
    assert len({_journal("knn", knn, small, bench, home) for bench in benches}) == 4


# --- the command line ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(changed(variants={name: UNSEARCHED[name] for name in ("popularity", "knn")})))
    return path


def said(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["backtest", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_it_is_asked_printed_and_logged_once(path: Path, home: Home) -> None:
    told = said(path, "--home", home.root)
    for words in (
        "3 windows",
        "ndcg_10 by window",
        "new users",
        "popularity",
        "minus",
        "Tuned before the first window",
    ):
        assert words in told
    found = from_json(Backtest, said(path, "--home", home.root, "--json"))
    assert found.lines[0].variant in told
    client = Tracker(home).client
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])  # the second question was the same
    assert (run.info.run_id, run.data.tags[KIND], run.data.tags["best"]) == (
        found.run_id,
        "backtest",
        found.lines[0].variant,
    )
    for line in found.lines:
        assert run.data.metrics[f"ndcg_10/{line.variant}"] == pytest.approx(line.cell.mean)
    folder = home.artifacts / "tiny" / found.run_id / "artifacts"
    assert (folder / "plots/by_window.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "windows.csv").read_text().splitlines()) == 4
    card = Scorecard.of_table(pq.read_table(folder / "scorecards/knn.parquet"))
    assert card.mean("ndcg_10") == pytest.approx(next(line.cell.mean for line in found.lines if line.variant == "knn"))
    kept = from_json(Backtest, (folder / "backtest.json").read_text())
    assert [window.start for window in kept.windows] == [window.start for window in found.windows]


def test_windows_are_overridden_by_options(path: Path, home: Home) -> None:
    found = json.loads(
        said(path, "--windows", 2, "--every", "0.08", "--against", "popularity", "--home", home.root, "--json")
    )
    assert len(found["windows"]) == 2
    assert found["method"] == "rolling(windows=2, every=0.08, size=0.08, validation=2)"
    assert found["reference"] == "popularity"


def test_it_explains_itself_with_an_example() -> None:
    assert "bakeoff backtest configs/" in " ".join(said("--help").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--windows", "0"), "backtest.windows: Input should be greater than or equal to 1"),
        (("--every", "soon"), 'every must be a duration such as "90d"'),
        (("--every", "20d"), "with nothing before it to learn from"),
        (("--every", "0.3"), "none is left to learn from"),
        (("--set", "backtest.size=9d"), "size must be no more than every"),
        (("--set", "backtest.window=9"), "did you mean 'windows'"),
        (("--against", "populrity"), "unknown variant 'populrity'; did you mean 'popularity'?"),
    ],
)
def test_windows_that_cannot_be_are_refused_before_anything_is_fitted(
    path: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    home = tmp_path / "home"
    with pytest.raises((ValueError, LookupError)) as error:
        CliRunner().invoke(app, ["backtest", str(path), *arguments, "--home", str(home)], catch_exceptions=False)
    assert message in str(error.value)
    assert not (home / "studies").exists()


def test_a_window_in_which_nobody_finds_anything_new_is_refused(
    small: BakeoffConfig, loaded: Loaded, home: Home
) -> None:
    dataset = loaded.dataset
    rows, last = dataset.interactions, cut(small, dataset).windows[-1]
    late = rows.time >= last.start
    seen_first = np.full(rows.n_users, -1)
    seen_first[rows.user[~late][::-1]] = rows.item[~late][::-1]
    known = rows.where(~late | (seen_first[rows.user] >= 0))
    same = rewritten(dataset.keep(known), known.time >= last.start, seen_first[known.user])
    with pytest.raises(ValueError, match=r"nobody in window 3 of .* has anything new to find"):
        backtest(small, same, home)
    assert not home.studies.exists()
