"""The contract of Keystead, the code generated from it, and a client."""
