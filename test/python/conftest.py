"""Settings and paths of all Python tests. Most need no JAX: it is not imported here."""

import os
from pathlib import Path

# Read by JAX when it is first imported, here and in the processes that tests start.
os.environ["JAX_PLATFORMS"] = "cpu"
# A shape that broadcasts to another rank is nearly always a mistake in a model.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

REPO_ROOT = Path(__file__).resolve().parents[2]
# The folder of checkpoints and answers that upstream's own code computed.
UPSTREAM = REPO_ROOT / "test" / "fixtures" / "upstream"
