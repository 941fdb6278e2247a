"""The pages that need registered models and a log, over a home that the whole line has written."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from abtest.types import Exposure
from dashboards import operators
from experiments import logs
from experiments.home import Home
from experiments.journal import Journal
from experiments.serving_config import LogConfig
from experiments.store import ExperimentStore
from tests.dashboards.test_pages import n_charts, opened, texts
from tests.postgres import Server


def key_of(home: Home) -> str:
    (key,) = ExperimentStore(home).keys()
    return key


def signed_in(page: str, **query: str) -> AppTest:
    """The page as an operator sees it."""
    app = opened(page, **query)
    app.session_state[operators.TOKEN], app.session_state[operators.NAME] = "open sesame", "ada"
    app.run()
    assert not app.exception
    return app


def test_slates_show_the_same_user_under_both_variants(finished: Home) -> None:
    app = opened("slates", experiment=key_of(finished))
    shown, other, summary = (app.table[n].value for n in range(3))
    assert list(shown.columns) == list(other.columns) == [r"\#", "Item", "Why", "Score"]
    assert 0 < len(shown) == len(other)
    assert all(shown["Why"])
    assert all(other["Why"])
    assert set(summary["Variant"]) == {"popularity", "knn"}
    assert "as shown" in texts(app)
    assert "The registered model, asked with the history of its training." in texts(app)
    assert n_charts(app) == 5
    assert "share" in texts(app)


def test_slates_of_a_user_can_be_linked(finished: Home) -> None:
    users = opened("slates", experiment=key_of(finished)).selectbox[1].options
    app = opened("slates", experiment=key_of(finished), user=users[1])
    assert app.selectbox[1].value == users[1]
    assert "has none of the newest slates" in texts(opened("slates", experiment=key_of(finished), user="nobody"))


def test_slates_without_their_data_set_lack_categories_only(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import promises

    def moved(*_: object) -> None:
        raise FileNotFoundError("the data set has moved")

    monkeypatch.setattr(promises, "data_of", moved)
    app = opened("slates", experiment=key_of(finished))
    assert "the data set cannot be loaded any more" in texts(app)
    assert n_charts(app) == 4


def test_plan_follows_lift_arms_and_looks(finished: Home) -> None:
    app = opened("plan", experiment=key_of(finished))
    first = app.info[0].value
    assert "in each of 2 arms" in first
    assert n_charts(app) == 2
    app.number_input(key="lift").set_value(20.0).run()
    larger = app.info[0].value
    assert larger != first
    app.number_input(key="arms").set_value(3).run()
    assert "in each of 3 arms" in app.info[0].value
    app.selectbox(key="looks").set_value("any time").run()
    assert not app.exception
    assert app.toggle(key="cuped").disabled


def test_one_experiment_is_too_few_to_judge_offline_metrics(finished: Home) -> None:
    app = opened("offline_online")
    assert "Only 1 comparison: too few to say which offline metric predicts the lift." in texts(app)
    assert n_charts(app) == 1
    points = app.table[-1].value
    assert list(points["Treatment against control"]) == ["knn against popularity"]


def test_experiment_of_a_deleted_model_is_left_out_and_hides_no_other(finished: Home) -> None:
    store = ExperimentStore(finished)
    made = store.record(key_of(finished))
    assert made.readout is not None
    experiment = replace(made.definition.experiment, key="orphan")
    store.save(replace(made.definition, experiment=experiment, model="gone"))
    store.save_readout(replace(made.readout, experiment="orphan"))
    app = opened("offline_online")
    assert "Only 1 comparison" in texts(app)
    assert "orphan: v1 of 'gone', or the bake-off it came from, is not in MLflow any more" in texts(app)


def test_models_show_the_long_tail_beside_the_kinds_of_users(finished: Home) -> None:
    tables = [table.value for table in opened("models").table]
    (kinds,) = (table for table in tables if any("Long tail" in name for name in table.columns))
    assert set(kinds["Variant"]) == {"popularity", "knn"}


def test_serving_shows_slots_pace_and_what_comes_later(finished: Home) -> None:
    app = opened("serving")
    slots = app.table[0].value.set_index("Slot")
    assert slots.loc["champion", "Version"] == "v2"
    assert slots.loc["champion", "By the decision on"] == key_of(finished)
    assert slots.loc["previous", "Version"] == "v1"
    assert "The newest slate is" in texts(app)
    assert "come with the live service" in texts(app)
    app.button_group(key="step").set_value(["By minute"]).run()
    assert not app.exception


def test_serving_reads_the_log_that_the_service_writes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, path = Server.make(), tmp_path / "serving.yaml"
    path.write_text(f'log: {{kind: postgres, dsn: "{database.dsn}"}}\n')
    logs.remember(home, LogConfig(kind="postgres"))
    try:
        monkeypatch.delenv(logs.VARIABLE, raising=False)
        assert "are kept in postgres: give --config FILE, or set BAKEOFF_SERVING" in texts(opened("serving"))
        monkeypatch.setenv(logs.VARIABLE, str(path))
        st.cache_data.clear()
        assert "The event log is empty" in texts(opened("serving"))
        with logs.configured(home, path) as log:
            log.append([Exposure(id="x", unit="u", experiment="e", variant="a", at=datetime.now(UTC))])
        st.cache_data.clear()
        app = opened("serving")
        assert "The newest slate is" in texts(app)
        assert n_charts(app) == 1
    finally:
        database.close()


def test_models_compare_any_two_user_by_user(finished: Home) -> None:
    app = opened("models")
    best, *others = app.selectbox(key="one").options
    sentence = next(m.value for m in app.markdown if "of 1" in m.value or "users and worse for" in m.value)
    assert "nDCG@10" in sentence
    app.selectbox(key="one").set_value(others[0]).run()
    assert not app.exception
    assert best in app.selectbox(key="other").options


def test_traffic_by_day_stands_on_the_readout(finished: Home) -> None:
    app = opened("readout", experiment=key_of(finished))
    assert n_charts(app) == 4
    assert "checks of validity" in app.expander[0].label


def test_nobody_operates_without_a_token_in_the_environment(finished: Home) -> None:
    app = signed_in("serving")
    assert not [button for button in app.button if "rollback" in str(button.key)]


def test_wrong_token_is_refused(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    monkeypatch.setattr(operators, "PAUSE", 0.0)
    app = opened("serving")
    app.text_input[1].set_value("open barley")
    app.button[1].click().run()
    assert "This is not the operator token." in texts(app)
    assert not [button for button in app.button if "rollback" in str(button.key)]


def test_operator_rolls_back_and_promotes_after_saying_yes(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    app = signed_in("serving")
    assert app.button(key="rollback tiny").disabled
    app.checkbox(key="rollback tiny sure").check().run()
    app.text_input(key="rollback reason tiny").set_value("clicks fell").run()
    app.button(key="rollback tiny").click().run()
    assert not app.exception
    undone = Journal(finished).events()[-1]
    assert (undone.change, undone.version, undone.by, undone.reasons) == (
        "rollback", 1, "ada (dashboard)", ("clicks fell",),
    )  # fmt: skip

    app = signed_in("readout", experiment=key_of(finished))
    app.checkbox(key="promote sure").check().run()
    app.button(key="promote").click().run()
    assert not app.exception
    moved = [event for event in Journal(finished).events() if event.alias == "champion"][-1]
    assert (moved.change, moved.version, moved.by) == ("promote", 2, "ada (dashboard)")


def test_refused_promotion_is_a_sentence(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    app = signed_in("readout", experiment=key_of(finished))
    app.checkbox(key="promote sure").check().run()
    app.button(key="promote").click().run()
    assert "is champion already" in texts(app)


def test_decision_that_changed_meanwhile_is_not_acted_on(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    app = signed_in("readout", experiment=key_of(finished))
    app.checkbox(key="promote sure").check().run()
    store = ExperimentStore(finished)
    made = store.record(key_of(finished)).decision
    assert made is not None
    store.save_decision(replace(made, verdict="stop", winner=None))
    app.button(key="promote").click().run()
    assert "the decision has changed since this page was read" in texts(app)


def test_operator_signs_in_through_oidc_when_named(
    finished: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {"auth": {"client_id": "x"}, "operators": {"emails": ["ada@example.org"]}}
    monkeypatch.setattr(operators, "_secrets", lambda: secrets)
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "email": "ada@example.org"})
    assert operators.signed_in() == "ada@example.org"
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "email": "eve@example.org"})
    assert operators.signed_in() is None
