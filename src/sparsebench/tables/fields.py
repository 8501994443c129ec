"""How columns are declared: type, meaning, unit."""

from __future__ import annotations

import pyarrow as pa

TEXT, INT, FLOAT, BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    """A column that always has a value."""
    meta = {"about": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=False, metadata=meta)


def maybe(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    """A column whose value may be unknown: null."""
    return field(name, kind, f"{about}; null where it cannot be known", unit).with_nullable(True)


def interval(name: str, about: str, unit: str = "") -> list[pa.Field]:
    """Both ends of the 95 % interval of a quantity."""
    return [
        maybe(f"{name}_low", FLOAT, f"lower end of the 95 % interval of the {about}", unit),
        maybe(f"{name}_high", FLOAT, f"upper end of the 95 % interval of the {about}", unit),
    ]
