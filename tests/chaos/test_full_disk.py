"""A disk that is full, for real: the process may write no larger files. Then there is room again, without a restart."""

import resource
from pathlib import Path

from abtest.events import LOGS
from bakeoff.catalogue import lookup
from tests.chaos.test_kill import Said, Target, batch_of, check

SMALL = 300_000
"""Bytes a file may have: the write-ahead log reaches them soon."""


def test_a_full_disk_is_a_503_with_retry_after_and_nothing_of_it_is_half_kept(tmp_path: Path) -> None:
    place, said = str(tmp_path / "events.sqlite"), Said()
    target = Target("sqlite", place)
    try:
        _, hard = resource.prlimit(target.process.pid, resource.RLIMIT_FSIZE)
        # Python leaves SIGXFSZ ignored: a write beyond the limit fails as one on a full disk does
        resource.prlimit(target.process.pid, resource.RLIMIT_FSIZE, (SMALL, hard))
        with target.connected() as connection:

            def send(name: str) -> int:
                said.sent[name] = 20
                status, told = target.post(connection, "/v1/events", batch_of(name, 20))
                if status == 200:
                    said.kept.add(name)
                else:
                    assert "cannot be written" in told["detail"]
                    assert "ids make that safe" in told["cure"]
                said.statuses[status] += 1
                return status

            n = 0
            while send(f"before-{n}") == 200:
                n += 1
                assert n < 2_000, "the disk was never full"
            status, slate = target.post(connection, "/v1/recommend", {"unit": "u", "k": 3})
            assert (status, slate["logged"], len(slate["items"])) == (200, False, 3)
            assert send("still full") == 503
            resource.prlimit(target.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            for name in [name for name in said.sent if name not in said.kept]:
                assert send(name) == 200
            assert send("after") == 200
    finally:
        target.kill()
    assert n > 0
    with lookup(LOGS, "sqlite", "log")(place) as log:
        check(log, said)
        assert log.outcomes().num_rows == sum(said.sent.values())
