#!/bin/bash
# One training at a time on all the nodes of a job: sbatch [options] experiments/slurm/nodes.sh repro [targets]
# Any command of DVC's, from the project's root on a file system that all nodes see. `train.shards` in params.yaml has to be a
# multiple of nodes x PER_NODE. Without GPUs: sbatch --gpus-per-node=0 --export=ALL,PER_NODE=1 ...
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --output=runs/slurm-%j.log
set -euo pipefail

rendezvous="--rdzv-backend=c10d --rdzv-endpoint=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):${PORT:-29400}"
export COLORPIPE_LAUNCHER="srun --ntasks-per-node=1 $PWD/.venv/bin/torchrun --nnodes=$SLURM_JOB_NUM_NODES \
--nproc-per-node=${PER_NODE:-gpu} --rdzv-id=$SLURM_JOB_ID $rendezvous"
.venv/bin/dvc "$@"
