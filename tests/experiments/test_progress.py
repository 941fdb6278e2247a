import io

from rich.console import Console

from experiments.progress import bars


def test_without_a_terminal_every_finished_task_is_one_line() -> None:
    out = io.StringIO()
    with bars(Console(file=out, width=80)) as progress:
        for done in range(4):
            progress("tune als", done, 3, f"best 0.{done}")
        progress("simulate days", 1, 2, "")
    assert out.getvalue().splitlines() == ["tune als: 3/3 best 0.3"]


def test_a_terminal_sees_bars() -> None:
    out = io.StringIO()
    with bars(Console(file=out, width=80, force_terminal=True)) as progress:
        progress("tune als", 1, 3, "")
    assert "tune als" in out.getvalue()
    assert "1/3" in out.getvalue()
