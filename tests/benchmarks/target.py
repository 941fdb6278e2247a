"""A service in a process of its own, and how much of the processor it uses."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil


class Target:
    """`python -m tests.benchmarks.MODULE FOLDER PORT`, once its port answers; patience: seconds to wait for that."""

    def __init__(self, module: str, folder: Path, patience: float, **env: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        words = [sys.executable, "-m", f"tests.benchmarks.{module}", str(folder), str(self.port)]
        self.process = subprocess.Popen(words, env=os.environ | env)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, f"{module} ended with {self.process.returncode}"
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError(f"{module} did not answer within {patience:g} seconds")

    def cpu(self) -> float:
        """Seconds of processor time that it has used, with the processes that it started."""
        own = psutil.Process(self.process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (own, *own.children()))
