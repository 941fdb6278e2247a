import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import cli
from experiments.home import Home
from experiments.loop import Outcome
from tests.experiments.trees import NEIGHBOURS, tree

Line = tuple[Home, Outcome]
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from experiments.cli import main; main()"
)


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> Any:
        """The output as strict JSON."""

        def refuse(word: str) -> None:
            raise ValueError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


Bakeoff = Callable[..., Said]


@pytest.fixture
def bakeoff(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bakeoff:
    """The command line in this process, through its entry point."""

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The tiny line as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree()))
    return path


def child(*arguments: object) -> "subprocess.Popen[str]":
    """The command line in a process group of its own."""
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


# --- the front door ---


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    script = (
        "import sys; from experiments.cli import main; sys.argv = ['bakeoff', '--help']\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code\n"
        "print(sorted({'numpy', 'mlflow', 'optuna', 'pandas', 'polars', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "data → tune → train" in done.stdout


def test_the_version_needs_no_command(bakeoff: Bakeoff) -> None:
    said = bakeoff("--version")
    assert (said.code, said.out) == (0, "bakeoff 0.1.0\n")


@pytest.mark.parametrize(
    "command", ["run", "tune", "train", "evaluate", "leaderboard", "simulate", "analyse", "decide"]
)
def test_every_command_explains_itself_with_an_example(bakeoff: Bakeoff, command: str) -> None:
    said = bakeoff(command, "--help")
    assert said.code == 0
    assert "bakeoff" in said.out


def test_wrong_use_is_2(bakeoff: Bakeoff) -> None:
    assert bakeoff("runn").code == 2
    assert bakeoff("run").code == 2
    assert bakeoff("run", "x.yaml", "--hom", "y").code == 2


# --- errors are one sentence ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "none.yaml"), "bakeoff: none.yaml: No such file or directory"),
        (("leaderboard", "nothing"), "bakeoff: no leaderboard of 'nothing'; known: none yet"),
        (("analyse", "e"), "bakeoff: unknown experiment 'e'; known: none"),
        (("decide", "e"), "bakeoff: unknown experiment 'e'; known: none"),
        (("promote", "e"), "bakeoff: unknown experiment 'e'; known: none"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    bakeoff: Bakeoff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = bakeoff(*arguments, "--home", tmp_path / "home")
    assert said.code == 2
    assert said.err.startswith(sentence)
    assert len(said.err.splitlines()) == 1
    assert said.out == ""


def test_debug_shows_where_it_happened_and_ends_the_same(bakeoff: Bakeoff, tmp_path: Path) -> None:
    said = bakeoff("--debug", "analyse", "e", "--home", tmp_path)
    assert said.code == 2
    assert "Traceback" in said.err
    assert "LookupError: unknown experiment 'e'" in said.err


def test_an_error_that_nobody_foresaw_is_named(
    bakeoff: Bakeoff, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: object) -> Home:
        raise KeyError("surprise")

    monkeypatch.setattr(Home, "at", surprise)
    said = bakeoff("experiment", "list", "--home", tmp_path)
    assert said.code == 2
    assert said.err.startswith("bakeoff: KeyError: 'surprise'\n")
    assert "--debug" in said.err


def test_a_long_path_is_not_broken_over_lines(bakeoff: Bakeoff, tmp_path: Path) -> None:
    missing = tmp_path / ("x" * 120) / "config.yaml"
    assert f"{missing}: No such file" in bakeoff("config", "check", missing).err


def test_a_home_that_is_a_file_is_refused(bakeoff: Bakeoff, path: Path) -> None:
    said = bakeoff("experiment", "list", "--home", path)
    assert said.code == 2
    assert f"the home {path} is a file" in said.err


def test_a_simulation_without_an_experiment_says_what_is_missing(bakeoff: Bakeoff, path: Path, tmp_path: Path) -> None:
    said = bakeoff("simulate", path, "--set", "experiment=null", "--home", tmp_path / "h")
    assert said.code == 2
    assert "has no `experiment`; add one" in said.err


# --- before anything is trained ---


def test_a_configuration_is_printed_with_every_default(bakeoff: Bakeoff, path: Path) -> None:
    said = bakeoff("config", "check", path, "--set", "tuning.trials=9")
    assert said.code == 0
    expected = {"trials": 9, "batch": 3, "workers": 1, "pruning": True, "objectives": [], "within": None}
    assert yaml.safe_load(said.out)["tuning"] == expected
    assert bakeoff("config", "check", path, "--json").values == yaml.safe_load(bakeoff("config", "check", path).out)


def test_a_wrong_configuration_is_2_with_file_line_and_cure(bakeoff: Bakeoff, path: Path) -> None:
    said = bakeoff("config", "check", path, "--set", "evaluation.metric=ndgc")
    assert said.code == 2
    assert f"{path}:" in said.err
    assert "did you mean 'ndcg'?" in said.err


def test_data_is_described(bakeoff: Bakeoff, path: Path) -> None:
    assert "150" in bakeoff("data", "describe", path).out
    values = bakeoff("data", "describe", path, "--json").values
    assert (values["n_users"], values["n_items"]) == (150, 60)
    assert values["kinds"]["click"] > 0
    assert values["first"] < values["last"]
    assert len(values["per_user"]) == 6


def test_good_data_is_0(bakeoff: Bakeoff, path: Path) -> None:
    assert bakeoff("data", "validate", path).code == 0
    assert bakeoff("data", "validate", path, "--json").values["problems"] == []


@pytest.mark.parametrize("on_bad_rows", ["refuse", "drop"])
def test_bad_rows_are_1_with_file_and_line(bakeoff: Bakeoff, tmp_path: Path, on_bad_rows: str) -> None:
    (tmp_path / "log.csv").write_text("user,item,time\na,x,2025-01-01\n,y,2025-01-02\nb,x,never\nb,y,2025-01-03\n")
    params: Mapping[str, Any] = {
        "path": str(tmp_path / "log.csv"),
        "columns": {"user": "user", "item": "item", "time": "time"},
        "on_bad_rows": on_bad_rows,
    }
    config = tmp_path / "data.yaml"
    config.write_text(yaml.safe_dump({"source": "table", "params": params}))
    said = bakeoff("data", "validate", config)
    assert said.code == 1
    for place in ("log.csv:3: missing user", "log.csv:4: "):
        assert place in said.out
    as_json = bakeoff("data", "validate", config, "--json")
    assert as_json.code == 1
    found = [(problem["kind"], problem["lines"], problem["values"]) for problem in as_json.values["problems"]]
    assert found == [("missing user", [3], [""]), ("unreadable time", [4], ["never"])]
    if on_bad_rows == "drop":
        assert [as_json.values[name] for name in ("rows_read", "rows_kept", "dropped")] == [4, 2, 2]
        assert as_json.values["drift"]["new_users"] == 1.0


def test_what_cannot_be_computed_of_data_is_null_in_json(bakeoff: Bakeoff, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\na,x\nb,y\n")
    params = {"path": str(tmp_path / "log.csv"), "columns": {"user": "user", "item": "item", "time": None}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"source": "table", "params": params}))
    values = bakeoff("data", "validate", tmp_path / "data.yaml", "--json").values
    assert values["drift"]["slice_start"] is None
    assert values["drift"]["weekly_psi"] is None
    assert "no times" in [finding["code"] for finding in values["findings"]]


def test_data_that_is_not_there_is_2(bakeoff: Bakeoff, tmp_path: Path) -> None:
    config = tmp_path / "data.yaml"
    config.write_text("source: movielens\nparams: {folder: nowhere}\n")
    assert bakeoff("data", "validate", config).code == 2


def test_the_catalogue_of_models_is_shown(bakeoff: Bakeoff) -> None:
    said = bakeoff("models", "list")
    assert said.code == 0
    for name in ("popularity", "item_knn", "als", "bpr", "fusion"):
        assert name in said.out
    one_family = json.loads(bakeoff("models", "list", "--family", "spectral", "--json").out)
    assert {row["name"] for row in one_family} == {"pure_svd", "gfcf", "bspm"}
    assert "spectral" in bakeoff("models", "list", "--family", "spectrum").err


def test_one_model_is_described_with_its_parameters(bakeoff: Bakeoff) -> None:
    said = bakeoff("models", "describe", "ease")
    assert "regularization" in said.out
    assert "Steck 2019" in said.out
    unknown = bakeoff("models", "describe", "eas")
    assert unknown.code == 2
    assert "did you mean 'ease'?" in unknown.err


# --- after the line has run ---


def test_the_leaderboard_is_found_by_name_and_by_configuration(bakeoff: Bakeoff, line: Line, path: Path) -> None:
    home = line[0].root
    by_name = bakeoff("leaderboard", "tiny", "--home", home)
    assert by_name.code == 0
    assert by_name.out == bakeoff("leaderboard", path, "--home", home).out
    for word in ("hybrid", "knn", "popularity", "ndcg@10", "v3"):
        assert word in by_name.out


def test_the_leaderboard_is_strict_json(bakeoff: Bakeoff, line: Line) -> None:
    board = bakeoff("leaderboard", "tiny", "--home", line[0].root, "--json").values
    assert [row["variant"] for row in board["standings"]] == [row.variant for row in line[1].board.standings]
    assert board["standings"][0]["cells"]["coverage_10"]["low"] == "NaN"
    parts = {part["name"]: part for part in board["standings"][0]["slices"]}
    assert {"cold", "few", "light", "heavy", "new items", "rare items"} == set(parts)
    assert all((part["mean"] == "NaN") == (part["n"] == 0) for part in parts.values())
    assert all(part["reason"] for part in parts.values() if part["n"] < 2)


def test_the_leaderboard_shows_the_slices_and_why_one_is_empty(bakeoff: Bakeoff, line: Line) -> None:
    said = bakeoff("leaderboard", "tiny", "--home", line[0].root).out
    assert "ndcg_10 by slice" in said
    for part in line[1].board.best.slices:
        assert (part.reason in said) if part.n == 0 else (part.name in said)


def test_two_variants_are_compared_user_by_user(bakeoff: Bakeoff, line: Line) -> None:
    said = bakeoff("compare", "tiny", "knn", "popularity", "--metric", "recall_5", "--home", line[0].root)
    assert said.code == 0
    assert "knn minus popularity" in said.out
    values = bakeoff("compare", "tiny", "knn", "popularity", "--home", line[0].root, "--json").values
    rows = {row.variant: row.cells["ndcg_10"].mean for row in line[1].board.standings}
    assert values["difference"] == pytest.approx(rows["knn"] - rows["popularity"])


def test_the_experiments_are_listed(bakeoff: Bakeoff, line: Line) -> None:
    assert "tiny-v2-vs-v1" in bakeoff("experiment", "list", "--home", line[0].root).out
    (row,) = bakeoff("experiment", "list", "--home", line[0].root, "--json").values
    assert (row["key"], row["status"], row["verdict"], row["winner"]) == ("tiny-v2-vs-v1", "decided", "ship", "knn")


def test_an_experiment_is_analysed_and_decided(bakeoff: Bakeoff, copied: Home) -> None:
    said = bakeoff("analyse", "tiny-v2-vs-v1", "--home", copied.root)
    assert said.code == 0
    assert "sample ratio" in said.out
    readout = bakeoff("analyse", "tiny-v2-vs-v1", "--home", copied.root, "--json").values
    assert readout["experiment"] == "tiny-v2-vs-v1"
    said = bakeoff("decide", "tiny-v2-vs-v1", "--home", copied.root, "--json")
    assert (said.code, said.values["verdict"]) == (0, "ship")


def test_a_verdict_other_than_ship_is_1(bakeoff: Bakeoff, copied: Home) -> None:
    definition = copied.experiments / "tiny-v2-vs-v1" / "definition.json"
    definition.write_text(definition.read_text().replace('"min_units": 10', '"min_units": 100000'))
    said = bakeoff("decide", "tiny-v2-vs-v1", "--home", copied.root)
    assert said.code == 1
    assert "continue" in said.out
    refused = bakeoff("promote", "tiny-v2-vs-v1", "--home", copied.root)
    assert refused.code == 1
    assert refused.err.startswith("bakeoff: the verdict on 'tiny-v2-vs-v1' is continue, not ship")


def test_an_unknown_experiment_is_answered_with_the_nearest(bakeoff: Bakeoff, line: Line) -> None:
    said = bakeoff("promote", "tiny-v2-vs-v", "--home", line[0].root)
    assert said.code == 2
    assert "did you mean 'tiny-v2-vs-v1'?" in said.err


def test_rollback_and_promote_show_before_and_after(bakeoff: Bakeoff, copied: Home) -> None:
    back = bakeoff("rollback", "tiny", "--reason", "clicks fell", "--home", copied.root)
    assert back.code == 0
    champion = next(row for row in back.out.splitlines() if "champion" in row)
    assert champion.index("v2") < champion.index("v1")
    assert bakeoff("rollback", "tiny", "--home", copied.root).code == 1
    assert bakeoff("promote", "tiny-v2-vs-v1", "--home", copied.root).code == 0
    assert bakeoff("promote", "tiny-v2-vs-v1", "--home", copied.root).code == 1
    history = bakeoff("history", "tiny", "--home", copied.root).out
    assert "clicks fell" in history
    assert "rollback" in history
    assert "v2" in bakeoff("models", "registered", "--home", copied.root).out


def test_aliases_and_their_journal_are_strict_json(bakeoff: Bakeoff, copied: Home) -> None:
    def said(*command: str) -> Any:
        return bakeoff(*command, "--home", copied.root, "--json").values

    back = said("rollback", "tiny", "--reason", "clicks fell")
    assert (back["before"]["champion"], back["now"]["champion"]) == (2, 1)
    assert "│ rollback" in bakeoff("models", "registered", "--home", copied.root).out
    again = said("promote", "tiny-v2-vs-v1")
    assert (again["before"]["champion"], again["now"]["champion"], again["now"]["previous"]) == (1, 2, 1)
    (slots,) = said("models", "registered")
    assert (slots["model"], slots["champion"]) == ("tiny", 2)
    moves = [(event["change"], event["version"]) for event in said("history") if event["alias"] == "champion"]
    assert moves == [("register", 1), ("promote", 2), ("rollback", 1), ("promote", 2)]


def test_a_model_that_nobody_registered_cannot_be_rolled_back(bakeoff: Bakeoff, line: Line) -> None:
    said = bakeoff("rollback", "tny", "--home", line[0].root)
    assert said.code == 2
    assert "unknown registered model 'tny'; did you mean 'tiny'?" in said.err


def test_looking_at_an_empty_home_says_how_to_fill_it(bakeoff: Bakeoff, home: Home) -> None:
    assert "bakeoff run" in bakeoff("experiment", "list", "--home", home.root).out
    assert bakeoff("experiment", "list", "--home", home.root, "--json").values == []
    assert "bakeoff train" in bakeoff("models", "registered", "--home", home.root).out
    assert "Nothing happened yet" in bakeoff("history", "--home", home.root).out


def test_running_the_line_again_reuses_it_and_says_so_in_json(bakeoff: Bakeoff, copied: Home, path: Path) -> None:
    values = bakeoff("run", path, "--home", copied.root, "--json").values
    assert values["slots"]["champion"] == 2
    assert "champion already" in values["note"]
    assert values["leaderboard"]["name"] == "tiny"


def test_the_summary_of_a_run_ends_with_where_to_look(bakeoff: Bakeoff, copied: Home, path: Path) -> None:
    said = bakeoff("run", path, "--home", copied.root)
    assert said.code == 0
    assert "still stands" in said.out
    assert f"bakeoff dashboard --home {copied.root}" in said.out


def test_tune_and_evaluate_show_what_they_found(bakeoff: Bakeoff, copied: Home, path: Path) -> None:
    said = bakeoff("tune", path, "--home", copied.root)
    assert said.code == 0
    assert "neighbours=" in said.out
    board = bakeoff("evaluate", path, "--home", copied.root, "--json").values
    assert board["split"].endswith("judged on validation")
    assert "≈" in bakeoff("evaluate", path, "--home", copied.root).out


def test_failed_trials_are_told(bakeoff: Bakeoff, path: Path, tmp_path: Path) -> None:
    space = "{shrink: {choices: [0.5, -1.0]}}"
    changes = [f"variants={{knn: {{model: item_knn, search: {space}}}}}", "experiment=null", "tuning.trials=4"]
    settings = [word for change in changes for word in ("--set", change)]
    said = bakeoff("tune", path, *settings, "--home", tmp_path / "h")
    assert said.code == 0
    assert "trials of knn failed, the first: ValueError: shrink must be" in said.out


# --- in a process of its own ---


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_to_go_on_from(path: Path, tmp_path: Path, bakeoff: Bakeoff) -> None:
    home = Home.at(tmp_path / "home")
    only = ["--set", f"variants={json.dumps({'knn': {'model': 'item_knn', 'search': NEIGHBOURS}})}"]
    only += ["--set", "experiment=null", "--home", str(home.root)]
    running = child("tune", path, "--set", "tuning.trials=2000", *only)
    deadline = time.monotonic() + 60
    while not any(b'"state":1' in journal.read_bytes() for journal in home.studies.rglob("*.journal")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.strip() == "interrupted; run the same command again to go on where it stopped"
    (journal,) = home.studies.rglob("*.journal")
    done = journal.read_bytes().count(b'"state":1')
    assert 0 < done < 2000
    assert bakeoff("tune", path, "--set", f"tuning.trials={done}", *only).code == 0
    assert journal.read_bytes().count(b'"state":1') == done  # what was finished is kept, nothing more was needed


@pytest.mark.slow
def test_the_whole_line_runs_from_a_shell(path: Path, home: Home) -> None:
    running = child("run", path, "--home", home.root, "--set", "tuning.trials=2")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert err == ""
    for word in ("ndcg@10", "clicks per user", "champion", "Where to look"):
        assert word in out
