"""What is large goes back to the system, and what the user has set stays set."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cbmon.allocator import keep_small

MAPPED = """
import ctypes
from cbmon.allocator import keep_small

class Info(ctypes.Structure):
    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
if {set}:
    keep_small()
mapped = lambda: libc.mallinfo2().field3
large = bytearray(8 << 20)
del large  # from here on glibc would map nothing below 8 MiB
before = mapped()
smaller = bytearray(1 << 20)
print(mapped() - before)
"""
glibc = pytest.mark.skipif(
    not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or newer"
)


def mapped(*, settled: bool) -> int:
    code = MAPPED.replace("{set}", str(settled))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc
def test_a_large_piece_is_mapped_by_itself_however_large_one_before_was() -> None:
    assert mapped(settled=True) == 1


@glibc
def test_without_it_the_size_from_which_it_is_goes_up() -> None:
    assert mapped(settled=False) == 0


def test_what_the_environment_sets_is_left_alone() -> None:
    both = {"MALLOC_ARENA_MAX": "4", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    assert keep_small(both) == ()
