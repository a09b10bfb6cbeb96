#!/usr/bin/env bash
# Trains on the GPUs of several Slurm nodes, with one process per GPU.
#
#   sbatch docs/launch/slurm.sh --config=configs/hwl.py:coco,256x192 --workdir=/shared/hwl \
#       --config.data.root=/shared/coco --config.batch_size=512
#
# The arguments are those of train.py; submit the same command again to resume.
#SBATCH --job-name=jaxpose
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# JAX takes the addresses and numbers of the processes from Slurm. Each process must see all GPUs of
# its node (--gpus-per-node, not --gpus-per-task), of which JAX gives it one.
status=0
srun --kill-on-bad-exit=1 --label .venv/bin/python train.py \
    --config.distributed.initialize=True --config.distributed.hosts="$SLURM_NTASKS" "$@" || status=$?

# 143: stopped by SIGTERM 180 s before the time limit, with a checkpoint. Continue in a new slot.
if [ "$status" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
