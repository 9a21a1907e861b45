"""The gRPC face: servicers that translate, and decide nothing."""
