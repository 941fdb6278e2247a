"""Every page in every state, run by Streamlit itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from abtest.analysis import words
from abtest.types import Comparison
from dashboards import launch
from dashboards.markdown import cell
from dashboards.numbers import lift_interval, lift_of
from experiments.board import Leaderboard
from experiments.config import CHAMPION
from experiments.home import Home
from experiments.journal import Event, Journal
from tests.dashboards.worlds import (
    BROKEN,
    CONVERSION,
    CTR,
    START,
    UNFIT,
    board,
    broken,
    decision,
    definition,
    effect,
    half_way,
    readout,
)

Keep = Callable[..., None]
Publish = Callable[[Leaderboard], str]
THREE = ("control", "fusion", "als")


def opened(page: str = "experiments", **query: str) -> AppTest:
    """A page after it has run; nothing may have been raised."""
    app = AppTest.from_file(str(launch.APP), default_timeout=30).run()
    if page != "experiments":
        app.switch_page(f"views/{page}.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    """Every word on the page, tables and code too."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "success", "warning", "error", "code")
    words = [str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind)]
    tables = [table.value.to_csv(index=False) for table in (*app.table, *app.dataframe)]
    return "\n".join([*words, *tables]).replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")


def n_charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


PAGES = ["experiments", "readout", "slates", "plan", "models", "offline_online", "serving"]


@pytest.mark.parametrize("page", PAGES)
def test_empty_home_teaches_the_command(home: Home, page: str) -> None:
    app = opened(page)
    assert "make demo" in texts(app)
    assert not app.dataframe
    assert not app.table


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_when_it_was_read(home: Home, page: str) -> None:
    assert any(caption.value.startswith("As of ") for caption in opened(page).caption)


def test_list_shows_every_experiment_with_sign_and_word(keep: Keep) -> None:
    keep(definition("young"))
    keep(definition("won"), readout("won"), decision("won", "ship", "treatment"))
    keep(definition("broken"), broken("broken"), decision("broken", "invalid"))
    table = opened().dataframe[0].value.set_index("Key")
    assert table["Verdict so far"].to_dict() == {
        "young": "– none yet",
        "won": "✓ ship treatment",
        "broken": "⚠ invalid",
    }
    assert table["Health"].to_dict() == {"young": "– no data yet", "won": "✓ fine", "broken": "⚠ sample ratio"}
    assert table.loc["won", "Days"] == "14 of 14"
    assert table.loc["won", "Units"] == "16,023 of 20,000"
    assert table.loc["won", "Progress"] == pytest.approx(80.1, abs=0.05)
    assert table.loc["won", "Readout"] == "readout?experiment=won"


def test_list_is_searched_and_filtered_by_status(keep: Keep) -> None:
    keep(definition("young"))
    keep(definition("won"), readout("won"), decision("won", "ship", "treatment"))
    app = opened()
    app.button_group(key="status").set_value(["● running"]).run()
    assert list(app.dataframe[0].value["Key"]) == ["young"]
    app.text_input(key="search").set_value("WON").run()
    assert not app.dataframe
    assert "No experiment matches" in texts(app)


def test_damaged_experiment_is_named_and_hides_no_other(keep: Keep, home: Home) -> None:
    keep(definition("good"), readout("good"))
    keep(definition("bad"), readout("bad"))
    (home.experiments / "bad" / "readout.json").write_text('{"experiment": "bad"}')
    app = opened()
    assert list(app.dataframe[0].value["Key"]) == ["good"]
    assert "bad" in app.error[0].value
    assert "damaged" in app.error[0].value


@pytest.mark.parametrize("content", ["", "{", '{"experiment": "e"}', "[]", "null"])
def test_damaged_readout_is_a_sentence(keep: Keep, home: Home, content: str) -> None:
    keep(definition("e"), readout("e"))
    (home.experiments / "e" / "readout.json").write_text(content)
    app = opened("readout", experiment="e")
    assert len(app.error) == 1
    assert "readout.json" in app.error[0].value


def test_unknown_experiment_is_a_sentence_with_the_nearest_name(keep: Keep) -> None:
    keep(definition("fusion-als"), readout("fusion-als"))
    app = opened("readout", experiment="fusion-alz")
    assert "did you mean 'fusion-als'" in app.error[0].value
    assert app.selectbox[0].value is None


def test_newest_experiment_is_shown_where_the_address_names_none(keep: Keep) -> None:
    keep(definition("older"), readout("older"))
    keep(definition("newer"), readout("newer"))
    app = opened("readout")
    assert app.selectbox[0].value == "newer"
    assert "Fusion against ALS: newer" in texts(app)


def test_choosing_an_experiment_writes_the_address(keep: Keep) -> None:
    keep(definition("older"), readout("older"))
    keep(definition("newer"), readout("newer"))
    app = opened("readout")
    app.selectbox[0].set_value("older").run()
    assert app.query_params["experiment"] == "older"
    assert "Fusion against ALS: older" in texts(app)


def test_running_without_readout_says_what_to_run(keep: Keep) -> None:
    keep(definition("young"))
    app = opened("readout", experiment="young")
    assert "bakeoff analyse young" in texts(app)
    assert not app.table


def test_ship_shows_verdict_arms_effects_and_course(keep: Keep) -> None:
    keep(definition("won"), readout("won"), decision("won", "ship", "treatment"))
    app = opened("readout", experiment="won")
    (success,) = app.success
    assert "Ship treatment." in success.value
    assert "Promote treatment" in success.value
    assert "in about 1 of 720 such experiments" in texts(app)
    assert "95% intervals of the whole sample" in texts(app)
    arms, effects = app.table[0].value, app.table[1].value
    assert list(arms["Variant"]) == ["control", "treatment"]
    assert list(arms["Model version"]) == ["market v1", "market v2"]
    assert list(effects["Metric"]) == ["Conversion", "Revenue per user", "CTR", "Returns"]
    assert effects.loc[0, "Control"] == cell("12.34% (n = 8,012)")
    assert effects.loc[0, "Lift"] == cell("+3.1% (+1.2% to +5.0%)")
    assert effects.loc[1, "Difference"] == cell("−0.26 EUR (−0.40 to −0.12)")
    assert effects.loc[2, "Difference"] == cell("+0.02 pp (−0.03 to +0.07)")
    assert list(effects["Reading"]) == ["▲ better", "▼ worse", "● cannot tell", cell("✓ holds (margin 5.0%)")]
    assert n_charts(app) == 2
    assert "Every guardrail holds." in texts(app)


def test_invalid_withholds_every_effect(keep: Keep) -> None:
    keep(definition("bad"), broken("bad"), decision("bad", "invalid"))
    app = opened("readout", experiment="bad")
    assert "Effects withheld" in texts(app)
    assert app.error[0].value == words.ratio_sentence(BROKEN).replace("<", r"\<")
    assert "Do not read this experiment" in app.error[1].value
    assert [next(iter(table.value.columns)) for table in app.table] == ["Variant"]
    assert n_charts(app) == 0
    assert [button.key for button in app.get("download_button")] == ["report"]  # no table, no picture: only the report


def test_broken_sample_ratio_withholds_effects_even_before_a_decision(keep: Keep) -> None:
    keep(definition("bad"), broken("bad"))
    app = opened("readout", experiment="bad")
    assert "not split as planned" in app.error[1].value
    assert words.ratio_sentence(BROKEN) in texts(app)
    assert "Effects withheld" in texts(app)
    assert n_charts(app) == 0


@pytest.mark.parametrize("verdict", ["continue", "stop"])
def test_open_or_lost_experiment_is_no_success(keep: Keep, verdict: str) -> None:
    keep(definition("e"), readout("e"), decision("e", verdict))  # type: ignore[arg-type]
    app = opened("readout", experiment="e")
    assert not app.success
    assert n_charts(app) == 2


def test_unfinished_experiment_shows_only_what_may_be_looked_at_early(keep: Keep) -> None:
    keep(definition("e"), half_way("e"), decision("e", "continue"))
    app = opened("readout", experiment="e")
    effects = app.table[1].value.set_index("Metric")
    assert "● running · 100% of traffic · 7 of 14 days" in texts(app)
    latest = [c for c in half_way("e").daily if c.metric == CONVERSION][-1]
    assert effects.loc["Conversion", "Lift"] == cell(f"{lift_of(latest.effect)} ({lift_interval(latest.effect)})")
    assert effects.loc["Conversion", "Reading"] == "● cannot tell"
    assert "always-valid intervals" in texts(app)


def test_verdict_older_than_the_analysis_is_marked(keep: Keep) -> None:
    early = replace(decision("e", "continue"), at=START + timedelta(days=3))
    keep(definition("e"), readout("e"), early)
    assert "before the latest analysis" in texts(opened("readout", experiment="e"))


def test_verdict_is_not_repeated_once_the_split_broke(keep: Keep) -> None:
    keep(definition("e"), broken("e"), decision("e", "ship", "treatment"))
    app = opened("readout", experiment="e")
    assert not app.success
    assert "no longer holds" in app.error[1].value
    assert "Conversion rose" not in texts(app)
    assert opened().dataframe[0].value.loc[0, "Verdict so far"] == "⚠ no longer holds"


def test_analysis_without_decision_says_what_to_run(keep: Keep) -> None:
    keep(definition("e"), readout("e"))
    found = texts(opened("readout", experiment="e"))
    assert "bakeoff decide e" in found
    assert "Treatment lifts conversion by 3.1% (95% interval 1.2% to 5.0%)." in found


def test_three_arms_have_a_row_for_each_treatment(keep: Keep) -> None:
    keep(definition("three", variants=THREE), readout("three", THREE), decision("three", "ship", "fusion"))
    app = opened("readout", experiment="three")
    effects = app.table[1].value
    assert list(effects["Variant"]) == ["fusion", "als"] * 4
    assert len(app.table[0].value) == 3


def test_what_cannot_be_computed_is_said_and_never_zero(keep: Keep) -> None:
    unfit = Comparison(metric=CTR, variant="treatment", effect=UNFIT)
    keep(definition("e"), replace(readout("e"), effects=(unfit,), daily=()))
    app = opened("readout", experiment="e")
    (row,) = app.table[1].value.to_dict("records")
    assert row["Reading"] == "not computed: the denominator is zero in the control"
    assert {row["Control"], row["Treatment"], row["Difference"], row["Lift"], row["p-value"]} == {"–"}
    assert n_charts(app) == 0


def test_no_lift_is_drawn_as_a_metric_tile(keep: Keep) -> None:
    """`st.metric` paints a green arrow on any delta, also on one that means nothing."""
    keep(definition("e"), readout("e"), decision("e", "continue"))
    assert not opened("readout", experiment="e").metric


def test_course_follows_the_chosen_metric(keep: Keep) -> None:
    keep(definition("e"), readout("e"))
    app = opened("readout", experiment="e")
    assert app.selectbox(key="course").options == ["Conversion", "Revenue per user"]
    app.selectbox(key="course").set_value("revenue_per_user").run()
    assert not app.exception


def test_promoted_winner_is_not_to_be_promoted_again(keep: Keep, home: Home) -> None:
    keep(definition("e"), readout("e"), decision("e", "ship", "treatment"))
    move = Event(
        at=START + timedelta(days=15), model="market", change="promote", alias=CHAMPION, version=2, before=1,
        experiment="e", verdict="ship", by="ada",
    )  # fmt: skip
    Journal(home).append(move)
    told = opened("readout", experiment="e").success[0].value
    assert "Done: v2 of market is champion since 19 Mar 2024, 00:00 UTC by ada." in told
    assert "Promote treatment" not in told
    Journal(home).append(replace(move, at=move.at + timedelta(days=1), change="rollback", version=1, before=2))
    st.cache_data.clear()
    assert "Promote treatment" in opened("readout", experiment="e").success[0].value


def test_warnings_and_registry_changes_are_shown(keep: Keep, home: Home) -> None:
    keep(definition("e"), replace(readout("e"), warnings=("3 days without purchases",)), decision("e", "ship", "b"))
    move = Event(
        at=START + timedelta(days=15), model="market", change="promote", alias=CHAMPION, version=2, before=1,
        experiment="e", verdict="ship", reasons=("It won.",), by="ada",
    )  # fmt: skip
    Journal(home).append(move)
    found = texts(opened("readout", experiment="e"))
    assert "3 days without purchases" in found
    assert "It won." in found
    assert "ada" in found


def test_empty_arm_does_not_break_the_page(keep: Keep) -> None:
    made = readout("e")
    arms = tuple(replace(arm, units=0, exposures=0) for arm in made.arms)
    keep(definition("e"), replace(made, arms=arms, effects=(), daily=(), first=None, last=None))
    app = opened("readout", experiment="e")
    assert list(app.table[0].value["Actual share"]) == ["–", "–"]
    assert "no metric could be compared" in texts(app)


def test_hostile_names_are_shown_as_they_stand(keep: Keep) -> None:
    nasty = replace(definition("e"), title="**a** $x$ <b> [l](http://example.org)", hypothesis="`h` $y$")
    comparison = Comparison(metric=replace(CONVERSION, name="a_b*c*"), variant="x|y", effect=effect(0.1, 0.02, 0.01))
    keep(nasty, replace(readout("e"), effects=(comparison,), warnings=("$a$ and $b$",)))
    app = opened("readout", experiment="e")
    assert "\\$x\\$" in app.subheader[0].value
    assert "\\$a\\$ and \\$b\\$" in app.warning[0].value
    assert app.table[1].value.loc[0, "Metric"] == "A b\\*c\\*"


def test_models_show_leaderboard_charts_and_provenance(publish: Publish) -> None:
    run_id = publish(board())
    app = opened("models")
    standings = app.table[0].value
    assert list(standings["Standing"]) == ["★ best", "≈ tied with best", "▽ behind", "▽ behind"]
    assert standings.loc[0, "nDCG@10"] == "**0.1234 (0.1194 to 0.1274)**"
    assert standings.loc[2, "Variant"] == "item\\_knn\\_bm25"
    assert n_charts(app) == 3
    for fact in ("9f86d081884c7d65", "temporal, test from 2024-02-19", "abc123def456-dirty", run_id, "factors = 64"):
        assert fact in texts(app)


def test_models_show_champion_and_journal(publish: Publish, home: Home) -> None:
    from experiments.tracking import Tracker

    publish(board())
    client = Tracker(home).client
    client.create_registered_model("market")
    client.create_model_version("market", source=home.artifacts.as_uri())
    client.set_registered_model_alias("market", CHAMPION, "1")
    Journal(home).append(Event(at=START, model="market", change="register", alias=CHAMPION, version=1, before=None))
    found = texts(opened("models"))
    assert "Champion: v1 since 4 Mar 2024, 00:00 UTC." in found
    assert "Challenger: none." in found
    assert "Nothing to roll back to." in found
    assert "register" in found


def test_unknown_bakeoff_is_a_sentence(publish: Publish) -> None:
    publish(board())
    app = opened("models", bakeoff="markt")
    assert "markt" in app.error[0].value


def test_shorter_lists_show_their_own_numbers(publish: Publish) -> None:
    publish(board())
    app = opened("models")
    app.button_group(key="k").set_value(5).run()
    assert app.table[1].value["Metric"][0] == "nDCG@5"


def test_damaged_journal_and_database_are_sentences(keep: Keep, home: Home) -> None:
    keep(definition("e"), readout("e"))
    home.promotions.write_text("{\n")
    assert "promotions.jsonl cannot be read" in opened("readout", experiment="e").error[0].value.replace("\\", "")
    home.database.write_text("this is no database")
    assert "cannot be read" in opened("models").error[0].value
