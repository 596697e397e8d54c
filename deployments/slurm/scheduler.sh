#!/usr/bin/env bash
# Dask's scheduler for one user's runs. Submit these four scripts from one folder that all nodes
# share; its .venv contains overlap, or OVERLAP_BIN names the folder of the commands:
#
#   sbatch scheduler.sh
#   sbatch --array=1-32 cpu-worker.sh       # features: one core each
#   sbatch --array=1-4 gpu-worker.sh        # members: one accelerator each
#   sbatch run.sh --data DATA --workspace W --preset fast
#   scancel --me --name overlap-scheduler   # the workers end with it
#
# Other users of the cluster can reach the scheduler's port and could run code as you. If they are not
# trusted, configure certificates for Dask (DASK_DISTRIBUTED__COMM__TLS__*).
#SBATCH --job-name=overlap-scheduler
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=2-00:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail
export PATH="${OVERLAP_BIN:-$PWD/.venv/bin}:$PATH"
export PYTHONSAFEPATH=1 # Python imports nothing from this folder
file="${OVERLAP_SCHEDULER:-$PWD/scheduler.json}"

rm -f "$file" # workers wait for this file; an old one has the address of a dead scheduler
exec dask scheduler --scheduler-file "$file" --port 0 --no-dashboard
