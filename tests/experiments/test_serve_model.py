import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from experiments.home import Home
from experiments.loop import Outcome

COMMAND = "from experiments.cli import main; main()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(line: tuple[Home, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running `bakeoff serve-model` of the finished line's champion, in a shell that activated no environment."""
    port, said = free_port(), tmp_path_factory.mktemp("serve") / "said.txt"
    words = [sys.executable, "-c", COMMAND, "serve-model", "tiny", "--home", str(line[0].root), "--port", str(port)]
    plain = {**os.environ, "PATH": os.defpath}
    with said.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, env=plain, start_new_session=True)
    try:
        for _ in range(240):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, f"the server ended before it answered: {said.read_text()}"
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def ask(address: str, body: object) -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_the_champion_answers_over_http(address: str) -> None:
    status, answer = ask(address, {"dataframe_records": [{"user": "nobody"}], "params": {"k": 3}})
    assert status == 200
    rows = answer["predictions"]
    assert isinstance(rows, list)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["user"] for row in rows} == {"nobody"}


def test_a_wrong_question_is_refused_with_json(address: str) -> None:
    status, answer = ask(address, {"users": ["nobody"]})
    assert status == 400
    assert answer


def test_a_model_without_champion_is_refused(line: tuple[Home, Outcome]) -> None:
    words = [sys.executable, "-c", COMMAND, "serve-model", "nothing", "--home", str(line[0].root)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "nothing" in ended.stderr


def test_who_ends_the_command_ends_the_program_that_it_runs() -> None:
    """As a supervisor does: by a signal to the one process that it knows."""
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    within = f"run_program([sys.executable, '-c', {program!r}])"
    command = f"import sys; from experiments.commands.terminal import run_program; {within}"
    outer = subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert outer.stdout is not None
    inner = int(outer.stdout.readline())
    outer.terminate()
    outer.wait(20)
    outer.stdout.close()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(inner):
        assert time.monotonic() < deadline, "the program outlived the command"
        time.sleep(0.02)
