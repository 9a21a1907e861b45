"""Whether the token may be asked at all, in the domain's terms."""

import hsm_adapter
from server.domain.errors import TokenHangsError


def demand_answering() -> None:
    """Return if no call to the token hangs in this process.

    Raises:
        TokenHangsError: one does.
    """
    try:
        hsm_adapter.demand_answering()
    except hsm_adapter.HsmHangsError as error:
        raise TokenHangsError from error
