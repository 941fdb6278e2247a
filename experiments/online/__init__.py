"""Online state by name; each keeps the contract of experiments.online.state.Online (tests/contracts/test_online.py)."""

ONLINE = {
    "memory": "experiments.online.memory:MemoryOnline",
    "redis": "experiments.online.shared:RedisOnline",
}
