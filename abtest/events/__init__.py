"""The event logs by name; each keeps the contract of abtest.events.log.EventLog (tests/contracts/test_logs.py)."""

LOGS = {
    "memory": "abtest.events.memory:MemoryLog",
    "postgres": "abtest.events.postgres:PostgresLog",
    "sqlite": "abtest.events.sqlite:SQLiteLog",
}
