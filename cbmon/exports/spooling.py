"""What an export of samples does while it cannot hand them on: its options and its queue.

Rule: the choice is the user's, and each has a bound.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator

from cbmon.config.fields import Duration, LocalPath, Options, Size
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.batch import Folder, Memory, Queue
from cbmon.exports.families import FamilyPrefix
from cbmon.exports.posting import PostingOptions

LEAST: Final = 1 << 20


class SpoolOptions(Options):
    """How much may wait, for how long, and where."""

    directory: LocalPath | None = Field(
        None,
        description="Where requests lie that could not be sent, in a folder of the export's name; "
        "spool beside the SQLite database without it.",
    )
    max_size: Size = Field(
        256 << 20, description="How much may wait; the oldest goes when it is more."
    )
    max_age: Duration = Field(
        7200.0,
        description="What is older is dropped. Most servers refuse samples that are a few hours "
        "old.",
    )

    @field_validator("max_size")
    @classmethod
    def _large_enough(cls, size: int) -> int:
        if size < LEAST:
            raise ValueError("expected at least 1MiB")
        return size


class SamplesOptions(PostingOptions):
    """What exports that send single samples have in common."""

    exclude: tuple[FamilyPrefix, ...] = Field(
        (), description="Leave out metrics whose name begins with one of these."
    )
    max_samples_per_send: int = Field(
        2000, ge=1, le=100_000, description="How many samples one request holds at most."
    )
    when_open: Literal["drop", "hold", "spool"] = Field(
        "spool",
        description="What becomes of the samples of the time in which the breaker is open: drop "
        "takes none, hold keeps them in memory, spool keeps them on disk. What is kept is sent in "
        "order once the breaker lets a run through.",
    )
    spool: SpoolOptions = Field(
        default_factory=SpoolOptions, description="Bounds of what is kept, and where it lies."
    )


def queue_for(options: SamplesOptions, environment: ExportEnvironment, name: str) -> Queue:
    """Where the bodies of that export wait."""
    folder = None
    if options.when_open == "spool":
        folder = environment.spool_of(name, options.spool.directory)
    return Queue(Memory() if folder is None else Folder(folder), options.spool.max_size)
