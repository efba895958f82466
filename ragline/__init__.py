"""ragline: turn a private corpus into a question-answering service and keep it up to date."""

__version__ = "0.1.0"
