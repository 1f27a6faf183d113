#!/bin/bash
# Many trainings, a part of them on each machine: sbatch --array=1-4 [options] experiments/slurm/array.sh ARCHIVE=... SEEDS='0 1 2'
# The arguments are those of `make cifar10`, with absolute paths. Each task works in a clone of its own; DVC's cache and OUT, results/mine unless
# given, are this clone's, on a file system that all machines see.
#SBATCH --gpus=1
#SBATCH --output=runs/slurm-%A-%a.log
set -euo pipefail

clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone --quiet . "$clone"
ln -s "$PWD/.venv" "$clone/.venv"
.venv/bin/dvc --cd "$clone" cache dir --local "$(.venv/bin/dvc cache dir)"
make -C "$clone" -o .venv/ready cifar10 OUT="$PWD/results/mine" "$@" PART="$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
