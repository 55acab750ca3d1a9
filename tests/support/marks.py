"""Marks that several test files share."""

import os
import sys

import pytest

from deadweight.engine.own.engine import dockerd

NEEDS_ROOT = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts or namespaces need root")
NEEDS_DOCKERD = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or dockerd() is None, reason="an engine of ours needs root and dockerd"
)
