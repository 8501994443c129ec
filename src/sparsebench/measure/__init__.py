"""Latency and memory of attention ops and of whole models on the device at hand, beside the fastest dense baseline."""
