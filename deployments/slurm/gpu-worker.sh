#!/usr/bin/env bash
# Workers for members and predictions, one accelerator each; see scheduler.sh. Without accelerators,
# `sbatch --gres=none gpu-worker.sh` trains on the processor.
#SBATCH --job-name=overlap-gpu-worker
#SBATCH --array=1-2
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=1-00:00:00
#SBATCH --output=%x-%A-%a.log
set -euo pipefail
export PATH="${OVERLAP_BIN:-$PWD/.venv/bin}:$PATH"
export PYTHONSAFEPATH=1 # Python imports nothing from this folder

exec dask worker --scheduler-file "${OVERLAP_SCHEDULER:-$PWD/scheduler.json}" --resources "GPU=1" \
    --nthreads 1 --no-dashboard --local-directory "${TMPDIR:-/tmp}" --death-timeout 3600
