"""From the event log to a readout and a decision."""
