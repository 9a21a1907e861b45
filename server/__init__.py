"""The Keystead service: what it keeps, decides and answers."""
