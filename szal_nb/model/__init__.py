"""What a step, a flow, an event, a value and a run are: plain values and pure functions."""
