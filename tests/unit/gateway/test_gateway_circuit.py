"""A target that keeps failing is left alone, and probed by one request at a time."""

from __future__ import annotations

from tutelage.gateway.upstreams.circuit import Circuit


def test_it_opens_is_probed_once_and_closes_or_opens_again() -> None:
    now = [0.0]
    circuit = Circuit(after=2, seconds=10.0, clock=lambda: now[0])
    circuit.failed()
    assert circuit.lets_through() and circuit.state == "closed"
    circuit.failed()
    assert not circuit.lets_through() and circuit.state == "open"
    now[0] = 10.0
    assert circuit.lets_through() and circuit.state == "half-open"
    circuit.begin()
    assert not circuit.lets_through()  # one probe at a time
    circuit.failed()
    assert not circuit.lets_through() and circuit.state == "open"
    now[0] = 20.0
    circuit.begin()
    circuit.abandoned()  # the probe's client went away: it told nothing
    assert circuit.lets_through()
    circuit.begin()
    circuit.succeeded()
    assert circuit.lets_through() and circuit.state == "closed"


def test_a_success_forgets_the_failures_before_it() -> None:
    circuit = Circuit(after=2, seconds=10.0)
    for _ in range(5):
        circuit.failed()
        circuit.succeeded()
    assert circuit.state == "closed"
