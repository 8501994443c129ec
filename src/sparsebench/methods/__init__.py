"""Attention methods, one paper a file; found by folder."""

from sparsebench.methods.registry import load_method, method_class, method_classes, method_phases

__all__ = ["load_method", "method_class", "method_classes", "method_phases"]
