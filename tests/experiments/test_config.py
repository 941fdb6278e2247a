from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.config import BakeoffConfig, DataConfig, Range, load, load_data
from experiments.reading import ConfigError, read_tree
from recsys.models.base import create
from tests.experiments.trees import tree

CONFIGS = Path(__file__).parents[2] / "configs"
Written = Callable[..., Path]


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, overrides)
    return str(error.value)


@pytest.mark.parametrize(
    "path", [p for p in sorted(CONFIGS.glob("*.yaml")) if "variants" in read_tree(p)], ids=lambda p: p.name
)
def test_every_bake_off_in_the_repository_checks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_DATA", "/anywhere")
    config = load(path)
    for variant in config.variants.values():
        if variant.model != "fusion":
            names = set(create(variant.model, **variant.params).params())
            assert {name.partition(".")[0] for name in variant.search} <= names


@pytest.mark.parametrize("path", sorted((CONFIGS / "data").glob("*.yaml")), ids=lambda p: p.name)
def test_every_data_file_in_the_repository_checks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_DATA", "/anywhere")
    assert isinstance(load_data(path), DataConfig)


def test_a_file_is_read_with_its_defaults(written: Written) -> None:
    config = load(written(tree()))
    assert config.evaluation.leading == "ndcg_10"
    assert config.experiment is not None
    assert config.experiment.first_champion == "popularity"
    assert config.experiment.metrics[0].name == "clicks_per_user"
    assert config.experiment.decision.min_units == 10


def test_the_resolved_configuration_reads_back_as_itself(config: BakeoffConfig) -> None:
    dumped = config.model_dump(mode="json", exclude={"experiment"})
    assert BakeoffConfig.model_validate(dumped) == config.model_copy(update={"experiment": None})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"variants": {"a": {"model": "item_kn"}}},
            "variants.a.model: unknown model 'item_kn'; did you mean 'item_knn'?",
        ),
        ({"data": {"source": "markt"}}, "data.source: unknown source 'markt'; did you mean 'market'?"),
        ({"split": {"method": "temporl"}}, "split.method: unknown split 'temporl'; did you mean 'temporal'?"),
        ({"evaluation": {"metric": "ndgc"}}, "evaluation.metric: unknown metric 'ndgc'; did you mean 'ndcg'?"),
        ({"evaluation": {"metric": "coverage"}}, "evaluation.metric: unknown metric 'coverage'"),
        ({"evaluation": {"metrics": ["recal"]}}, "evaluation.metrics: unknown metric 'recal'; did you mean 'recall'?"),
        (
            {"variants": {"a": {"model": "popularity"}, "h": {"model": "fusion", "parts": ["a", "popularty"]}}},
            "unknown part of 'h', variant 'popularty'",
        ),
        ({"variants": {"a": {"model": "als", "search": {"factor": {"low": 1, "high": 2}}}}}, "did you mean 'factors'?"),
        ({"variants": {"a": {"model": "als", "params": {"alfa": 1}}}}, "unknown parameter of 'als' 'alfa'"),
        ({"variants": {"a": {"model": "fusion"}}}, "a fusion names its `parts`"),
        ({"variants": {"a": {"model": "als", "parts": ["b"]}}}, "only a fusion does"),
        ({"split": {"params": {"tst": "8d"}}}, "split 'temporal' has no parameter 'tst'; did you mean 'test'?"),
        ({"data": {"source": "market", "params": {"n_user": 9}}}, "has no parameter 'n_user'; did you mean 'n_users'?"),
        ({"data": {"source": "movielens"}}, "data: source 'movielens' needs the parameter 'folder'; got none"),
        (
            {"fallback": {"model": "als"}},
            "als is factorisation: a fallback serves whom nobody knows",
        ),
        ({"fallback": {"model": "populrity"}}, "fallback.model: unknown model 'populrity'; did you mean 'popularity'?"),
        ({"fallback": {"params": {"window": 3}}}, "model 'popularity' has no parameter 'window'"),
        ({"variants": {}}, "variants: Dictionary should have at least 1 item"),
        ({"name": "My Shop"}, "name: String should match pattern"),
    ],
)
def test_a_name_that_nobody_knows_is_answered_with_the_nearest(
    written: Written, changes: dict[str, Any], said: str
) -> None:
    assert said in refused(written(tree(experiment=None, **changes)))


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ({"model": "als", "params": {"factors": -3}}, "variants.v: factors must be an integer >= 1, got -3"),
        ({"model": "als", "params": {"factors": "ten"}}, "variants.v: factors must be an integer >= 1, got 'ten'"),
        ({"model": "fusion", "parts": ["p"], "params": {"depth": 0}}, "variants.v: depth must be an integer >= 1"),
    ],
)
def test_a_value_that_the_model_cannot_take_is_refused_before_anything_runs(
    written: Written, variant: dict[str, Any], said: str
) -> None:
    variants = {"p": {"model": "popularity"}, "v": variant}
    assert said in refused(written(tree(variants=variants, experiment=None)))


@pytest.mark.parametrize("side", ["control", "incumbent", "treatment"])
def test_an_experiment_names_variants_of_the_bake_off(written: Written, side: str) -> None:
    message = refused(written(tree()), f"experiment.{side}=knm")
    assert "unknown variant 'knm'; did you mean 'knn'?" in message


def test_a_fusion_of_a_fusion_is_refused(written: Written) -> None:
    variants = {
        "p": {"model": "popularity"},
        "h": {"model": "fusion", "parts": ["p"]},
        "hh": {"model": "fusion", "parts": ["p", "h"]},
    }
    assert "'hh' fuses 'h', which is a fusion itself" in refused(written(tree(variants=variants, experiment=None)))


def test_a_fusion_searches_its_smoothing_and_nothing_that_its_lists_depend_on(written: Written) -> None:
    def fusion(**keys: Any) -> Path:
        variants = {"p": {"model": "popularity"}, "h": {"model": "fusion", "parts": ["p"], **keys}}
        return written(tree(variants=variants, experiment=None))

    load(fusion(search={"smoothing": {"low": 1, "high": 9}}, params={"depth": 50}))
    assert "unknown searched parameter of 'fusion' 'depth'" in refused(fusion(search={"depth": {"low": 1, "high": 9}}))
    assert "unknown parameter of 'fusion' 'weights'" in refused(fusion(params={"weights": [1.0]}))


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ({}, "give either"),
        ({"low": 1}, "give either"),
        ({"choices": []}, "give either"),
        ({"choices": [1], "log": True}, "give either"),
        ({"low": 3, "high": 1}, "low must be a number <= high, got 3.0 and 1.0"),
        ({"low": float("nan"), "high": 1}, "low must be a number"),
        ({"low": 0, "high": float("inf")}, "low must be a number"),
        ({"low": 1, "high": 8, "log": True, "step": 2}, "exclude each other"),
        ({"low": 0, "high": 1, "log": True}, "starts above 0"),
        ({"low": 0, "high": 8, "log": True, "integer": True}, "starts at 1 or above"),
        ({"low": 0.5, "high": 8, "integer": True}, "whole numbers"),
    ],
)
def test_an_impossible_range_is_refused(axis: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Range(**axis)


def test_the_data_folder_option_replaces_what_the_variable_would_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BAKEOFF_DATA", raising=False)
    for name in ("movielens.yaml", "data/movielens.yaml"):
        assert load_data(CONFIGS / name, tmp_path).params["folder"] == str(tmp_path)


def test_a_mistake_in_a_referenced_metric_is_told(written: Written) -> None:
    bad = {"ctr": {"kind": "ratioo", "numerator": "click"}}
    message = refused(written(tree()), f"experiment.metrics={bad}")
    assert "experiment.metrics" in message
    assert "ratioo" in message


def test_an_unknown_key_of_the_rule_is_answered_with_the_nearest(written: Written) -> None:
    assert "did you mean 'min_days'?" in refused(written(tree()), "experiment.decision={min_day: 3}")
