"""Embedding models: found by name, run by the fastest backend of the machine."""
