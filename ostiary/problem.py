"""What a command tells a person who can do something about it. Never used on the request path."""


class Problem(Exception):  # noqa: N818 -- it is a sentence for the terminal, printed as "ostiary: <problem>"
    """A command cannot go on. The text says what is wrong; `hint` says what to do."""

    def __init__(self, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint
