"""Question-answering corpora: where they come from, how they are fetched, what they hold."""
