"""sparsebench: what training-free sparse attention costs and what it loses."""

__version__ = "0.1.0"
