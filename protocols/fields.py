"""The types of single fields that messages share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Millis = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(max_length=500)]
TempC = Annotated[float, Meta(ge=-80, le=250)]
