#!/usr/bin/env bash
# Trains on all hosts of a Cloud TPU pod slice. Run it again to resume.
#
#   TPU=NAME ZONE=ZONE bash docs/launch/tpu_pod.sh --config=configs/hwl.py:coco,256x192 \
#       --workdir=/mnt/shared/hwl --config.data.root=/data/coco --config.batch_size=2048
#
# It needs jaxpose in ~/jaxpose of each host, with a virtual environment .venv of Python 3.11 or newer,
# as tpu_queued.sh makes it; the python3 of a TPU image may be older.
#
# The arguments are those of train.py. HOSTS, the number of hosts, is checked if it is set.
set -euo pipefail
: "${TPU:?name of the TPU}" "${ZONE:?its zone}"

arguments=(--config.distributed.initialize=True "--config.distributed.hosts=${HOSTS:-0}" "$@")
printf -v quoted ' %q' "${arguments[@]}"
exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="cd jaxpose && exec .venv/bin/python train.py$quoted"
