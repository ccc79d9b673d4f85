"""Files that are put first, so that workers end together, are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LONGEST
from tests.end_to_end.conftest import ORDER

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("folder", "names"), [(HERE, LONGEST), (HERE / "end_to_end", ORDER)], ids=["all", "end_to_end"]
)
def test_every_file_that_is_put_first_is_there(folder: Path, names: tuple[str, ...]) -> None:
    assert len({*names}) == len(names)
    assert [name for name in names if not (folder / name).is_file()] == []
