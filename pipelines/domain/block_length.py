"""Block lengths: a block is a day or a week, and how many of them make a quarter."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

BlockLength: TypeAlias = Literal["day", "week"]
"""From one scoring time to the next."""

BLOCK_DAYS: Mapping[BlockLength, int] = MappingProxyType({"day": 1, "week": 7})
"""Local days from the opening of a block to that of the next."""

BLOCKS_PER_QUARTER: Mapping[BlockLength, int] = MappingProxyType({"day": 90, "week": 13})
"""Blocks that the alarm budget of a quarter is about."""
