"""Text of others on a terminal."""


def printable(text: str) -> str:
    r"""Return the text with every character that would steer a terminal written as an escape, such as \x1b."""
    return "".join(it if it.isprintable() or it == "\n" else ascii(it)[1:-1] for it in text)
