"""Traces: durable before the answer is sent, in the database soon after."""

from tutelage.gateway.traces.feedback import record_feedback
from tutelage.gateway.traces.ids import new_id
from tutelage.gateway.traces.recorder import Recorder, open_recorder

__all__ = ["Recorder", "new_id", "open_recorder", "record_feedback"]
