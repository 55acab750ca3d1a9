"""The quantities of a report's records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
