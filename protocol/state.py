"""Plan states as JSON values and back: numbers, text, arrays and dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from protocol.errors import MalformedError

_ARRAYS: Final = {"int64": np.int64, "float64": np.float64}


def state_to_json(value: object) -> Any:
    """JSON values for a state; floats are restored bit for bit."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [state_to_json(entry) for entry in value]
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, np.ndarray):
        return {
            "array": str(value.dtype),
            "shape": list(value.shape),
            "values": value.ravel().tolist(),
        }
    if dataclasses.is_dataclass(value):
        fields = {f.name: state_to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, "fields": fields}
    raise TypeError(f"a state holds no {type(value).__name__}")


def state_from_json(values: Any, kinds: Iterable[type[Any]]) -> Any:
    """Restore the state that `state_to_json` returned.

    Args:
        kinds: The dataclasses that may occur.

    Raises:
        MalformedError: Another type occurs.
    """
    known = {kind.__name__: kind for kind in kinds}

    def read(found: Any) -> Any:
        if isinstance(found, list):
            return tuple(read(entry) for entry in found)
        if not isinstance(found, dict):
            return found
        if "bytes" in found:
            return bytes.fromhex(found["bytes"])
        if "array" in found:
            kind = _ARRAYS.get(found["array"])
            if kind is None:
                raise MalformedError(f"stored plan holds an array of {found['array']!r}")
            return np.array(found["values"], dtype=kind).reshape(found["shape"])
        name = found.get("kind")
        if name not in known:
            raise MalformedError(f"stored plan holds a {name!r}")
        return known[name](**{key: read(value) for key, value in found["fields"].items()})

    return read(values)
