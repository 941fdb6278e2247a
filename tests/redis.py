"""A private Redis for tests: started, killed, held up and started again. It keeps nothing on disk."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class RedisServer:
    """A server on 127.0.0.1."""

    place: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @classmethod
    def make(cls) -> "RedisServer":
        """A new server, started."""
        if shutil.which("redis-server") is None:
            raise FileNotFoundError("Redis is not installed: apt-get install redis-server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        made = cls(place=Path(tempfile.mkdtemp()), port=port)
        made.start()
        return made

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.place),
        ]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("Redis did not start within ten seconds")

    def hold(self, on: bool) -> None:
        """Let it hang (SIGSTOP), or go on."""
        assert self.process is not None, "it was started"
        self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def kill(self) -> None:
        """kill -9: all that it knew is gone."""
        assert self.process is not None, "it was started"
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        """Stop it and remove everything."""
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)
