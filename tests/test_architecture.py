"""The import rules of the house, read from the source: who may know whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bakeoff", "recsys", "abtest", "experiments", "dashboards")
PURE = ("abtest/statistics", "abtest/interleaving", "abtest/offpolicy")


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every imported module, also those inside functions and under TYPE_CHECKING; for `from a import b`, also a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(folder: str, *forbidden: str, exempt: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        if not str(path.relative_to(ROOT)).startswith(exempt or ("-",))
        for name in imports(path)
        if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
    ]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("bakeoff", ("recsys", "abtest", "experiments", "dashboards")),
        ("recsys", ("abtest", "experiments", "dashboards")),
        ("abtest", ("recsys", "experiments", "dashboards")),
        ("experiments", ("dashboards",)),
        ("recsys/models", ("recsys.metrics", "recsys.evaluate", "recsys.recommend")),
        ("recsys/metrics", ("recsys.models", "recsys.recommend")),
    ],
)
def test_arrows_point_one_way(folder: str, forbidden: tuple[str, ...]) -> None:
    assert violations(folder, *forbidden) == []


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("mlflow", ("experiments/",)),
        ("optuna", ("experiments/",)),
        ("streamlit", ("dashboards/",)),
        ("fastapi", ("abtest/service/", "experiments/server.py")),
    ],
)
def test_library_stays_in_its_room(library: str, allowed: tuple[str, ...]) -> None:
    assert [v for package in PACKAGES for v in violations(package, library, exempt=allowed)] == []


def test_no_model_imports_another() -> None:
    shared = {f"recsys.models.{name}" for name in ("base", "indexed", "neural", "ratings", "sparse", "spectral")}
    for path in modules("recsys/models"):
        others = {name for name in imports(path) if name.startswith("recsys.models.")}
        siblings = {name for name in others if not any(name == s or name.startswith(s + ".") for s in shared)}
        assert not {name for name in siblings if (ROOT / (name.replace(".", "/") + ".py")).exists()}, path


def test_statistics_are_pure() -> None:
    """numpy, scipy, statsmodels and the standard library's mathematics: no events, frames, files or clocks."""
    allowed = {"numpy", "scipy", "statsmodels", "math", "dataclasses", "typing", "collections", "functools", "warnings"}
    for folder in PURE:
        for path in modules(folder):
            roots = {name.split(".")[0] for name in imports(path) if not name.startswith(("abtest.types", "abtest.st"))}
            assert roots <= allowed, f"{path.relative_to(ROOT)} imports {sorted(roots - allowed)}"


def test_nothing_below_the_hinge_reads_a_clock_or_a_global_seed() -> None:
    # `datetime.now`, `time.time` and `np.random.seed` would make the same call give another answer
    banned = {"now", "utcnow", "today", "seed", "time", "time_ns"}
    owners = {"datetime", "date", "time", "random"}
    for folder in ("recsys", "abtest"):
        for path in modules(folder):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in banned:
                    owner = node.value
                    name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                    assert name not in owners, f"{path.relative_to(ROOT)}:{node.lineno} reads {name}.{node.attr}"


def test_every_catalogue_entry_resolves() -> None:
    from abtest.events import LOGS
    from abtest.statistics import METHODS
    from bakeoff.catalogue import lookup
    from recsys.data.sources import SOURCES
    from recsys.encoders import ENCODERS
    from recsys.index import INDEXES
    from recsys.metrics import CATALOGUE_METRICS, METRICS
    from recsys.models import MODELS
    from recsys.rerank import RERANKERS

    for table in (MODELS, RERANKERS, METRICS, CATALOGUE_METRICS, SOURCES, ENCODERS, INDEXES, LOGS, METHODS):
        for name in table:
            assert callable(lookup(table, name, "entry"))
