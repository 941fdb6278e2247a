"""The service as a process to be killed: the real application and log; only the slates are made up.

python -m tests.chaos.target LOG PLACE PORT, where LOG is sqlite (PLACE: a file) or postgres (PLACE: its address).
"""

import sys
import uuid
from datetime import UTC, datetime
from itertools import count
from time import perf_counter

import uvicorn

from abtest.events import LOGS
from abtest.service.app import create_app
from abtest.service.ports import Clock, Limits, Readiness
from abtest.service.security import Tokens
from bakeoff.catalogue import lookup
from tests.abtest.service.worlds import RANKER, MemoryBook, made_up

if __name__ == "__main__":
    kind, place, port = sys.argv[1:]
    prefix, numbers = uuid.uuid4().hex, count()
    with lookup(LOGS, kind, "log")(place) as log:
        app = create_app(
            experiments=MemoryBook([RANKER]),
            recommender=made_up,
            log=log,
            readiness=lambda: Readiness(ready=True),
            clock=Clock(now=lambda: datetime.now(UTC), ticks=perf_counter),
            new_id=lambda: f"{prefix}-{next(numbers)}",
            tokens=Tokens(),
            limits=Limits(),
        )
        uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)
