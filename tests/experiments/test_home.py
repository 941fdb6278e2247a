from pathlib import Path

import pytest

from experiments.home import Home


def test_the_home_is_the_folder_given_then_the_variable_then_mlruns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.at().root == tmp_path / "mlruns"
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path / "named"))
    assert Home.at().root == tmp_path / "named"
    assert Home.at(tmp_path / "given").root == tmp_path / "given"


def test_a_home_is_made_and_does_not_move_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.at("a/b")
    monkeypatch.chdir("/")
    assert home.root.is_dir()
    assert home.database == tmp_path / "a/b/mlflow.db"


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file; give a folder with --home"):
        Home.at(tmp_path / "file")
