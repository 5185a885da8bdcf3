#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh call: tools/slurm.sh PARTITION JOB_NAME TOOL [arguments of tools/TOOL]
# On GPUS (8) GPUs, GPUS_PER_NODE (8 or fewer) on each machine, CPUS_PER_TASK (5) cores each; SRUN_ARGS are srun's own.
set -euo pipefail
TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}

# shellcheck disable=SC2086  # SRUN_ARGS holds several words
PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec srun -p "$1" \
    --job-name="$2" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/$3" --launcher=slurm "${@:4}"
