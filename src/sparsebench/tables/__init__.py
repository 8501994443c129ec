"""Every Arrow schema of the data flow, with units in field metadata, and the one way to read and write them."""

from sparsebench.tables.accuracy import ACCURACY, DEPTH, EFFECTS, TOLERANCE
from sparsebench.tables.cost import COST_CHECK, FRONTIER, ISO_COST, MODELS
from sparsebench.tables.io import read_table, write_table
from sparsebench.tables.measurements import MEASUREMENTS
from sparsebench.tables.rows import PREDICTIONS, SAMPLES, SCORES
from sparsebench.tables.trends import ADAPTIVITY, SCALING, SCALING_POINTS

__all__ = [
    "ACCURACY",
    "ADAPTIVITY",
    "COST_CHECK",
    "DEPTH",
    "EFFECTS",
    "FRONTIER",
    "ISO_COST",
    "MEASUREMENTS",
    "MODELS",
    "PREDICTIONS",
    "SAMPLES",
    "SCALING",
    "SCALING_POINTS",
    "SCORES",
    "TOLERANCE",
    "read_table",
    "write_table",
]
