"""A private PostgreSQL for tests: started, killed and started again; a schema of its own for each log."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

ADDRESS = "BAKEOFF_TEST_POSTGRES"
"""The environment variable that tells child processes where it listens."""


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, on the path or where Debian puts them."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(os.path.realpath(found)).parent] if found else []
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@dataclass(kw_only=True)
class Server:
    """A cluster on 127.0.0.1, run by a user who is not root, as PostgreSQL demands."""

    place: Path
    port: int
    programs: Path
    as_user: list[str]
    durable: bool
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @classmethod
    def make(cls, *, durable: bool = False) -> "Server":
        """A new cluster, started. durable: with fsync, for tests that kill it."""
        programs = binaries()
        if programs is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        place, as_user = Path(_said("mktemp", "-d")), []
        if os.geteuid() == 0:
            user = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 else "nobody"
            shutil.chown(place, user)
            as_user = ["runuser", "-u", user, "--"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            *as_user,
            str(programs / "initdb"),
            "-D",
            str(place / "data"),
            "-U",
            "test",
            "-A",
            "trust",
            "--no-sync",
        ]
        subprocess.run([*command, "--encoding=UTF8", "--no-locale"], check=True, capture_output=True, cwd=place)
        made = cls(place=place, port=port, programs=programs, as_user=as_user, durable=durable)
        made.start()
        return made

    @property
    def dsn(self) -> str:
        """Where it listens."""
        return f"host=127.0.0.1 port={self.port} user=test dbname=postgres"

    def start(self) -> None:
        """Start it and wait until it answers; after a kill it first reads back its journal."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.place)]
        options += [] if self.durable else ["-c", "fsync=off"]
        self.process = subprocess.Popen(
            [*self.as_user, str(self.programs / "postgres"), "-D", str(self.place / "data"), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.place,
        )  # fmt: skip
        for _ in range(300):
            try:
                psycopg.connect(self.dsn, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise TimeoutError("PostgreSQL did not start within thirty seconds")

    def kill(self) -> None:
        """kill -9 of the server: its children notice and end."""
        head = (self.place / "data" / "postmaster.pid").read_text().splitlines()[0]
        os.kill(int(head), signal.SIGKILL)
        assert self.process is not None, "it was started"
        self.process.wait(30)
        # a new server refuses the data while a child of the old one still holds its shared memory
        for _ in range(100):
            if not self._children():
                return
            time.sleep(0.05)

    def close(self) -> None:
        """Stop it and remove everything."""
        stop = [*self.as_user, str(self.programs / "pg_ctl"), "-D", str(self.place / "data"), "-m", "immediate", "stop"]
        subprocess.run(stop, cwd=self.place, capture_output=True)
        if self.process is not None:
            self.process.wait(30)
        shutil.rmtree(self.place, ignore_errors=True)

    def _children(self) -> bool:
        return subprocess.run(["pgrep", "-f", f"{self.place}/data"], capture_output=True).returncode == 0


def dsn_of(folder: Path) -> str:
    """The address of a log that belongs to a folder: a schema of its own in the database of ADDRESS."""
    schema = "log_" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]
    address = os.environ[ADDRESS]
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(7)")  # processes may come at once
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{address} options='-c search_path={schema}'"


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
