"""People: who they are, by the bearer tokens of OpenID Connect issuers. Knows no gRPC, and grants nothing.

What reads tokens and keys is loaded only where issuers are set.
"""
