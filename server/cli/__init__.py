"""The keystead command line: a gRPC client that knows the contract, and nothing else of Keystead."""

from server.cli.app import app

__all__ = ["app"]
