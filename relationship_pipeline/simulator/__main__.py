"""The simulator's own process, started by `SimulatorServer`; people use the command `simulate-tenant`."""

import sys
from pathlib import Path

from relationship_pipeline.simulator.server import serve_for_parent

if __name__ == "__main__":
    serve_for_parent((int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3]))
