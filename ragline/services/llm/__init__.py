"""The service `llm`: retrieves passages, has a serving plan answer from them, and cites what carries the answer."""
