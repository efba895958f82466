"""Requests that nobody should send."""

from tests.services.edge.conftest import Chain
from tests.services.fuzz import fuzz


def test_no_request_makes_a_service_fail(chain: Chain) -> None:
    """Whatever comes in, the answer is below 500, has an id, and says in one line what is wrong."""
    fuzz(chain.back.url)
