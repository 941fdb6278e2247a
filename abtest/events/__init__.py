"""The event logs by name; each keeps the contract of abtest.events.log.EventLog (tests/contracts/test_logs.py)."""

LOGS = {
    "memory": "abtest.events.memory:MemoryLog",
    "sqlite": "abtest.events.sqlite:SQLiteLog",
}
