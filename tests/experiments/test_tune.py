import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from optuna.trial import TrialState

from experiments.bench import Bench, workers
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.progress import silent
from experiments.train import tune_all
from experiments.tune import Tuned, filled, tune, tune_fusion
from recsys.data.queries import Queries
from recsys.data.split import Split
from recsys.models.base import create
from recsys.recommend import recommend
from tests.experiments.trees import NEIGHBOURS, tree

KNN = {"model": "item_knn", "search": NEIGHBOURS}
Search = Callable[..., Tuned]


def configured(variants: dict[str, Any], trials: int = 7, batch: int = 3, **tuning: Any) -> BakeoffConfig:
    asked = {"trials": trials, "batch": batch, "workers": 1, **tuning}
    return BakeoffConfig.model_validate(tree(variants=variants, tuning=asked, experiment=None))


@pytest.fixture
def search(bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path) -> Search:
    """Tune one variant, by default the item-kNN in seven trials, in a home of its own."""

    def search(variant: dict[str, Any] = KNN, *, home: Home | None = None, **tuning: Any) -> Tuned:
        config = configured({"v": variant}, **tuning)
        place = home or Home.at(tmp_path / "home")
        return tune("v", config.variants["v"], config, bench, place, pool, silent)

    return search


def told(tuned: Tuned) -> list[tuple[Any, ...]]:
    """What a search came to, trial by trial."""
    return [(t.number, t.state, t.params, t.value) for t in tuned.trials]


def journals(home: Home) -> list[Path]:
    return sorted(home.studies.rglob("*.journal"))


# --- what is searched ---


def test_the_first_trial_is_the_model_as_it_is_without_a_search(search: Search) -> None:
    variant = {**KNN, "search": {**NEIGHBOURS, "neighbours": {"low": 50, "high": 150, "integer": True}}}
    first = search(variant, trials=1).trials[0]
    assert first.params["neighbours"] == 100
    assert 0.1 <= first.params["shrink"] <= 50  # its default, 0, is outside of the range


def test_the_best_trial_wins_and_its_value_can_be_had_again(search: Search, bench: Bench) -> None:
    tuned = search()
    assert tuned.value == max(t.value for t in tuned.trials if t.value is not None)
    assert len(tuned.trials) == 7
    model = create("item_knn", **tuned.params).fit(bench.train)
    assert bench.value(model) == tuned.value


def test_a_costly_variant_has_fewer_trials_and_goes_on_when_it_is_given_more(search: Search, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "kept")
    few = told(search({**KNN, "trials": 2}, home=home))
    more = told(search({**KNN, "trials": 4}, home=home))
    assert (len(few), len(more), len(journals(home))) == (2, 4, 1)
    assert more[:2] == few


def test_a_variant_without_a_search_keeps_its_parameters(search: Search) -> None:
    tuned = search({"model": "als", "params": {"factors": 8}})
    assert tuned.params == {"factors": 8, "seed": 5}  # the seed of the bake-off
    assert tuned.study is None
    assert tuned.trials == []
    assert np.isnan(tuned.value)


def test_a_seed_of_its_own_is_kept(search: Search) -> None:
    assert search({"model": "als", "params": {"seed": 9}}).params["seed"] == 9


def test_fixed_and_searched_parameters_come_together(search: Search) -> None:
    tuned = search({**KNN, "params": {"similarity": "bm25"}}, trials=2)
    assert set(tuned.params) == {"similarity", "neighbours", "shrink"}


def test_every_kind_of_range_is_drawn(search: Search) -> None:
    space = {
        "neighbours": {"low": 10, "high": 50, "step": 20, "integer": True},
        "similarity": {"choices": ["cosine", "bm25"]},
        "b": {"low": 0, "high": 1, "step": 0.5},
        "k1": {"low": 0.2, "high": 4},
    }
    for trial in search({"model": "item_knn", "search": space}, trials=9).trials[1:]:
        assert trial.params["neighbours"] in (10, 30, 50)
        assert trial.params["similarity"] in ("cosine", "bm25")
        assert trial.params["b"] in (0.0, 0.5, 1.0)
        assert 0.2 <= trial.params["k1"] <= 4


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_few_trials_are_trials_too(search: Search, trials: int) -> None:
    assert len(search(trials=trials).trials) == trials


# --- the same result, however it is come by ---


@pytest.mark.slow
def test_two_workers_find_what_one_finds(search: Search, bench: Bench, tmp_path: Path) -> None:
    one = search()
    config = configured({"v": KNN}, workers=2)
    with workers(bench, 2) as pool:
        two = tune("v", config.variants["v"], config, bench, Home.at(tmp_path / "two"), pool, silent)
    assert told(one) == told(two)


def test_more_trials_go_on_from_those_there_are(search: Search) -> None:
    few = told(search(trials=3))
    more = told(search(trials=6))
    assert more[:3] == few
    assert len(more) == 6


def test_a_finished_search_draws_nothing_new(search: Search, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    first = told(search(home=home))
    size = journals(home)[0].stat().st_size
    assert told(search(home=home)) == first
    assert journals(home)[0].stat().st_size - size < 500  # no more than the question whether the study is there


def test_a_search_that_was_broken_off_anywhere_ends_as_an_uninterrupted_one(search: Search, tmp_path: Path) -> None:
    whole = Home.at(tmp_path / "whole")
    expected = told(search(home=whole))
    journal = journals(whole)[0]
    lines = journal.read_bytes().splitlines(keepends=True)
    cuts = np.random.default_rng(1).choice(np.arange(1, len(lines)), 12, replace=False)
    for cut in sorted(cuts.tolist()):
        home = Home.at(tmp_path / f"cut{cut}")
        place = home.studies / journal.relative_to(whole.studies)
        place.parent.mkdir(parents=True)
        place.write_bytes(b"".join(lines[:cut]))
        assert told(search(home=home)) == expected, f"broken off after line {cut} of {len(lines)}"


@pytest.mark.slow
def test_a_killed_search_leaves_no_process_and_ends_as_an_uninterrupted_one(
    split: Split, bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    variants = {"knn": KNN}
    tuning = {"trials": 40, "batch": 2, "workers": 1}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree(variants=variants, tuning=tuning, experiment=None)))
    home = Home.at(tmp_path / "killed")
    main = "from experiments.cli import main; main()"
    command = [sys.executable, "-c", main, "tune", str(path), "--home", str(home.root)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(b'"state":1' in journal.read_bytes() for journal in journals(home)))  # one is complete
    family = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    states = [json.loads(line).get("state") for line in journals(home)[0].read_text().splitlines()]
    assert 0 < states.count(int(TrialState.COMPLETE)) < 40
    psutil.wait_procs(family, timeout=20)
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    config = BakeoffConfig.model_validate(tree(variants=variants, tuning=tuning, experiment=None))
    ends = [
        tune("knn", config.variants["knn"], config, bench, place, pool, silent)
        for place in (home, Home.at(tmp_path / "uninterrupted"))
    ]
    assert told(ends[0]) == told(ends[1])


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_another_space_is_another_study(search: Search, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    search(home=home, trials=1)
    search({**KNN, "search": {"shrink": {"low": 0, "high": 1}}}, home=home, trials=1)
    search({**KNN, "params": {"similarity": "bm25"}}, home=home, trials=1)
    assert len(journals(home)) == 3


def test_other_data_is_another_study(search: Search, bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    search(home=home, trials=1)
    rows = bench.validation.interactions
    fewer = bench.validation.keep(rows.where(np.arange(len(rows)) > 0))
    config = configured({"v": KNN}, trials=1)
    tune("v", config.variants["v"], config, replace(bench, validation=fewer), home, pool, silent)
    assert len(journals(home)) == 2


# --- trials that do not end well ---


def test_a_trial_that_fails_says_why_and_the_others_go_on(search: Search) -> None:
    tuned = search({**KNN, "search": {"shrink": {"choices": [0.5, -1.0]}}}, trials=6)
    failed = [t for t in tuned.trials if t.state == TrialState.FAIL]
    assert len(tuned.trials) == 6
    assert 0 < len(failed) < 6
    assert {t.params["shrink"] for t in failed} == {-1.0}
    assert len(tuned.failures) == len(failed)
    assert tuned.failures[0].startswith("ValueError: shrink must be a finite number >= 0")
    assert tuned.params["shrink"] == 0.5


def test_an_error_of_the_library_behind_a_model_fails_its_trial_only(search: Search) -> None:
    """implicit raises its own ModelFitError when the factors of BPR run away."""
    space = {"learning_rate": {"choices": [0.01, 100.0]}}
    tuned = search({"model": "bpr", "params": {"factors": 8, "iterations": 10}, "search": space}, trials=6)
    assert any(reason.startswith("ModelFitError: ") for reason in tuned.failures)
    assert tuned.params["learning_rate"] == 0.01


def test_a_search_in_which_all_fail_ends_with_the_reason(search: Search) -> None:
    with pytest.raises(RuntimeError, match="no trial of variant 'v' succeeded; the first one: ValueError: shrink must"):
        search({**KNN, "search": {"shrink": {"low": -2, "high": -1}}}, trials=2)


@pytest.mark.slow
def test_a_hopeless_trial_is_stopped_early(search: Search) -> None:
    space = {"regularization": {"choices": [0.1, 1e9]}, "alpha": {"low": 1, "high": 5}}
    variant = {"model": "als", "params": {"factors": 8, "iterations": 20}, "search": space}
    tuned = search(variant, trials=30, batch=1)
    pruned = [t for t in tuned.trials if t.state == TrialState.PRUNED]
    assert any(t.params["regularization"] == 1e9 for t in pruned)
    assert all(max(t.intermediate_values) < 20 for t in pruned)
    best = next(t for t in tuned.trials if t.value == tuned.value).intermediate_values
    assert all(value < best[epoch] for t in pruned for epoch, value in t.intermediate_values.items())
    assert tuned.params["regularization"] == 0.1
    every = search(variant, trials=30, batch=1, pruning=False)
    assert all(t.state == TrialState.COMPLETE for t in every.trials)


def test_nobody_to_judge_by_is_told_before_anything_is_fitted(config: BakeoffConfig, split: Split) -> None:
    nobody = replace(split, validation=split.train)  # everything in it has been seen
    with pytest.raises(ValueError, match=r"nobody in the validation part of .* has anything new to find"):
        Bench.of(config, nobody)


def test_leaving_with_an_error_ends_the_workers_at_once(bench: Bench) -> None:
    def left(error: type[BaseException]) -> Iterator[float]:
        with workers(bench, 1) as pool:
            pool.submit(time.sleep, 60)
            yield time.monotonic()
            raise error

    for error in (KeyboardInterrupt, ValueError):
        leaving = left(error)
        started = next(leaving)
        with pytest.raises(error):
            next(leaving)
        assert time.monotonic() - started < 30  # a trial of a minute is not waited for


# --- fusions ---


def fused(
    variants: dict[str, Any], bench: Bench, pool: ProcessPoolExecutor, home: Home, trials: int = 8
) -> dict[str, Tuned]:
    config = configured(variants, trials=trials)
    found: dict[str, Tuned] = {}
    for name, variant in config.variants.items():
        if not variant.parts:
            found[name] = tune(name, variant, config, bench, home, pool, silent)
    for name, variant in config.variants.items():
        if variant.parts:
            found[name] = tune_fusion(name, variant, config, bench, home, found, silent)
    return found


PARTS: dict[str, Any] = {
    "bm25": {"model": "item_knn", "params": {"similarity": "bm25"}, "search": NEIGHBOURS},
    "knn": KNN,
    "bad": {"model": "als", "params": {"factors": 1, "iterations": 1}, "search": {"alpha": {"low": 1, "high": 2}}},
}


@pytest.mark.parametrize("trials", [1, 9])
def test_a_fusion_is_never_below_its_best_part_on_validation(
    bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path, trials: int
) -> None:
    """Also when no part knows the new users, whom the fallback serves, and when there are fewer trials than parts."""
    variants = {**PARTS, "hybrid": {"model": "fusion", "parts": list(PARTS)}}
    found = fused(variants, bench, pool, Home.at(tmp_path), trials)
    assert found["hybrid"].value >= max(found[part].value for part in PARTS)
    assert len(found["hybrid"].trials) == max(trials, 4)


def test_a_part_alone_in_a_fusion_has_the_value_it_has_without(
    bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    found = fused({**PARTS, "hybrid": {"model": "fusion", "parts": list(PARTS)}}, bench, pool, Home.at(tmp_path), 4)
    alone = {
        part: trial.value
        for trial in found["hybrid"].trials
        for part in PARTS
        if trial.params[f"weight_{part}"] == 1 == sum(trial.params.values())
    }
    assert alone == {part: found[part].value for part in PARTS}


def test_the_tuned_fusion_is_the_model_that_was_judged(bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    hybrid = {
        "model": "fusion",
        "parts": ["knn", "bad"],
        "params": {"depth": 40},
        "search": {"smoothing": {"low": 1, "high": 100, "log": True}},
    }
    tuned = fused({**PARTS, "hybrid": hybrid}, bench, pool, Home.at(tmp_path))["hybrid"]
    assert [part["model"] for part in tuned.params["parts"]] == ["item_knn", "als"]
    assert tuned.params["depth"] == 40
    model = create("fusion", **tuned.params).fit(bench.train)
    assert bench.value(model) == pytest.approx(tuned.value, abs=1e-12)


def test_a_fixed_smoothing_is_the_one_that_is_judged(bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    hybrid = {"model": "fusion", "parts": ["knn", "bm25"], "params": {"smoothing": 1.5}}
    tuned = fused({**PARTS, "hybrid": hybrid}, bench, pool, Home.at(tmp_path))["hybrid"]
    assert tuned.params["smoothing"] == 1.5
    assert bench.value(create("fusion", **tuned.params).fit(bench.train)) == pytest.approx(tuned.value, abs=1e-12)


def test_lists_are_filled_as_recommend_fills_them(bench: Bench) -> None:
    model = create("item_knn", neighbours=1).fit(bench.train)
    queries = Queries.of(bench.train.interactions, np.append(bench.truth.users, -1).astype(np.int32))
    short, popular = recommend(model, queries, 20), recommend(bench.fallback, queries, 20)
    assert (short.items < 0).any()
    made = filled(short, popular)
    expected = recommend(model, queries, 20, fallback=bench.fallback)
    np.testing.assert_array_equal(made.items, expected.items)
    np.testing.assert_array_equal(made.scores, expected.scores)


def test_all_variants_are_tuned_in_the_order_of_the_configuration(
    config: BakeoffConfig, split: Split, line: tuple[Home, Any], tmp_path: Path
) -> None:
    """In the home of the finished line, so nothing is left to fit."""
    said: list[tuple[str, int, int]] = []
    found = tune_all(config, split, line[0], lambda what, done, total, note: said.append((what, done, total)))
    assert list(found) == ["popularity", "knn", "hybrid"]
    assert ("tune knn", 6, 6) in said
    best = line[1].board.standing("knn")
    assert found["knn"].params == best.params
