#!/usr/bin/env bash
# One run, with the options of `overlap run`; see scheduler.sh. Submit it again to resume after a
# failure or a time limit.
#SBATCH --job-name=overlap-run
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=2-00:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail
export PATH="${OVERLAP_BIN:-$PWD/.venv/bin}:$PATH"
export PYTHONSAFEPATH=1 # Python imports nothing from this folder
file="${OVERLAP_SCHEDULER:-$PWD/scheduler.json}"

# The queue determines when workers start: wait for one that can train, which a run needs first.
address=$(
    python - "$file" <<'PYTHON'
import sys
import time
from pathlib import Path

from distributed import Client

while not Path(sys.argv[1]).exists():
    time.sleep(5)
with Client(scheduler_file=sys.argv[1], set_as_default=False, timeout=60) as client:
    while not any(
        worker["resources"].get("GPU")
        for worker in client.scheduler_info(n_workers=-1)["workers"].values()
    ):
        time.sleep(5)
    print(client.scheduler.address)
PYTHON
)
exec overlap run --cluster "$address" "$@"
