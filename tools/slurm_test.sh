#!/usr/bin/env bash
# Tests under slurm: GPUS=8 tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options]" >&2
    exit 2
fi
exec "$(dirname "${BASH_SOURCE[0]}")/slurm.sh" "$1" "$2" test.py "$3" "$4" "${@:5}"
