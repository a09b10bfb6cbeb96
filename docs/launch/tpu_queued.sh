#!/usr/bin/env bash
# Requests a Cloud TPU pod slice as a queued resource, waits for it and installs jaxpose on all of
# its hosts. Then train with tpu_pod.sh.
#
#   TPU=NAME ZONE=ZONE ACCELERATOR=v5litepod-16 RUNTIME=v2-alpha-tpuv5-lite \
#       bash docs/launch/tpu_queued.sh --spot
#
# The arguments are added to `gcloud compute tpus queued-resources create`. REPOSITORY is the address
# from which the hosts clone jaxpose.
set -euo pipefail
: "${TPU:?name of the TPU}" "${ZONE:?its zone}" "${ACCELERATOR:?type, e.g. v5litepod-16}"
: "${RUNTIME:?runtime version of this type}" "${REPOSITORY:?address of the jaxpose repository}"

gcloud compute tpus queued-resources create "$TPU" --node-id="$TPU" --zone="$ZONE" \
    --accelerator-type="$ACCELERATOR" --runtime-version="$RUNTIME" "$@"
while true; do
    state=$(gcloud compute tpus queued-resources describe "$TPU" --zone="$ZONE" \
        --format='value(state.state)')
    echo "$TPU: $state"
    case "$state" in
        ACTIVE) break ;;
        FAILED | SUSPENDING | SUSPENDED) exit 1 ;;
    esac
    sleep "${POLL:-30}"
done

# jaxpose needs Python 3.11 or newer, and images with Ubuntu 22.04, such as v2-alpha-tpuv5-lite, have
# 3.10. uv installs a Python of its own, into the home folder, without sudo.
printf -v repository '%q' "$REPOSITORY"
exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="set -e
    [ -d jaxpose ] || git clone $repository jaxpose
    cd jaxpose
    curl -LsSf https://astral.sh/uv/install.sh | sh
    export PATH=~/.local/bin:\$PATH
    uv venv --python 3.12 .venv
    uv pip install 'jax[tpu]' -e '.[train]'"
