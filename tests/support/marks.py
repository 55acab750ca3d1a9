"""Marks that several test files share."""

import os
import sys

import pytest

from deadweight.engine.own.engine import dockerd

IS_ROOT = sys.platform == "linux" and os.geteuid() == 0
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="mounts or namespaces need root")
NEEDS_DOCKERD = pytest.mark.skipif(not IS_ROOT or dockerd() is None, reason="an engine of ours needs root and dockerd")
