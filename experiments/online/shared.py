"""Online state in Redis: for several processes and machines that serve the same users."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import orjson

from abtest.events.rows import microseconds
from abtest.types import Exposure, Outcome
from experiments.online.memory import EACH
from experiments.online.state import EPOCH, Decay, Online, Seen, touches

KEPT = 30 * 86_400
"""Seconds after a user's last event when the history is forgotten."""

CONNECTIONS, CROWD = 64, 1.0
"""Connections of one process, and seconds that a call waits for one of them: a crowd is no outage."""

# history: a sorted set of [id, item, kind] by time in microseconds (exact in a double until the year 2255); a step of
# the counts: a sorted set of items. One call per batch, so that a death in between leaves no event half counted.
_ADD = """
local each, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 1, #KEYS / 2 do
  local history, counts, a = KEYS[2 * i - 1], KEYS[2 * i], 3 * i
  local at, member, item = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local first = redis.call('ZRANGE', history, 0, 0, 'WITHSCORES')
  local full = redis.call('ZCARD', history) >= each
  local before = tonumber(at) - tonumber(first[2] or at)
  local late = full and (before < 0 or (before == 0 and member < first[1]))
  if not late and redis.call('ZADD', history, 'NX', at, member) == 1 then
    redis.call('ZREMRANGEBYRANK', history, 0, -each - 1)
    redis.call('EXPIRE', history, kept)
    redis.call('ZINCRBY', counts, 1, item)
    redis.call('EXPIRE', counts, kept)
  end
end
"""


class RedisOnline(Online):
    """Keeps the state under keys that begin with `prefix`; a call of more than `timeout` seconds has failed."""

    def __init__(
        self, url: str, *, prefix: str = "bakeoff:", timeout: float = 0.05, each: int = EACH, decay: Decay | None = None
    ) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._prefix, self._each, self._decay = prefix, each, decay or Decay()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CROWD,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # whoever asks has something to do meanwhile
        )
        self._redis: Any = Redis.from_pool(pool)
        self._add = self._redis.register_script(_ADD)

    async def add(self, events: Sequence[Exposure | Outcome]) -> None:
        """Take up what users did."""
        taken = touches(events)
        if not taken:
            return
        keys = [key for event in taken for key in (self._history(event.unit), self._counts(self._decay.step(event.at)))]
        values = [value for event in taken for value in (microseconds(event.at), _member(event), event.item)]
        with _reached():
            await self._add(keys=keys, args=[self._each, KEPT, *values])

    async def history(self, unit: str) -> tuple[Seen, ...]:
        """What a unit touched lately."""
        with _reached():
            rows = await self._redis.zrange(self._history(unit), 0, -1, withscores=True)
        return tuple(_seen(member, at) for member, at in rows)

    async def trending(self, now: datetime, n: int) -> list[tuple[str, float]]:
        """The n items that count most now, with their faded counts."""
        together = f"{self._prefix}trending"
        weights = {self._counts(step): weight for step, weight in self._decay.weights(now).items()}
        with _reached():
            async with self._redis.pipeline(transaction=True) as calls:
                calls.zunionstore(together, weights)
                calls.zrange(together, 0, n - 1, desc=True, withscores=True)
                calls.delete(together)
                rows = (await calls.execute())[1]
        return [(item, float(count)) for item, count in rows]

    async def add_to(self, name: str, amounts: Mapping[str, float]) -> None:
        """Add to the sums of a name."""
        with _reached():
            async with self._redis.pipeline(transaction=True) as calls:
                for field, amount in amounts.items():
                    calls.hincrbyfloat(f"{self._prefix}sums:{name}", field, float(amount))
                await calls.execute()

    async def sums(self, name: str) -> dict[str, float]:
        """The sums of a name."""
        with _reached():
            found = await self._redis.hgetall(f"{self._prefix}sums:{name}")
        return {field: float(amount) for field, amount in found.items()}

    async def close(self) -> None:
        """Release the connections."""
        await self._redis.aclose()

    def _history(self, unit: str) -> str:
        return f"{self._prefix}history:{unit}"

    def _counts(self, step: int) -> str:
        return f"{self._prefix}counts:{self._decay.width:g}:{step}"


def _member(event: Outcome) -> str:
    # the id in hexadecimal: its order by bytes is the id's own, whatever a JSON text escapes
    return f"{event.id.encode().hex()} {orjson.dumps([event.item, event.kind]).decode()}"


def _seen(member: str, at: float) -> Seen:
    id, _, rest = member.partition(" ")
    item, kind = orjson.loads(rest)
    return Seen(item=item, kind=kind, at=EPOCH + timedelta(microseconds=int(at)), id=bytes.fromhex(id).decode())


@contextmanager
def _reached() -> Iterator[None]:
    """Whatever keeps Redis from answering is an OSError."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, UnicodeError) as error:
        raise OSError(f"Redis does not answer: {str(error) or type(error).__name__}") from error
