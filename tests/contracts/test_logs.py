"""The contract of abtest.events.log.EventLog, over every log of the catalogue: to register is to be tested."""

import json
import math
import multiprocessing
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abtest.events import LOGS
from abtest.events.log import EXPOSURES, OUTCOMES, EventLog
from abtest.types import Exposure, Outcome
from bakeoff.catalogue import lookup
from tests.postgres import ADDRESS, Server, dsn_of

DURABLE = {"sqlite", "postgres"}  # kept where other processes may open it
MONDAY = datetime(2025, 1, 6, 9, tzinfo=UTC)


def opened(name: str, folder: Path) -> EventLog:
    kind = lookup(LOGS, name, "log")
    places = {"sqlite": lambda: [folder / "events.db"], "postgres": lambda: [dsn_of(folder)]}
    log: EventLog = kind(*places.get(name, list)())
    return log


@pytest.fixture(scope="module", autouse=True)
def _postgres() -> Iterator[None]:
    """A PostgreSQL for the logs of this module, and for the processes that they start. Missing: it fails."""
    server = Server.make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, server.dsn)
        yield
    server.close()


@pytest.fixture(params=sorted(LOGS))
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    with opened(request.param, tmp_path) as log:
        yield log


@pytest.fixture(params=sorted(DURABLE))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], EventLog]:
    return lambda: opened(request.param, tmp_path)


def exposure(id: str = "e1", **fields: Any) -> Exposure:
    return Exposure(**{"id": id, "unit": "u1", "experiment": "ranker", "variant": "control", "at": MONDAY, **fields})


def outcome(id: str = "o1", **fields: Any) -> Outcome:
    return Outcome(**{"id": id, "unit": "u1", "kind": "click", "at": MONDAY, **fields})


# what comes back


def test_exposure_comes_back_as_it_was(log: EventLog) -> None:
    shown = exposure(
        items=("a", 'quoted "b"\\', "", "line\nbreak\0", "日本😀"),
        scores=(0.5, -2.25, math.nan, 0.0, 1e-3),
        propensities=(1.0, 0.5, 0.25, 0.125, 1e-3),
        context={"page": 3, "device": "télé", "tags": ["x", None, True]},
    )
    assert log.append([shown]) == 1
    (row,) = log.exposures().to_pylist()
    assert row["id"] == "e1"
    assert (row["unit"], row["experiment"], row["variant"], row["at"]) == ("u1", "ranker", "control", MONDAY)
    assert tuple(row["items"]) == shown.items
    assert row["scores"] == pytest.approx(shown.scores, nan_ok=True, rel=1e-6)  # float32
    assert row["propensities"] == pytest.approx(shown.propensities, rel=1e-6)
    assert json.loads(row["context"]) == shown.context


def test_outcome_comes_back_as_it_was(log: EventLog) -> None:
    bought = outcome(kind="buy", value=19.99, item="日本", exposure="e1")
    assert log.append([bought]) == 1
    assert log.outcomes().to_pylist() == [
        {"id": "o1", "unit": "u1", "kind": "buy", "at": MONDAY, "value": 19.99, "item": "日本", "exposure": "e1"}
    ]


def test_empty_log_has_the_schemas(log: EventLog) -> None:
    assert log.exposures().equals(EXPOSURES.empty_table())
    assert log.outcomes("nothing").equals(OUTCOMES.empty_table())
    assert log.days("exposures") == {}


def test_exposure_without_items_has_empty_lists(log: EventLog) -> None:
    log.append([exposure("e1"), exposure("e2", items=("a",)), exposure("e3")])
    rows = log.exposures().to_pylist()
    assert [row["items"] for row in rows] == [[], ["a"], []]
    assert [row["scores"] for row in rows] == [[], [], []]
    assert [row["context"] for row in rows] == ["{}"] * 3


def test_times_are_given_in_utc_to_the_microsecond(log: EventLog) -> None:
    local = datetime(2025, 1, 6, 1, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    long_ago = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    log.append([outcome("local", at=local), outcome("long ago", at=long_ago)])
    table = log.outcomes()
    assert table.column("at").to_pylist() == [long_ago, datetime(2025, 1, 5, 20, 0, 0, 123_457, tzinfo=UTC)]
    assert table.schema.field("at").type.tz == "UTC"


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
events = st.lists(
    st.one_of(
        st.builds(
            exposure,
            text,
            unit=text,
            variant=text,
            items=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
            context=st.dictionaries(text, st.none() | st.booleans() | st.integers(-5, 5) | text, max_size=3),
        ),
        st.builds(
            outcome,
            text,
            unit=text,
            at=st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
            value=st.floats(allow_nan=False, allow_infinity=False),
        ),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(events, max_size=3))
@pytest.mark.parametrize("name", sorted(LOGS))
def test_the_log_is_the_first_event_of_each_id_in_order_of_time_and_id(
    name: str, batches: list[list[Exposure | Outcome]], tmp_path: Path
) -> None:
    first: dict[tuple[type, str], Exposure | Outcome] = {}
    with opened(name, tmp_path / uuid4().hex) as log:
        for batch in batches:
            before = len(first)
            for event in batch:
                first.setdefault((type(event), event.id), event)
            assert log.append(batch) == len(first) - before
        ordered = sorted(first.values(), key=lambda event: (event.at, event.id))
        shown = [event for event in ordered if isinstance(event, Exposure)]
        done = [event for event in ordered if isinstance(event, Outcome)]
        exposures, outcomes = log.exposures().to_pylist(), log.outcomes().to_pylist()
    assert [(r["id"], r["unit"], r["variant"], tuple(r["items"]), json.loads(r["context"])) for r in exposures] == [
        (event.id, event.unit, event.variant, event.items, event.context) for event in shown
    ]
    assert [(r["id"], r["unit"], r["at"], r["value"]) for r in outcomes] == [
        (event.id, event.unit, event.at, event.value) for event in done
    ]


# reading a part


def test_exposures_of_one_experiment(log: EventLog) -> None:
    log.append([exposure("e1"), exposure("e2", experiment="layout"), exposure("e3", experiment="rank")])
    assert log.exposures("ranker")["id"].to_pylist() == ["e1"]
    assert log.exposures()["id"].to_pylist() == ["e1", "e2", "e3"]
    assert log.exposures("unknown").num_rows == 0


def test_outcomes_of_an_experiment_are_those_of_its_units_before_exposure_too(log: EventLog) -> None:
    log.append([exposure(unit="seen"), exposure("e2", unit="elsewhere", experiment="layout")])
    log.append(
        [
            outcome("before", unit="seen", at=MONDAY - timedelta(days=3)),
            outcome("after", unit="seen", at=MONDAY + timedelta(days=3)),
            outcome("other", unit="elsewhere"),
            outcome("nobody", unit="never exposed"),
        ]
    )
    assert log.outcomes("ranker")["id"].to_pylist() == ["before", "after"]
    assert log.outcomes().num_rows == 4


def test_since_is_included_and_until_is_not(log: EventLog) -> None:
    hours = [MONDAY + timedelta(hours=h) for h in range(4)]
    log.append([exposure(f"e{h}", at=at) for h, at in enumerate(hours)])
    log.append([outcome(f"o{h}", at=at) for h, at in enumerate(hours)])
    assert log.exposures(since=hours[1], until=hours[3])["id"].to_pylist() == ["e1", "e2"]
    assert log.exposures("ranker", since=hours[2])["id"].to_pylist() == ["e2", "e3"]
    assert log.outcomes("ranker", until=hours[2])["id"].to_pylist() == ["o0", "o1"]
    assert log.outcomes(since=hours[3])["id"].to_pylist() == ["o3"]
    with pytest.raises(ValueError, match="since must have a time zone"):
        log.outcomes(since=datetime(2025, 1, 6))


def test_days_count_in_utc(log: EventLog) -> None:
    east = timezone(timedelta(hours=2))
    log.append(
        [
            outcome("o1", at=datetime(2025, 1, 7, 1, tzinfo=east)),  # 6 January, 23:00 UTC
            outcome("o2", at=datetime(2025, 1, 7, 2, tzinfo=east)),
            outcome("o3", at=datetime(2025, 1, 7, 23, 59, 59, 999_999, tzinfo=UTC)),
            outcome("o4", at=datetime(1969, 12, 31, tzinfo=UTC)),
            exposure(),
        ]
    )
    assert log.days("outcomes") == {date(1969, 12, 31): 1, date(2025, 1, 6): 1, date(2025, 1, 7): 2}
    assert list(log.days("outcomes")) == sorted(log.days("outcomes"))
    assert log.days("exposures") == {date(2025, 1, 6): 1}
    with pytest.raises(LookupError, match="unknown kind of event 'outcome'; did you mean 'outcomes'"):
        log.days("outcome")  # type: ignore[arg-type]


def test_numpy_scalars_are_kept_like_python_values(log: EventLog) -> None:
    names, numbers = np.array(["café", "b"]), np.array([0.5, 2.0], dtype=np.float32)
    log.append([exposure(names[0], unit=names[1], items=tuple(names), scores=tuple(numbers))])
    log.append([outcome(names[0], unit=names[1], value=numbers[1])])
    (shown,), (done,) = log.exposures().to_pylist(), log.outcomes().to_pylist()
    assert (shown["id"], shown["unit"], shown["items"], shown["scores"]) == ("café", "b", ["café", "b"], [0.5, 2.0])
    assert (done["id"], done["unit"], done["value"]) == ("café", "b", 2.0)


# sending twice


def test_same_id_is_kept_once_and_the_first_wins(log: EventLog) -> None:
    assert log.append([outcome(value=1.0)]) == 1
    assert log.append([outcome(value=2.0), outcome("o2"), outcome("o2", value=3.0)]) == 1
    assert log.outcomes()["value"].to_pylist() == [1.0, 1.0]


def test_each_event_is_told_whether_it_was_new(log: EventLog) -> None:
    assert log.append_each([]) == []
    assert log.append_each([outcome("o1"), exposure("e1"), outcome("o1")]) == [True, True, False]
    mixed = [exposure("e2"), outcome("o1"), exposure("e1"), outcome("o2"), outcome("e1")]
    assert log.append_each(mixed) == [True, False, False, True, True]
    assert log.outcomes()["id"].to_pylist() == ["e1", "o1", "o2"]
    with pytest.raises(ValueError, match="id must not be empty"):
        log.append_each([outcome("o3"), outcome("")])
    assert log.append([outcome("o3")]) == 1


def test_exposure_and_outcome_may_share_an_id(log: EventLog) -> None:
    assert log.append([exposure("same"), outcome("same")]) == 2
    assert log.exposures().num_rows == log.outcomes().num_rows == 1


def test_appending_nothing_is_nothing_new(log: EventLog) -> None:
    assert log.append([]) == 0


# refusals


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (exposure(""), "exposure '': id must not be empty"),
        (exposure("bad", unit=""), "exposure 'bad': unit must not be empty"),
        (exposure("bad", experiment=""), "exposure 'bad': experiment must not be empty"),
        (exposure("bad", variant=""), "exposure 'bad': variant must not be empty"),
        (exposure("bad", unit=7), "exposure 'bad': unit must be a string, got 7"),
        (exposure("bad", unit="\ud83d"), "exposure 'bad': unit must be valid Unicode"),
        (exposure("bad", at=datetime(2025, 1, 6)), "exposure 'bad': at must be a time with a zone"),
        (exposure("bad", at="2025-01-06"), "exposure 'bad': at must be a time with a zone"),
        (exposure("bad", items=("a", 7)), "exposure 'bad': items must be strings"),
        (exposure("bad", items=("a", "\udc00")), "exposure 'bad': items must be valid Unicode"),
        (exposure("bad", items=("a",), scores=(1.0, 2.0)), "exposure 'bad': scores must be empty or one per item"),
        (exposure("bad", items=("a",), scores=(math.inf,)), "exposure 'bad': scores must be finite"),
        (exposure("bad", items=("a",), scores=(1e39,)), "exposure 'bad': scores must be float32"),
        (exposure("bad", items=("a",), scores=("1",)), "exposure 'bad': scores must be float32"),
        (exposure("bad", propensities=(1.0,)), "exposure 'bad': propensities must be empty or one per item"),
        (exposure("bad", items=("a",), propensities=(0.0,)), "exposure 'bad': propensities must be above 0"),
        (exposure("bad", items=("a",), propensities=(1e-60,)), "exposure 'bad': propensities must be above 0"),
        (exposure("bad", items=("a",), propensities=(1.5,)), "exposure 'bad': propensities must be above 0"),
        (exposure("bad", items=("a",), propensities=(math.nan,)), "exposure 'bad': propensities must be above 0"),
        (exposure("bad", context={"x": math.nan}), "exposure 'bad': context must be an object of JSON values"),
        (exposure("bad", context={"x": {1, 2}}), "exposure 'bad': context must be an object of JSON values"),
        (exposure("bad", context=["x"]), "exposure 'bad': context must be an object of JSON values"),
        (outcome(""), "outcome '': id must not be empty"),
        (outcome("bad", unit=""), "outcome 'bad': unit must not be empty"),
        (outcome("bad", kind=""), "outcome 'bad': kind must not be empty"),
        (outcome("bad", item=None), "outcome 'bad': item must be a string, got None"),
        (outcome("bad", at=datetime(2025, 1, 6)), "outcome 'bad': at must be a time with a zone"),
        (outcome("bad", value=math.nan), "outcome 'bad': value must be a finite number, got nan"),
        (outcome("bad", value=-math.inf), "outcome 'bad': value must be a finite number, got -inf"),
        (outcome("bad", value="12"), "outcome 'bad': value must be a finite number, got '12'"),
        (outcome("bad", value=None), "outcome 'bad': value must be a finite number, got None"),
        ({"id": "bad"}, "an event must be an Exposure or an Outcome, got {'id': 'bad'}"),
    ],
)
@pytest.mark.parametrize("name", sorted(LOGS))
def test_one_bad_event_refuses_its_batch(name: str, bad: Any, message: str, tmp_path: Path) -> None:
    with opened(name, tmp_path) as log:
        log.append([outcome("kept")])
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            log.append([exposure("good"), outcome("good"), bad])
        assert log.exposures().num_rows == 0
        assert log.outcomes()["id"].to_pylist() == ["kept"]


def test_closed_log_says_so(log: EventLog) -> None:
    log.append([outcome()])
    log.close()
    log.close()
    for use in (lambda: log.append([outcome("o2")]), lambda: log.append([]), log.exposures, log.outcomes):
        with pytest.raises(RuntimeError, match="closed"):
            use()


# many at once


def test_threads_that_append_different_events_lose_none(log: EventLog) -> None:
    def send(thread: int) -> int:
        return sum(log.append([outcome(f"{thread}-{i}"), exposure(f"{thread}-{i}")]) for i in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, range(8))) == [50] * 8
    assert log.exposures().num_rows == log.outcomes().num_rows == 200


def test_of_threads_that_append_the_same_event_one_is_told_it_was_new(log: EventLog) -> None:
    def send(thread: int) -> list[int]:
        return [log.append([outcome(f"o{i}", value=thread)]) for i in range(40)]

    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(send, range(8)))
    assert [sum(told) for told in zip(*new, strict=True)] == [1] * 40
    assert log.outcomes().num_rows == 40


def test_reader_sees_whole_batches_while_others_append(log: EventLog) -> None:
    def send(thread: int) -> None:
        for i in range(20):
            log.append([outcome(f"{thread}-{i}-{part}", item=f"{thread}-{i}") for part in range(7)])

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(send, thread) for thread in range(4)]
        while not all(writer.done() for writer in writers):
            assert set(Counter(log.outcomes()["item"].to_pylist()).values()) <= {7}
    assert log.outcomes().num_rows == 4 * 20 * 7


def test_event_is_there_for_everybody_when_append_returns(log: EventLog) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        for i in range(20):
            log.append([outcome(f"o{i}")])
            assert elsewhere.submit(log.outcomes).result().num_rows == i + 1


# kept in a file


def test_events_survive_closing(reopen: Callable[[], EventLog]) -> None:
    with reopen() as log:
        log.append([exposure(items=("a",)), outcome()])
        shown, done = log.exposures(), log.outcomes()
    with reopen() as log:
        assert log.exposures().equals(shown)
        assert log.outcomes().equals(done)
        assert log.append([exposure(), outcome()]) == 0


def test_two_logs_on_one_file_see_each_other(reopen: Callable[[], EventLog]) -> None:
    with reopen() as one, reopen() as other:
        assert one.append([outcome("o1")]) == 1
        assert other.append([outcome("o1"), outcome("o2")]) == 1
        assert one.outcomes().equals(other.outcomes())


APPEND_UNTIL_KILLED = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from abtest.events import LOGS
    from abtest.types import Outcome
    from bakeoff.catalogue import lookup
    from tests.postgres import dsn_of

    name, folder = sys.argv[1], Path(sys.argv[2])
    log = lookup(LOGS, name, "log")(dsn_of(folder) if name == "postgres" else folder / "events.db")
    at = datetime(2025, 1, 6, tzinfo=UTC)
    batch = int(sys.argv[3])
    while True:
        batch += 1
        log.append([Outcome(id=f"{batch}-{part}", unit="u", kind="click", at=at) for part in range(20)])
        print(batch, flush=True)  # acknowledged: from here on it must never be lost
""")


@pytest.mark.parametrize("name", sorted(DURABLE))
def test_killed_process_loses_nothing_it_acknowledged_and_leaves_no_half_batch(name: str, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for killed_after in (1, 40, 150):
        command = [sys.executable, "-c", APPEND_UNTIL_KILLED, name, str(tmp_path), str(len(acknowledged) + 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [int(child.stdout.readline()) for _ in range(killed_after)]
            child.send_signal(signal.SIGKILL)
            told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        assert child.returncode == -signal.SIGKILL
        acknowledged += told
        with opened(name, tmp_path) as log:
            ids = log.outcomes()["id"].to_pylist()
        parts = Counter(int(id.split("-")[0]) for id in ids)
        assert len(ids) == len(set(ids))
        assert set(parts.values()) == {20}
        assert set(acknowledged) <= set(parts)


def append_shared_and_own(name: str, folder: Path, process: int) -> int:
    with opened(name, folder) as log:
        return sum(log.append([outcome(f"shared-{i}"), outcome(f"{process}-{i}")]) for i in range(60))


@pytest.mark.parametrize("name", sorted(DURABLE))
def test_processes_that_create_and_append_at_once_keep_each_event_once(name: str, tmp_path: Path) -> None:
    # spawned, not forked: this process has threads
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        new = pool.starmap(append_shared_and_own, [(name, tmp_path, process) for process in range(3)])
    assert sum(new) == 3 * 60 + 60
    with opened(name, tmp_path) as log:
        assert log.outcomes().num_rows == 3 * 60 + 60
