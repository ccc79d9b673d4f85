"""One round of the secure sum beside one round of Flower's SecAgg+, both in this process.

SecAgg+ runs as Flower runs it (`SecAggPlusWorkflow` and `secaggplus_mod`) over a Grid that calls
the clients one after the other; nothing is trained. The secure sum runs through the state machines.
In both, every message passes as bytes.
"""

from __future__ import annotations

import logging
import secrets
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.compat.common import recorddict_compat as compat
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.measure import Cell, Spread, Table, interleaved, ratios, seconds_of
from benchmarks.secure_sum import SecureSum

_N_CLUSTERS = 125
_LENGTH = _N_CLUSTERS * 8
_WEIGHT = 1_000


def run(*, quick: bool) -> list[Table]:
    """A round of either for several numbers of partners."""
    rows: list[tuple[Cell, ...]] = []
    for n in (5,) if quick else (5, 10, 30):
        taken = interleaved(
            {
                "set-up": partial(_set_up_s, n),
                "ours": partial(_round_s, n),
                "full": partial(_secagg_plus_s, n, 1.0, 0.51),
                "sparse": partial(_secagg_plus_s, n, 3, 2),
            },
            turns=1 if quick else 3 if n < 30 else 2,
            warm_up=False,
        )
        rows.append(
            (
                n,
                Spread.of(taken["ours"]),
                Spread.of(taken["set-up"]),
                Spread.of(taken["full"]),
                ratios(taken["ours"], taken["full"]).median,
                Spread.of(taken["sparse"]),
                ratios(taken["ours"], taken["sparse"]).median,
            )
        )
    return [
        Table(
            name="secagg_plus",
            title=f"A round of the secure sum, {_LENGTH:,} entries, all partners and the "
            "coordinator one after the other",
            baseline="a round of Flower's SecAgg+ in the same process",
            columns=(
                "partners",
                "ours, s a round",
                "ours, s set-up once a run",
                "SecAgg+, all pairs, s",
                "ours / SecAgg+",
                "SecAgg+, 3 shares, s",
                "ours / SecAgg+ ",
            ),
            rows=tuple(rows),
            notes=(
                "all pairs: as many shares as clients, threshold 51 %, masks between all clients, "
                "as here; 3 shares, threshold 2: each client is masked with two others only, who "
                "together with the server can open its input",
                "ours: one message from a partner a round, answers checked by every partner, "
                "local answer on 200 rows included; SecAgg+: four messages, set-up in every "
                "round, nothing is signed or checked",
            ),
        )
    ]


# --- ours --------------------------------------------------------------------------------------


def _prepared(n_partners: int) -> SecureSum:
    return SecureSum.make(n_partners, n_clusters=_N_CLUSTERS)


def _set_up_s(n_partners: int) -> float:
    secure_sum = _prepared(n_partners)
    return seconds_of(secure_sum.set_up)


def _round_s(n_partners: int) -> float:
    """Seconds of a round; the first one, which makes the pair keys, is not counted."""
    secure_sum = _prepared(n_partners)
    secure_sum.set_up()
    secure_sum.round()
    return Spread.of([seconds_of(secure_sum.round) for _ in range(3)]).median


# --- Flower's SecAgg+ --------------------------------------------------------------------------


class _Grid:
    """Calls the clients' mod in this process; every message passes as bytes."""

    def __init__(self, n_clients: int) -> None:
        rng = np.random.default_rng(n_clients)
        self.values = {i + 2: rng.uniform(-1.0, 1.0, _LENGTH) for i in range(n_clients)}
        self._contexts = {
            node: Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
            for node in self.values
        }

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Every client's answer, one after the other."""
        answers = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = secrets.token_hex(16)
            context = self._contexts[message.metadata.dst_node_id]
            answers.append(_passed(secaggplus_mod(_passed(message), context, self._train)))
        return answers

    def _train(self, message: Message, context: Context) -> Message:
        parameters = ndarrays_to_parameters([self.values[context.node_id]])
        result = FitRes(Status(Code.OK, ""), parameters, _WEIGHT, {})
        return Message(compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def _passed(message: Message) -> Message:
    """A message after its way through bytes."""
    proto = MessageProto()
    proto.ParseFromString(message_to_proto(message).SerializeToString())
    return message_from_proto(proto)


@contextmanager
def _identity() -> Iterator[None]:
    """What a SuperLink tells its ServerApp, needed to make messages."""
    with (
        mock.patch.object(TaskIdentity, "_run_id", 1),
        mock.patch.object(TaskIdentity, "_node_id", 1),
        mock.patch.object(TaskIdentity, "_task_id", 1),
    ):
        yield


class _Strategy(FedAvg):
    """Asks every client and keeps the aggregate."""

    def __init__(self, n_clients: int) -> None:
        super().__init__()
        self._clients = [SimpleNamespace(node_id=i + 2, cid=str(i + 2)) for i in range(n_clients)]
        self.aggregate: Parameters | None = None

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: Any
    ) -> list[Any]:
        """All clients, always."""
        return [(client, FitIns(parameters, {})) for client in self._clients]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        """The workflow has put the aggregate into every result."""
        if failures:
            raise ValueError(f"SecAgg+ failed: {failures[0]}")
        self.aggregate = results[0][1].parameters
        return None, {}


def _secagg_plus_s(n_clients: int, num_shares: float, threshold: float) -> float:
    """Seconds of one round of SecAgg+, checked against the plain mean."""
    grid, strategy = _Grid(n_clients), _Strategy(n_clients)
    zeros = ndarrays_to_parameters([np.zeros(_LENGTH)])
    state = RecordDict(
        {
            MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: 1}),
            MAIN_PARAMS_RECORD: compat.parameters_to_arrayrecord(zeros, keep_input=True),
        }
    )
    context = LegacyContext(
        Context(run_id=1, node_id=1, node_config={}, state=state, run_config={}),
        config=ServerConfig(num_rounds=1),
        strategy=strategy,
        client_manager=SimpleNamespace(num_available=lambda: n_clients),  # type: ignore[arg-type]
    )
    workflow = SecAggPlusWorkflow(num_shares, threshold, max_weight=_WEIGHT)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    with _identity(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = seconds_of(lambda: workflow(grid, context))  # type: ignore[arg-type]
    if strategy.aggregate is None:
        raise ValueError("SecAgg+ did not come to an end")
    found = parameters_to_ndarrays(strategy.aggregate)[0]
    mean = np.mean(list(grid.values.values()), axis=0)
    if not np.allclose(found, mean, atol=1e-3):
        raise ValueError("SecAgg+ gave another mean")
    return taken
