"""The only code that touches transformers internals: load, attention patch, prompt store, fan-out decode, journal."""
