"""Bounds of numeric columns for simulations: read from a file, or taken from the data.

An agreement writes bounds as decimals with at most 15 digits before and 9 after the point
(SPEC.md, section 6), so bounds are kept as such decimals here too. Bounds taken from the data are
for benchmarks: partners who agree on the range of their customers' values tell each other the
values of their most unusual customers.

Where a file of bounds has levels, or says what is done about missing values, its entries are what
an agreement says of features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from protocol.agreement.feature_types import TYPES
from protocol.agreement.features import Feature
from protocol.errors import MalformedError, UsageError
from protocol.scaling import FloatMatrix
from protocol.strict import Fields, near
from simulations.agreement import feature_values

MAX_FILE_BYTES: Final = 1 << 20
NOT_PRIVATE: Final = (
    "bounds were taken from the data: for benchmarks only, not private "
    "(partners would tell each other their most extreme values)"
)

_STEP: Final = Decimal("0.000000001")
_BEYOND: Final = Decimal(10) ** 15
_HALF: Final = Decimal("0.5")
#: Steps of `_STEP` that the range of a column must have, so that rounding outward hardly counts.
_FEWEST_STEPS: Final = 1_000
_KEYS: Final = ("min", "max", "transform", "weight")
#: What only an agreement's feature says.
_FEATURE_KEYS: Final = ("type", "levels", "other", "missing", "unit")
_TRANSFORMS: Final = ("none", "log1p")
_EXACT: Final = Context(prec=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBounds:
    """What partners would agree for one column.

    Attributes:
        min, max: Decimal text in the column's unit, ``min < max``.
        transform: ``none`` or ``log1p``.
        weight: Decimal text, above 0 and at most 1: half the width of the column in the cube.
    """

    min: str
    max: str
    transform: str = "none"
    weight: str = "1"

    def to_dict(self) -> dict[str, str]:
        """The bounds as a bounds file has them."""
        return {
            "min": self.min,
            "max": self.max,
            "transform": self.transform,
            "weight": self.weight,
        }

    def feature(self, name: str) -> dict[str, Any]:
        """The feature as an agreement has it, under a name that agreements take."""
        return feature_values(name, **self.to_dict())


def bounds_from_data(values: FloatMatrix, columns: Sequence[str]) -> tuple[ColumnBounds, ...]:
    """The tightest bounds that an agreement can write around all values of each column.

    A column that is the same everywhere gets half a unit to either side.

    Args:
        values: Shape ``(n_samples, n_features)``, finite.

    Raises:
        UsageError: A column's values are too large, or too close to each other, for an agreement
            (E-BOUNDS).
    """
    lowest, highest = values.min(axis=0).tolist(), values.max(axis=0).tolist()
    return tuple(
        _around(name, low, high) for name, low, high in zip(columns, lowest, highest, strict=True)
    )


def read_bounds(path: Path, columns: Sequence[str]) -> tuple[ColumnBounds, ...]:
    """Read a bounds file: an object by column name, or a list in the order of the columns.

    Each entry has ``min`` and ``max`` (numbers or decimals in quotes) and may have ``transform``
    (``none``, ``log1p``) and ``weight``.

    Raises:
        UsageError: The file cannot be read, or does not say this for exactly these columns
            (E-BOUNDS).
    """
    found = _parse(path)
    if isinstance(found, list):
        if len(found) != len(columns):
            raise _wrong(f"{path} bounds {len(found)} columns, the data have {len(columns)}")
        entries = dict(zip(columns, found, strict=True))
    elif isinstance(found, dict):
        for name in found:
            if name not in columns:
                raise _wrong(f"{path}: the data have no column {name!r}{near(name, columns)}")
        for name in columns:
            if name not in found:
                raise _wrong(f"{path}: column {name!r} has no bounds")
        entries = found
    else:
        raise _wrong(f"{path} must hold an object by column name, or a list")
    return tuple(_entry(f"{path}: column {name!r}", entries[name]) for name in columns)


def read_features(path: Path) -> tuple[Feature, ...] | None:
    """The features of a bounds file whose entries say more than bounds.

    Such an entry has ``type``, ``levels``, ``other``, ``missing`` or ``unit`` as an agreement has
    them.

    Returns:
        The features in the file's order; None when no entry says more than bounds.

    Raises:
        UsageError: The file cannot be read, or an entry is no feature (E-BOUNDS).
    """
    found = _parse(path)
    if not isinstance(found, dict):
        return None
    if not any(isinstance(e, Mapping) and {*_FEATURE_KEYS} & {*e} for e in found.values()):
        return None
    return tuple(_feature(f"{path}: column {name!r}", name, e) for name, e in found.items())


def bounds_to_dict(
    bounds: Sequence[ColumnBounds], columns: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Bounds by column name, in the form that `read_bounds` reads."""
    return {name: b.to_dict() for name, b in zip(columns, bounds, strict=True)}


# --- from the data -------------------------------------------------------------------------


def _around(name: str, low: float, high: float) -> ColumnBounds:
    lower, upper = Decimal(repr(low)), Decimal(repr(high))
    if max(abs(lower), abs(upper)) >= _BEYOND - 1:
        raise UsageError(
            f"column {name!r} goes from {low:g} to {high:g}; bounds have at most 15 digits before "
            "the point",
            code="E-BOUNDS",
            remedy="write the column in a larger unit, for example in millions",
        )
    if lower == upper:
        lower, upper = lower - _HALF, upper + _HALF
    elif upper - lower < _FEWEST_STEPS * _STEP:
        raise UsageError(
            f"column {name!r} goes only from {low!r} to {high!r}; bounds have at most 9 digits "
            "after the point",
            code="E-BOUNDS",
            remedy="write the column in a smaller unit, for example in millionths",
        )
    return ColumnBounds(
        min=_plain(lower.quantize(_STEP, rounding=ROUND_FLOOR, context=_EXACT)),
        max=_plain(upper.quantize(_STEP, rounding=ROUND_CEILING, context=_EXACT)),
    )


def _plain(number: Decimal) -> str:
    """The number without exponent, without zeros at the end, without minus zero."""
    if number == 0:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- from a file ---------------------------------------------------------------------------


def _parse(path: Path) -> object:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _wrong(f"{path} has {len(data)} bytes, at most {MAX_FILE_BYTES} are read")
    try:
        found: object = json.loads(
            data.decode("utf-8"),
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=_no_number,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise _wrong(f"{path} is not a JSON file of bounds: {error}") from error
    return found


def _entry(where: str, values: object) -> ColumnBounds:
    if not isinstance(values, Mapping):
        raise _wrong(f'{where} must have an object like {{"min": 0, "max": 100}}')
    for key in values:
        if key not in _KEYS:
            raise _wrong(f"{where}: unknown key {key!r}{near(key, _KEYS)}")
    for key in ("min", "max"):
        if key not in values:
            raise _wrong(f"{where}: {key!r} is missing")
    transform = values.get("transform", "none")
    if transform not in _TRANSFORMS:
        raise _wrong(f"{where}: transform {transform!r} is not known; choose none or log1p")
    low, high = (_decimal(f"{where}, {key!r}", values[key]) for key in ("min", "max"))
    weight = _decimal(f"{where}, 'weight'", values.get("weight", Decimal(1)))
    if not float(low) < float(high):
        raise _wrong(f"{where}: min {_plain(low)} is not below max {_plain(high)}")
    if transform == "log1p" and low < 0:
        raise _wrong(f"{where}: log1p needs min >= 0, found {_plain(low)}")
    if not 0 < weight <= 1:
        raise _wrong(f"{where}: weight {_plain(weight)} is not above 0 and at most 1")
    return ColumnBounds(
        min=_plain(low), max=_plain(high), transform=transform, weight=_plain(weight)
    )


def _feature(where: str, name: str, entry: object) -> Feature:
    values = _texts(entry)
    if not isinstance(values, dict):
        raise _wrong(f"{where} must have an object like an agreement's feature")
    kind = TYPES.get(str(values.get("type", "numeric")))
    if kind is not None and kind.is_number:
        more = {key: values.pop(key) for key in _FEATURE_KEYS if key in values}
        values = _entry(where, values).to_dict() | more
    try:
        return Feature.read(Fields(feature_values(name, **values), where))
    except MalformedError as error:
        raise _wrong(error.message) from error


def _texts(value: object) -> Any:
    """The same with numbers as texts, as agreements have them."""
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return _plain(value) if isinstance(value, Decimal) else value


def _decimal(where: str, value: object) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        number = None
    if not isinstance(number, Decimal) or not number.is_finite():
        raise _wrong(f"{where} is {value!r}, not a number")
    if abs(number) >= _BEYOND:
        raise _wrong(f"{where} is {value}: more than 15 digits before the point")
    rounded = number.quantize(_STEP, context=_EXACT)
    if rounded != number:
        raise _wrong(f"{where} is {value}: more than 9 digits after the point")
    return rounded


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in it")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _wrong(message: str) -> UsageError:
    return UsageError(
        message,
        code="E-BOUNDS",
        remedy='give every column its bounds: {"age": {"min": 0, "max": 100}, …}, with '
        '"transform": "log1p" and "weight" where wanted; or a list in the order of the columns',
    )
