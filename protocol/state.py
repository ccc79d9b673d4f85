"""The state of a state machine as JSON values and back: numbers, text, arrays and dataclasses.

Where the types of a dataclass say what is in it, `fields_to_json` writes its fields by their names.
Where a field may hold one of several dataclasses, like a plan's query, `state_to_json` names each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from protocol.errors import MalformedError

T = TypeVar("T")

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

    Fields that a kind had in an earlier version and has no more are left out.

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
        kind = known.get(str(found.get("kind")))
        if kind is None:
            raise MalformedError(f"stored plan holds a {found.get('kind')!r}")
        names = {field.name for field in dataclasses.fields(kind)}
        fields = found["fields"].items()
        return kind(**{key: read(value) for key, value in fields if key in names})

    return read(values)


def fields_to_json(state: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values: bytes in hex, what is in an order as a list."""
    return {f.name: _plain(getattr(state, f.name)) for f in dataclasses.fields(state)}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case np.ndarray():
            return value.tolist()
        case frozenset():
            return sorted(value)
        case tuple():
            return [_plain(entry) for entry in value]
        case dict():
            return {str(key): _plain(entry) for key, entry in value.items()}
        case _ if dataclasses.is_dataclass(value):
            return fields_to_json(value)
        case _:
            return value


def fields_from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass of type `kind` that `fields_to_json` gave.

    Args:
        values: May hold more than its fields; a field that is missing is as by default.
    """
    types = _types_of(kind)  # type: ignore[arg-type]
    names = [f.name for f in dataclasses.fields(kind) if f.name in values]  # type: ignore[arg-type]
    return kind(**{name: _typed(types[name], values[name]) for name in names})


@cache
def _types_of(kind: type) -> Mapping[str, Any]:
    """The types of a dataclass's fields; evaluated once, which takes longer than a state does."""
    return get_type_hints(kind)


def _typed(kind: Any, found: Any) -> Any:
    """A field's value by the field's type."""
    outer, inner = get_origin(kind), get_args(kind)
    if NoneType in inner:
        return None if found is None else _typed(inner[0], found)
    if outer in (tuple, frozenset):
        return outer(_typed(inner[0], entry) for entry in found)
    if outer is dict:
        return {inner[0](key): _typed(inner[1], entry) for key, entry in found.items()}
    if outer is np.ndarray:
        return np.array(found, dtype=get_args(inner[1])[0])
    if kind is bytes:
        return bytes.fromhex(found)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return fields_from_json(kind, found)
    return kind(found)
