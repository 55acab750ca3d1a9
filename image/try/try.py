"""What the image must do as a job: tell its version, and write a suite for a foreign service."""

import shutil
import subprocess
import sys

DEADWEIGHT = (sys.executable, "-m", "deadweight")

subprocess.run([*DEADWEIGHT, "--version"], check=True)
shutil.copytree("/try/service", "/tmp/service")  # noqa: S108 - the container's own
subprocess.run([*DEADWEIGHT, "init", "--no-prove", "--dir", "/tmp/service"], check=True)  # noqa: S108
