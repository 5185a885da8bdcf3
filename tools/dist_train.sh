#!/usr/bin/env bash
# Trains on several processes: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# On several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on the first, NODE_RANK=1 on the second.
# On one machine a free port is found where PORT is not given.
# Without CUDA the processes run on the CPU and talk through gloo.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ "$2" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
CONFIG=$1
GPUS=$2

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m mmkd.apis.dist_run "$GPUS" "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
