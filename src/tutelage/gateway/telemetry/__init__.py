"""What is told of the gateway's work while it goes on."""

from tutelage.gateway.telemetry.sharing import ALONE, Worker
from tutelage.gateway.telemetry.telemetry import Telemetry

__all__ = ["ALONE", "Telemetry", "Worker"]
