#!/usr/bin/env bash
# Distils on several processes: tools/dist_distill.sh STUDENT TEACHER GPUS [options of tools/distill.py]
# On several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on the first, NODE_RANK=1 on the second.
# On one machine a free port is found where PORT is not given.
# Without CUDA the processes run on the CPU and talk through gloo.
set -euo pipefail
if [ $# -lt 3 ] || ! [[ "$3" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 STUDENT TEACHER GPUS [options of tools/distill.py]" >&2
    exit 2
fi
TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
STUDENT=$1
TEACHER=$2
GPUS=$3

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m mmkd.apis.dist_run "$GPUS" "$TOOLS/distill.py" "$STUDENT" "$TEACHER" --launcher pytorch "${@:4}"
