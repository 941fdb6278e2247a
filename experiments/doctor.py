"""The doctor: what of a set-up is in order, what is not, and how to mend it."""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakeoff import durable
from experiments.home import Home

Verdict = Literal["fine", "warning", "broken"]
ROOM = 1_000_000_000
"""Bytes of free disk below which it warns."""
EXTRAS = {"train": "mlflow", "serve": "fastapi", "dashboard": "streamlit", "postgres": "psycopg", "redis": "redis"}
"""Extras of this package by a module that each brings."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: what, how it is, in words; cure: what to do, where something is not fine."""

    what: str
    verdict: Verdict
    says: str
    cure: str = ""


def examine(home: Home, *, model: str = "", config: Path | None = None, port: int = 8000) -> list[Finding]:
    """Look at everything; nothing is changed. With a model, also at what serving it takes."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _packages,
        lambda: _disk(home),
        lambda: _database(home),
        lambda: _log(home, config),
        lambda: _online(config),
        lambda: _experiments(home),
        lambda: _registry(home, model),
        _tokens,
        lambda: _port(port),
    ]
    return [finding for check in checks for finding in _guarded(check)]


def _guarded(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # the doctor does not die of what it finds
        name = getattr(check, "__name__", "check").strip("_")
        return [Finding(what=name, verdict="broken", says=f"{type(error).__name__}: {error}", cure="see the error")]


def _packages() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(
                what=f"extra {extra}", verdict="warning", says=f"{module} is not installed",
                cure=f"pip install 'bakeoff[{extra}]', if you want what it is for",
            )  # fmt: skip
        else:
            yield Finding(what=f"extra {extra}", verdict="fine", says=f"{module} {importlib.metadata.version(module)}")


def _disk(home: Home) -> Iterator[Finding]:
    try:
        durable.write_bytes(home.root / ".doctor", b"x")
        (home.root / ".doctor").unlink()
    except OSError as error:
        yield Finding(
            what="home", verdict="broken", says=f"{home.root} cannot be written: {error.strerror}",
            cure="give another folder with --home or BAKEOFF_HOME, or change its owner",
        )  # fmt: skip
        return
    free = shutil.disk_usage(home.root).free
    says = f"{home.root} can be written, {free / 1e9:,.1f} GB are free"
    if free < ROOM:
        yield Finding(what="home", verdict="warning", says=says, cure="make room: a full disk refuses events (503)")
    else:
        yield Finding(what="home", verdict="fine", says=says)


def _database(home: Home) -> Iterator[Finding]:
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        yield Finding(what="tracking", verdict="fine", says=f"runs and models are kept at {_without_secret(server)}")
    elif not home.database.exists():
        yield Finding(what="tracking", verdict="warning", says="nothing was run here yet", cure="make demo")
    elif (problem := _damage(home.database)) is not None:
        yield Finding(
            what="tracking", verdict="broken", says=f"{home.database}: {problem}", cure="restore it from a backup"
        )
    else:
        yield Finding(what="tracking", verdict="fine", says=f"{home.database} is sound")


def _log(home: Home, config: Path | None) -> Iterator[Finding]:
    from experiments.serving_config import load

    chosen = load(config, []).log
    if chosen.kind == "postgres":
        from experiments.logs import open_log

        try:
            open_log(home, chosen).close()
        except (OSError, ValueError) as error:
            yield Finding(
                what="event log", verdict="broken", says=str(error),
                cure="start PostgreSQL, or mend log.dsn in the configuration",
            )  # fmt: skip
            return
        yield Finding(what="event log", verdict="fine", says="PostgreSQL answers and its tables are there")
    elif not home.events.exists():
        yield Finding(what="event log", verdict="fine", says="no event was kept yet")
    elif (problem := _damage(home.events)) is not None:
        yield Finding(
            what="event log", verdict="broken", says=f"{home.events}: {problem}",
            cure="move the file away, restore it from a backup, or start a new one; the lake holds the days exported",
        )  # fmt: skip
    else:
        with closing(sqlite3.connect(f"file:{home.events}?mode=ro", uri=True)) as connection:
            counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("exposures", "outcomes")]
        says = f"{counts[0]:,} exposures and {counts[1]:,} outcomes, sound"
        yield Finding(what="event log", verdict="fine", says=says)


def _online(config: Path | None) -> Iterator[Finding]:
    from experiments.serving_config import load

    chosen = load(config, []).online
    if chosen.kind != "redis":
        return
    import redis

    try:
        with closing(redis.Redis.from_url(chosen.url, socket_connect_timeout=2, socket_timeout=2)) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        yield Finding(
            what="online state", verdict="warning", says=f"Redis does not answer: {error}",
            cure="start it, or mend online.url; until then each process has a state of its own",
        )  # fmt: skip
    else:
        yield Finding(what="online state", verdict="fine", says="Redis answers")


def _experiments(home: Home) -> Iterator[Finding]:
    from abtest.assignment.plan import check
    from experiments.proposals import book_of
    from experiments.store import ExperimentStore

    store, found = ExperimentStore(home), []
    for key in store.keys():  # noqa: SIM118 -- a store is no mapping
        try:
            found.append(store.definition(key).experiment)
        except ValueError as error:
            yield Finding(what=f"experiment {key}", verdict="broken", says=str(error), cure="mend or delete the file")
    running = [experiment for experiment in found if experiment.status == "running"]
    try:
        check(running, book_of(home, "").holdout())
    except ValueError as error:
        yield Finding(
            what="experiments",
            verdict="broken",
            says=str(error),
            cure="stop one of them: bakeoff stop KEY --reason WHY",
        )
    else:
        yield Finding(what="experiments", verdict="fine", says=f"{len(found)} kept, {len(running)} running together")


def _registry(home: Home, model: str) -> Iterator[Finding]:
    if not model:
        return
    from experiments.server import RegistrySource
    from experiments.shelf import Shelf

    shelf = Shelf(home, model)
    try:
        source = RegistrySource(home, model)
        champion = source.aliases().champion
        if champion is None:
            yield Finding(
                what="champion", verdict="broken", says=f"{model!r} has no champion", cure="bakeoff train CONFIG"
            )
            return
        source.load(champion)
        yield Finding(what="champion", verdict="fine", says=f"version {champion} of {model!r} loads")
    except Exception as error:
        says = f"the registry does not give the champion of {model!r}: {type(error).__name__}: {str(error)[:200]}"
        kept = shelf.aliases()
        if kept is not None and kept.champion in shelf.versions():
            cure = f"mend the registry; until then version {kept.champion} is served from {shelf.folder}"
            yield Finding(what="champion", verdict="warning", says=says, cure=cure)
        else:
            cure = "mend the registry: nothing was served here before, so there is nothing to fall back on"
            yield Finding(what="champion", verdict="broken", says=says, cure=cure)


def _tokens() -> Iterator[Finding]:
    from abtest.service.security import Tokens

    text = os.environ.get("BAKEOFF_TOKENS", "")
    try:
        n = len(Tokens.parse(text))
    except ValueError as error:
        yield Finding(what="tokens", verdict="broken", says=str(error), cure="mend BAKEOFF_TOKENS")
        return
    if n:
        yield Finding(what="tokens", verdict="fine", says=f"{n} in BAKEOFF_TOKENS")
    else:
        yield Finding(
            what="tokens", verdict="warning", says="none are set: clients are let in, administration is closed",
            cure="BAKEOFF_TOKENS=name:role:token, or bakeoff serve --tokens FILE",
        )  # fmt: skip


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        cure = "another service runs there; bakeoff serve --port N takes another"
        yield Finding(what="port", verdict="warning", says=f"something listens on 127.0.0.1:{port}", cure=cure)
    else:
        yield Finding(what="port", verdict="fine", says=f"127.0.0.1:{port} is free")


def _damage(path: Path) -> str | None:
    """What is wrong with a SQLite file, None when nothing is."""
    if not os.access(path, os.R_OK | os.W_OK):
        return f"may not be read and written ({stat.filemode(path.stat().st_mode)})"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return None if said == "ok" else str(said)


def _without_secret(address: str) -> str:
    """An address without the user and password in it."""
    head, sign, rest = address.partition("://")
    return f"{head}{sign}{rest.rpartition('@')[2]}" if sign else address
