"""Attention methods, one paper a file; found by folder."""

from sparsebench.methods.registry import METHOD_FOLDER, load_method, method_classes, method_file

__all__ = ["METHOD_FOLDER", "load_method", "method_classes", "method_file"]
