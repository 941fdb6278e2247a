"""How the service runs: configs/serving.yaml, every value with a default."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from experiments.reading import Strict, parse

Above = Annotated[float, Field(gt=0)]
Many = Annotated[int, Field(ge=1)]


class LogConfig(Strict):
    """Where events are kept: SQLite in the home, or PostgreSQL at `dsn` (${BAKEOFF_POSTGRES} keeps it out of files)."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    dsn: str = ""


class OnlineConfig(Strict):
    """What happened since the models were fitted: in this process, or in Redis at `url`, shared with others.

    timeout_ms: of one call to Redis, after which this process's own state stands in; half_life_hours: in which the
    count of a trending item fades by half; trending: so many items at most fill the places that a model leaves empty
    (0: none); trending_least: the faded count that an item must have for it.
    """

    kind: Literal["memory", "redis"] = "memory"
    url: str = ""
    timeout_ms: Above = 50.0
    half_life_hours: Above = 6.0
    trending: Annotated[int, Field(ge=0)] = 50
    trending_least: Above = 5.0


class ExploreConfig(Strict):
    """The last place of some slates is given to an item that the model ranked below them, to learn what comes of it.

    share: of the slates that experiments log (0: none); beyond: so many items below a slate are candidates; outcomes:
    kinds that count as taken; prior_taken, prior_left: the Beta prior of an item's chance to be taken (1, 1: any
    chance is as likely; 1, 30: about 3%).
    """

    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beyond: Many = 50
    outcomes: Annotated[tuple[str, ...], Field(min_length=1)] = ("click",)
    prior_taken: Above = 1.0
    prior_left: Above = 1.0


class LimitsConfig(Strict):
    """What one request may ask for; see abtest.service.ports.Limits."""

    body_bytes: Many = 1_000_000
    batch: Many = 1_000
    k: Many = 100
    text: Many = 256
    context_bytes: Many = 8_192
    waiting: Many = 20_000
    acknowledge_seconds: Above = 5.0
    ahead_seconds: Above = 86_400.0


class CacheConfig(Strict):
    """Slates kept per user: for how many seconds (0: not at all), of how many users."""

    seconds: Annotated[float, Field(ge=0)] = 30.0
    users: Many = 20_000


class BreakerConfig(Strict):
    """After so many failures in a row a version is not asked for so many seconds."""

    failures: Many = 5
    seconds: Above = 5.0


class ServingConfig(Strict):
    """The whole of it.

    deadline_ms: for the model that a variant names; second_deadline_ms: for the champion, when it stands in; threads,
    waiting: of each version, and requests that may wait for them; processes: of each version, that answer in place of
    its threads, which take turns at Python; each holds the model (0: threads answer); refresh_seconds: between two
    looks at the registry and the experiments; start_patience_seconds: for the registry, before the last known models
    are taken up; replay_hours: of the log, read at the start so that histories go on where they ended; access_log: a
    JSON line for every request.
    """

    deadline_ms: Above = 50.0
    second_deadline_ms: Above = 25.0
    threads: Many = 2
    processes: Annotated[int, Field(ge=0)] = 0
    waiting: Many = 64
    refresh_seconds: Above = 5.0
    start_patience_seconds: Above = 10.0
    replay_hours: Annotated[float, Field(ge=0)] = 24.0
    access_log: bool = False
    cache: CacheConfig = CacheConfig()
    breaker: BreakerConfig = BreakerConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    online: OnlineConfig = OnlineConfig()
    explore: ExploreConfig = ExploreConfig()


def load(path: Path | None, overrides: list[str]) -> ServingConfig:
    """The configuration in a file, or the defaults; `key.path=value` overrides either."""
    if path is not None:
        return parse(ServingConfig, path, overrides)
    if overrides:
        raise ValueError("--set changes a configuration: give --config FILE, such as configs/serving.yaml, as well")
    return ServingConfig()
