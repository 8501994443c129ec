"""Attention methods, one paper a file; found by folder."""

from sparsebench.methods.registry import load_method, method_classes

__all__ = ["load_method", "method_classes"]
