"""Display of texts from outside the project."""


def printable(text: str) -> str:
    """Replace control characters of terminals, line ends, and characters that XML does not allow with spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def is_utf8(text: str) -> bool:
    """Return whether a text was decoded from valid UTF-8; Python's `surrogateescape` keeps other bytes as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
