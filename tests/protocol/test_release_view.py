"""The one view of a release, and the schema of its JSON."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from protocol.release.lineage import lineage
from protocol.release.view import ReleaseView, release_view
from tests.coordinator.test_release_report import released
from tests.release_schema import SCHEMA, check_release


@pytest.fixture(scope="module")
def view() -> ReleaseView:
    signed, agreement, _, _ = released()
    release = signed.verify(agreement)
    return release_view(release, agreement, lineage([(release, agreement)])[0])


def places(schema: Any, where: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    found = [(where, schema)] if isinstance(schema, dict) and "properties" in schema else []
    children = schema.items() if isinstance(schema, dict) else enumerate(schema)
    for name, child in children:
        if isinstance(child, dict | list):
            found += places(child, (*where, name))
    return found


def test_the_schema_is_one_and_takes_no_field_that_it_does_not_name() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    objects = places(SCHEMA)
    assert len(objects) >= 7
    for where, schema in objects:
        assert schema["additionalProperties"] is False, where
        assert set(schema["required"]) <= set(schema["properties"]), where


def test_a_view_is_written_as_the_schema_says(view: ReleaseView) -> None:
    data = check_release(view.to_dict())
    assert [segment["id"] for segment in data["segments"]] == list(view.ids)
    assert data["release"] == view.release.hash.hex()
    for segment, seen in zip(data["segments"], view.segments, strict=True):
        assert [f["centre"] for f in segment["features"]] == [f.centre for f in seen.features]
        assert all(f["low"] <= f["centre"] <= f["high"] for f in segment["features"])


@pytest.mark.parametrize("name", SCHEMA["required"])
def test_a_release_without_a_field_is_not_what_the_schema_says(
    view: ReleaseView, name: str
) -> None:
    data = view.to_dict()
    del data[name]
    with pytest.raises(ValidationError):
        check_release(data)


def test_another_field_or_type_is_not_what_the_schema_says(view: ReleaseView) -> None:
    for change in (
        lambda d: d.update(customers=["c1"]),
        lambda d: d["segments"][0].update(customers=["c1"]),
        lambda d: d["segments"][0].update(size="many"),
        lambda d: d["segments"][0]["features"][0].update(centre=None),
        lambda d: d.update(release="00"),
    ):
        data = deepcopy(view.to_dict())
        change(data)
        with pytest.raises(ValidationError):
            check_release(data)
