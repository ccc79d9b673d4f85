"""Which documents there are, on which side, by their names in commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.evidence import arrangement, ccpa, dpia, processor, record, registry
from protocol.evidence.forms import Form

#: At a partner's node, which belongs to a controller.
AT_NODE: Final[Mapping[str, Form]] = {
    "record": record.CONTROLLER,
    "dpia": dpia.FORM,
    "arrangement": arrangement.FORM,
    "processor": processor.FORM,
    "ccpa": ccpa.FORM,
    "registry": registry.FORM,
}
#: At the coordinator, which belongs to a processor.
AT_COORDINATOR: Final[Mapping[str, Form]] = {
    "record": record.PROCESSOR,
    "arrangement": arrangement.FORM,
    "processor": processor.FORM,
    "registry": registry.FORM,
}
#: On either side, each once.
DOCUMENTS: Final = tuple(dict.fromkeys([*AT_NODE, *AT_COORDINATOR]))
