"""Exceptions that say all there is to say in one line; :func:`mmkd.apis.errors.run_tool` shows them so."""

from __future__ import annotations

__all__ = ['CheckpointError', 'CheckpointNotFoundError', 'RankError', 'RunError', 'UserError']


class UserError(Exception):
    """Something the user can put right: shown as one line, without a traceback."""


class RankError(UserError):
    """A :class:`UserError` that one process of several met, about data that the others may not have seen."""


class RunError(Exception):
    """A run that cannot go on, through no mistake in its config: shown as one line, without a traceback."""


class CheckpointError(UserError, ValueError):
    """A checkpoint that cannot be used: one line for the user, wherever in a run it comes up."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """A checkpoint that is not there."""
