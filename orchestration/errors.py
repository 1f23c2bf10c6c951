"""The one error that speaks to the person who runs the job."""


class StartsError(Exception):
    """Something the operator can mend; the message says what happened and what to do."""
