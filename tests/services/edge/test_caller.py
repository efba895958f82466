"""What travels with a request."""

import dataclasses
import time

import pytest

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller

TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"


def test_headers_of_a_request() -> None:
    """Each header sets its field; the deadline is a moment from now on."""
    headers = {
        "x-request-id": "a-1",
        "authorization": "Bearer token",
        "traceparent": TRACE,
        "tracestate": "vendor=1",
        "x-request-timeout-ms": "2000",
    }
    caller = Caller.from_headers(headers)
    assert dataclasses.replace(caller, deadline=0) == Caller("a-1", "Bearer token", TRACE, "vendor=1", 0)
    assert 1.9 < caller.remaining() <= 2
    assert caller.trace_id == "a1" * 16


def test_headers_for_the_next_service() -> None:
    """The next service gets the same identity, and a little less time."""
    caller = Caller("a-1", "Bearer token", TRACE, "vendor=1", time.monotonic() + 2)
    headers = caller.headers()
    assert 1900 < int(headers.pop("x-request-timeout-ms")) <= 1990
    assert headers == {
        "x-request-id": "a-1",
        "authorization": "Bearer token",
        "traceparent": TRACE,
        "tracestate": "vendor=1",
    }


def test_what_is_not_there_is_not_sent() -> None:
    """No header without a value goes out."""
    assert Caller("a-1").headers() == {"x-request-id": "a-1"}


def test_anonymous() -> None:
    """A backend that is not of the chain gets no Authorization."""
    assert Caller("a-1", "Bearer token", TRACE).anonymous() == Caller("a-1", "", TRACE)


def test_repr_hides_the_token() -> None:
    """A caller may stand in a message by mistake."""
    assert "token" not in repr(Caller("a-1", "Bearer token"))


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\nb", "é", "{}"])
def test_odd_request_ids_are_replaced(given: str) -> None:
    """An id that could break a log or a header is not taken over."""
    made = Caller.from_headers({"x-request-id": given}).request_id
    assert made != given
    assert len(made) == 16


@pytest.mark.parametrize(
    "given",
    ["", "x", TRACE.upper(), TRACE.replace("a1", "00"), TRACE.replace("b2", "00"), "ff" + TRACE[2:], TRACE[:-3]],
)
def test_malformed_traces_are_left_out(given: str) -> None:
    """A malformed traceparent begins a new trace, as its specification says."""
    caller = Caller.from_headers({"traceparent": given, "tracestate": "vendor=1"})
    assert (caller.traceparent, caller.tracestate) == ("", "")


@pytest.mark.parametrize("given", ["soon", "-1", "1.5", "1e3", "²", "9" * 30])
def test_malformed_time(given: str) -> None:
    """A time that is no number of milliseconds is the caller's mistake."""
    with pytest.raises(ServiceError, match="expected a whole number of milliseconds") as caught:
        Caller.from_headers({"x-request-timeout-ms": given})
    assert caught.value.status == 400


@pytest.mark.parametrize("given", ["Bearer \xfc", "Bearer a\nb", "B" * 20_000])
def test_odd_authorization(given: str) -> None:
    """What could not be sent on as it came is refused, and not repeated."""
    with pytest.raises(ServiceError, match=r"^the Authorization header is too long or holds") as caught:
        Caller.from_headers({"authorization": given})
    assert caught.value.status == 400


def test_no_request_takes_longer_than_the_service_allows() -> None:
    """The longest time holds whatever the caller asks for."""
    for headers in ({}, {"x-request-timeout-ms": "3600000"}):
        assert 4.9 < Caller.from_headers(headers, longest=5).remaining() <= 5


@pytest.mark.parametrize("seconds", [-1.0, 0.005])
def test_no_time_for_another_hop(seconds: float) -> None:
    """A hop that cannot be answered in time is not made."""
    with pytest.raises(ServiceError, match="the time that the caller allowed is over") as caught:
        Caller("a-1", deadline=time.monotonic() + seconds).headers()
    assert caught.value.status == 504
