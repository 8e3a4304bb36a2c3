#!/bin/bash
# A run of mbcbench as an array of 16 SLURM jobs, and a job that merges them when all have ended:
#
#   array=$(sbatch --parsable examples/cluster/slurm_array.sh --suite laws)
#   sbatch --dependency=afterany:$array --wrap 'mbcbench merge .mbcbench/runs/*-of-16'
#
# Options of `mbcbench run` are given after the script. Not afterok: a law that is broken ends a job with exit code 1.
# For suites that measure time or memory, such as resources, add --exclusive, so that a job has its node for itself.
# A job that was killed continues where it was when it is submitted again: sbatch --array=7 ... (and merge its new run).

#SBATCH --job-name=mbcbench
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --output=mbcbench-%A-%a.log

# The count stays 16 when only some of the jobs are submitted again; SLURM_ARRAY_TASK_COUNT would not.
exec mbcbench run --shard "$SLURM_ARRAY_TASK_ID/16" --jobs "$SLURM_CPUS_PER_TASK" "$@"
