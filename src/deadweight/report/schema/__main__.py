"""Print the schema as the records give it."""

import json
import sys

from deadweight.report.schema import generated

json.dump(generated(), sys.stdout, indent=2, sort_keys=True)
sys.stdout.write("\n")
