"""Requests to a service: where they come from, which are held out, what was asked, and whether two images answer alike.

Public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_workload.api import ItemResult, came_down, prepare, run_item, send, summed_up
    from deadweight_workload.model import Ledger, Prepared, Step, Workload
    from deadweight_workload.record import Recording, record_traffic, recorded
    from deadweight_workload.settle import settled
    from deadweight_workload.sources import suite_workload, workload_of
    from deadweight_workload.twin.check import compare, lines
    from deadweight_workload.twin.compare import Cause, Comparison, Difference
    from deadweight_workload.twin.named import at_revision, compared

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
