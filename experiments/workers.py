"""Workers: processes that answer for one package, each with an interpreter and a memory of its own.

Threads of one process take turns at Python, and what a model does is half Python: two of them answer little more than
one. Processes do not wait for each other.
"""

import gc
import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from pickle import dumps, loads
from queue import Empty, SimpleQueue
from select import POLLIN, poll

from abtest.service.telemetry import say
from experiments.answering import Answering, Call, Ranked

START_SECONDS = 120.0
"""A worker imports, loads and warms its model in this time, or it has failed."""
HUNG_SECONDS = 10.0
"""A worker that computes longer is ended, unless it is given longer."""
NICE = 5
"""So that the event loop, which needs a moment, does not wait for a processor that computes a slate."""
AGAIN_SECONDS = 5.0
"""Between two attempts to start a worker."""


class LostError(Exception):
    """The worker ended before it answered."""


class Workers:
    """`n` processes that load the package in `folder`. A call takes one that is idle; one that ends is started anew.

    They end with this process, however it ends. problem: what is not as it should be, "" when all are well.
    """

    def __init__(self, folder: Path, n: int, *, name: str, hung: float = HUNG_SECONDS) -> None:
        self._folder, self._n, self._name, self._hung = folder, n, name, hung
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._closed = threading.Event()
        self._missing, self._counting = 0, threading.Lock()
        workers = [_Worker(folder, name) for _ in range(n)]  # side by side: each takes seconds
        try:
            for worker in workers:
                worker.wait_until_warm()
        except BaseException:
            for worker in workers:
                worker.end()
            raise
        for worker in workers:
            self._idle.put(worker)

    def __call__(self, calls: Sequence[Call], trending: Sequence[str]) -> list[Ranked] | None:
        """The lists of calls that are alike; None when no worker could be asked: then somebody else must.

        trending: what trends now, the same object until it changes.
        """
        try:
            worker = self._idle.get_nowait()
        except Empty:  # those that ended have not been replaced yet
            return None
        try:
            found = worker.ask(calls, trending, self._hung)
        except (LostError, TimeoutError) as error:
            say(logging.ERROR, "worker lost", worker=self._name, detail=str(error))
            worker.end()
            threading.Thread(target=self._replace, name=f"{self._name} anew", daemon=True).start()
            if isinstance(error, TimeoutError):  # what hung there would hang here
                raise
            return None
        except Exception:
            self._back(worker)
            raise
        self._back(worker)
        return found

    @property
    def problem(self) -> str:
        """In a sentence."""
        return f"{self._name}: {self._missing} of {self._n} workers are being started anew" if self._missing else ""

    def close(self) -> None:
        """End them; one that computes ends when it has answered."""
        self._closed.set()
        while True:
            try:
                self._idle.get_nowait().end()
            except Empty:
                return

    def _back(self, worker: "_Worker") -> None:
        self._idle.put(worker)
        if self._closed.is_set():
            self.close()

    def _replace(self) -> None:
        with self._counting:
            self._missing += 1
        while not self._closed.is_set():
            worker = _Worker(self._folder, self._name)
            try:
                worker.wait_until_warm()
            except (LostError, TimeoutError) as error:
                say(logging.ERROR, "worker not started", worker=self._name, detail=str(error))
                worker.end()
                self._closed.wait(AGAIN_SECONDS)
            else:
                self._back(worker)
                break
        with self._counting:
            self._missing -= 1


class _Worker:
    """One process and the pipe to it; for one thread at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        spawn = get_context("spawn")  # a fork would copy locks that threads of this process hold
        self._pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(theirs, folder), name=name, daemon=True)
        self.process.start()
        theirs.close()
        self._watch = poll()  # kept: Connection.poll makes a selector each time
        self._watch.register(self._pipe.fileno(), POLLIN)
        self._told: Sequence[str] = ()

    def wait_until_warm(self) -> None:
        """Until it can be asked; LostError or TimeoutError where it never will."""
        self._answer(START_SECONDS)

    def ask(self, calls: Sequence[Call], trending: Sequence[str], seconds: float) -> list[Ranked]:
        """The lists of calls. LostError: it ended; TimeoutError: it hangs; RuntimeError: the model fails."""
        news = None if trending is self._told else trending
        try:
            self._pipe.send_bytes(dumps((calls, news)))
        except OSError as error:
            raise LostError(f"process {self.process.pid}: {error}") from None
        self._told = trending
        return self._answer(seconds)

    def end(self) -> None:
        """The process sees the pipe close; one that does not is killed."""
        self._pipe.close()
        self.process.join(0.5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _answer(self, seconds: float) -> list[Ranked]:
        try:
            if not self._watch.poll(seconds * 1_000):
                raise TimeoutError(f"process {self.process.pid} did not answer within {seconds:g} seconds")
            found, failed = loads(self._pipe.recv_bytes())
        except (EOFError, ConnectionError):
            raise LostError(f"process {self.process.pid} ended") from None
        if failed:
            raise RuntimeError(failed)
        answer: list[Ranked] = found
        return answer


def settle() -> None:
    """Leave what the start made, which stays for ever, out of every later garbage collection."""
    gc.collect()
    gc.freeze()


def _work(pipe: Connection, folder: Path) -> None:
    """What a worker does: load, warm up, and answer until the pipe is closed. Sends (answer, what failed)."""
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the pipe
    from threadpoolctl import threadpool_limits

    from experiments.package import Package

    threadpool_limits(1)
    answering = Answering(Package.load(folder))
    threadpool_limits(1)  # what the model loaded, too
    answering.warm()
    settle()
    answer: tuple[list[Ranked], str] = [], ""
    with suppress(EOFError, ConnectionError):  # the service is gone
        while True:
            pipe.send_bytes(dumps(answer))
            calls, trending = loads(pipe.recv_bytes())
            try:
                if trending is not None:
                    answering.follow(trending)
                answer = answering(calls), ""
            except Exception as error:
                answer = [], f"{type(error).__name__}: {error}"
