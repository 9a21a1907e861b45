"""The contract of Keystead, and the code generated from it."""
