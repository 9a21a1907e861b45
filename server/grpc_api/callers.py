"""Who is calling, and what the policy grants it.

| the connection's certificate | a bearer token | the caller |
|---|---|---|
| none: the port for people asks for none | none | nobody |
| none | yes | the person |
| yes | none | whom the certificate names |
| with the role console | yes | the person: the console is trusted with nothing |
| any other | yes | nobody: it is not clear who speaks |
"""

from typing import TYPE_CHECKING

import grpc

from server.domain.errors import AmbiguousIdentityError, BearerTokenRejectedError, ForbiddenError, NoIdentityError
from server.domain.roles import Caller
from server.grpc_api.identity import bearer_token, certificate_identity
from server.grpc_api.policy import Policy

if TYPE_CHECKING:
    from server.people.people import People


class Callers:
    """Tells who is calling."""

    def __init__(self, policy: Policy, people: "People | None") -> None:
        """Remember whom to ask.

        Args:
            policy: who may do what.
            people: whom bearer tokens prove; None if no issuer's word counts.
        """
        self._policy = policy
        self._people = people

    def of(self, context: grpc.ServicerContext) -> Caller:
        """Return the caller, by its proofs and the policy as they are now; any thread may ask.

        Raises:
            UnauthenticatedError: it does not prove who it is.
            IssuerUnavailableError: whether it does is not known at the moment.
        """
        named, token = certificate_identity(context), bearer_token(context)
        if token is None:
            if named is None:
                raise NoIdentityError
            return self._policy.caller(named)
        if named is not None and not self._policy.is_console(named):
            raise AmbiguousIdentityError
        if self._people is None:
            raise BearerTokenRejectedError
        return self._policy.person(self._people.person(token))

    def demand_proof(self, context: grpc.ServicerContext, *, with_certificate: bool) -> None:
        """Return if somebody is proven, by a certificate that gRPC has verified or by a token; grants do not matter.

        Args:
            context: of the call.
            with_certificate: whether a token is not enough.

        Raises:
            ForbiddenError: a token is not enough, and good.
            UnauthenticatedError, IssuerUnavailableError: as `of`.
        """
        if context.auth_context().get("x509_pem_cert"):
            return
        self.of(context)
        if with_certificate:
            raise ForbiddenError
