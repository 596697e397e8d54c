#!/usr/bin/env bash
# Workers for features, one core each; see scheduler.sh.
#SBATCH --job-name=overlap-cpu-worker
#SBATCH --array=1-8
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=1-00:00:00
#SBATCH --output=%x-%A-%a.log
set -euo pipefail
export PATH="${OVERLAP_BIN:-$PWD/.venv/bin}:$PATH"
export PYTHONSAFEPATH=1 # Python imports nothing from this folder
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=""

exec dask worker --scheduler-file "${OVERLAP_SCHEDULER:-$PWD/scheduler.json}" \
    --nthreads 1 --no-dashboard --local-directory "${TMPDIR:-/tmp}" --death-timeout 3600
