"""Errors that a user can act on: one sentence with what was given, what is allowed and what to do."""


class SarcoreError(Exception):
    """Base of the errors that the command line shows as one line, without a traceback."""


class DataError(SarcoreError):
    """A folder, an image or a manifest cannot be used as it is."""


class CheckpointError(SarcoreError):
    """A checkpoint is missing, damaged, or of another model."""
