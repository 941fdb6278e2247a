"""How the dashboard is started."""

from pathlib import Path

import pytest

from dashboards import launch
from experiments.home import Home


def test_command_names_app_port_and_home(home: Home) -> None:
    words = launch.command(home, 8601)
    assert words[1:5] == ["-m", "streamlit", "run", str(launch.APP)]
    assert "--server.port=8601" in words
    assert words[-4:] == ["--", launch.WARM_UP, "--home", str(home.root)]


def test_command_keeps_the_dashboard_on_this_machine(home: Home) -> None:
    words = launch.command(home, 8601)
    assert "--server.address=127.0.0.1" in words
    assert "--browser.gatherUsageStats=false" in words


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_impossible_port_is_refused(home: Home, port: int) -> None:
    with pytest.raises(ValueError, match=f"got {port}"):
        launch.command(home, port)


def test_home_comes_from_the_command_and_else_from_the_environment(home: Home, tmp_path: Path) -> None:
    assert launch.home_of(["--home", str(tmp_path / "other")]).root == tmp_path / "other"
    assert launch.home_of(["-q", "tests"]) == home


def test_streamlit_finds_no_folder_of_pages_of_its_own() -> None:
    # with one, a shared link opened first on a new server shows the bare page, without the app around it
    assert not (launch.APP.parent / "pages").exists()
