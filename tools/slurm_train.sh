#!/usr/bin/env bash
# Trains under slurm: GPUS=16 tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] $0 PARTITION JOB_NAME CONFIG WORK_DIR [options]" >&2
    exit 2
fi
exec "$(dirname "${BASH_SOURCE[0]}")/slurm.sh" "$1" "$2" train.py "$3" --work-dir="$4" "${@:5}"
