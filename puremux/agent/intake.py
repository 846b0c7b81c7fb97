"""What comes in on an Export call, message by message, goes to the store.

Floor 5, agent: imports refusal, sender, store and ``puremux.proto``.
Spec: opencensus-proto, agent/trace/v1/trace_service.proto and agent/metrics/v1/metrics_service.proto.
"""

from __future__ import annotations

from ..proto import metrics_service_pb2, trace_service_pb2
from .refusal import TOLD, IntakeError, LimitReached
from .sender import Sender
from .store import Store

__all__ = ["MetricsIntake", "TraceIntake"]


class TraceIntake:
    """One Export call of the TraceService."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sender = Sender(store.limits)

    def receive(self, request: trace_service_pb2.ExportTraceServiceRequest, payload: bytes | None = None) -> None:
        """Take a message; when this returns, the listeners have it too.

        Args:
            payload: the message as it came; None to write it anew.
        Raises:
            IntakeError: nothing of it was taken; the call ends with the error's code and sentence.
        """
        try:
            self._sender.hear(request)
            payload = request.SerializeToString() if payload is None else payload
            self._store.take_spans(self._sender, request, payload, self._store.clock())
        except IntakeError as error:
            self._store.refuse_spans(self._sender, request, error.reason)
            raise


class MetricsIntake:
    """One Export call of the MetricsService."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sender = Sender(store.limits)

    def receive(self, request: metrics_service_pb2.ExportMetricsServiceRequest, payload: bytes | None = None) -> None:
        """Take a message; when this returns, the listeners have it too.

        Args:
            payload: as with spans; it does not matter here.
        Raises:
            LimitReached: a limit was reached on the way, and what still fitted was taken.
            IntakeError: nothing of it was taken; either way the call ends with the error's code and sentence.
        """
        try:
            self._sender.hear(request)
            refused = self._store.take_metrics(self._sender, request, self._store.clock())
        except IntakeError as error:
            self._store.refuse_metrics(self._sender, request, error.reason)
            raise
        for reason in refused:
            if reason in TOLD:
                raise LimitReached(reason, self._store.limits)
