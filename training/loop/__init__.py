"""The loop: steps, intervals, devices, signals, failures."""
