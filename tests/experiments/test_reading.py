from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config import load
from experiments.reading import ConfigError, Strict, parse
from tests.experiments.trees import tree

Written = Callable[..., Path]


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, overrides)
    return str(error.value)


def test_an_unknown_key_is_named_with_its_line(written: Written) -> None:
    path = written("name: a\ndata: {source: market}\nvariants:\n  p: {model: popularity}\ntuning:\n  trails: 3\n")
    said = (
        f"{path}:6: tuning.trails: unknown key 'trails'; did you mean 'trials'? "
        "known: batch, objectives, pruning, trials, within, workers"
    )
    assert refused(path) == said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sead=1", "sead: unknown key 'sead'; did you mean 'seed'?"),
        ("variants.knn.serch=1", "variants.knn.serch: unknown key 'serch'; did you mean 'search'?"),
        ("variants.knn.search.shrink.lo=1", "variants.knn.search.shrink.lo: unknown key 'lo'; did you mean 'low'?"),
        ("experiment.dais=1", "experiment.dais: unknown key 'dais'; did you mean 'days'?"),
        ("experiment.world.target=1", "experiment.world.target: unknown key 'target'; did you mean 'target_ctr'?"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_at_any_depth(written: Written, override: str, said: str) -> None:
    assert said in refused(written(tree()), override)


def test_a_wrong_type_says_what_it_got(written: Written) -> None:
    path = written("name: a\nseed: soon\ndata: {source: market}\nvariants: {p: {model: popularity}}\n")
    message = refused(path)
    assert message.startswith(f"{path}:2: seed: ")
    assert "valid integer" in message
    assert message.endswith("got 'soon'")


def test_a_missing_key_is_named(written: Written) -> None:
    assert "variants: Field required" in refused(written("name: a\ndata: {source: market}\n"))


def test_all_mistakes_are_told_at_once(written: Written) -> None:
    message = refused(written(tree(sead=1, seed=-1)))
    assert len(message.splitlines()) == 2


def test_overrides_reach_into_the_file_and_into_the_files_it_names(written: Written) -> None:
    written("source: market\nparams: {n_users: 10}\n", "data/small.yaml")
    path = written(tree(data="data/small.yaml"))
    config = load(path, ["tuning.trials=50", "data.params.n_users=7", "experiment.title=Clicks, please"])
    assert config.tuning.trials == 50
    assert config.data.params == {"n_users": 7}
    assert config.experiment is not None
    assert config.experiment.title == "Clicks, please"


def test_an_override_may_name_another_file(written: Written) -> None:
    written("source: market\nparams: {n_users: 11}\n", "other.yaml")
    assert load(written(tree()), ["data=other.yaml"]).data.params == {"n_users": 11}


@pytest.mark.parametrize("text", ["tuning.trials", "=3", "name.x=1", "seed=[1"])
def test_an_override_that_cannot_be_read_is_quoted(written: Written, text: str) -> None:
    assert repr(text) in refused(written(tree()), text)


class Anything(Strict):
    value: object


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.5", 0.5), ("[1, x]", [1, "x"]), ("true", True), ("null", None), ("a=b", "a=b")]
)
def test_an_override_is_read_as_yaml(written: Written, text: str, value: object) -> None:
    assert parse(Anything, written({"value": "old"}), [f"value={text}"]).value == value


def test_a_file_may_name_another_for_its_parts(written: Written) -> None:
    written("neighbours: {low: 5, high: 50, integer: true}\n", "search/knn.yaml")
    path = written(tree(variants={"knn": {"model": "item_knn", "search": "search/knn.yaml"}}, experiment=None))
    assert load(path).variants["knn"].search["neighbours"].high == 50


def test_a_reference_to_nowhere_names_the_file_it_looked_for(written: Written, tmp_path: Path) -> None:
    assert refused(written(tree(data="data/none.yaml"))) == f"{tmp_path / 'data/none.yaml'}: No such file or directory"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- a\n- b\n", "expected a mapping of keys, got list"),
        ("", "expected a mapping of keys, got NoneType"),
        ("a: [1\n", "not valid YAML"),
    ],
)
def test_what_is_no_mapping_is_refused(written: Written, content: str, said: str) -> None:
    assert said in refused(written(content))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: café\n".encode("latin-1"))
    assert refused(path) == f"{path}: not UTF-8 text (byte 9); save it as UTF-8"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: Is a directory"


def test_environment_variables_are_put_in(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "/data/shop")
    path = written(tree(data={"source": "movielens", "params": {"folder": "${SHOP}/ml"}}))
    assert load(path).data.params["folder"] == "/data/shop/ml"


def test_an_unset_variable_is_named_with_both_cures(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP", raising=False)
    path = written(tree(data={"source": "movielens", "params": {"folder": "${SHOP}/ml"}}))
    message = refused(path)
    assert "data.params.folder needs the environment variable SHOP, which is not set" in message
    assert "export SHOP=" in message
    assert "--set data.params.folder=" in message
    assert load(path, ["data.params.folder=/x"]).data.params["folder"] == "/x"
