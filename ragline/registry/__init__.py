"""Registered embedding models: aliases in MLflow, files under their digest in an object store."""
