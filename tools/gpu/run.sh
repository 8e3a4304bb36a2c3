#!/usr/bin/env bash
# Run all stages on a machine with a GPU: `run.sh [OPTION ...] [STAGE ...] [-- TRAINING]`.
#
# Stages run in order of value, each under a time limit and with a file of its own: a run that is cut off loses one stage.
#
#   --out FOLDER      for the files that are wanted back; by default $OUT, or .gpu/out
#   --wheels FOLDER   of prepare.sh; without it the packages of $PYTHON (by default python3) are used
#   --seconds N       for all stages together; by default 540
#   --dry             try everything on the CPU, with tiny sizes
#
# What follows -- are options of gpu_stages.train, such as `--suite paper --only fig4d --profile thorough`.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
out=${OUT:-$repository/.gpu/out}
wheels="" dry="" stages=() training=(--only fig4d) total=540
while [ $# -gt 0 ]; do
    case $1 in
        --dry) dry=--dry ;;
        --out) out=$2; shift ;;
        --wheels) wheels=$2; shift ;;
        --seconds) total=$2; shift ;;
        --) shift; training=("$@"); break ;;
        -*) echo "$0: unknown option $1" >&2; exit 64 ;;
        *) stages+=("$1") ;;
    esac
    shift
done
[ ${#stages[@]} -gt 0 ] || stages=(machine tests fold resources largest encode train)

python=$(command -v "${PYTHON:-python3}")
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$wheels" ] || wheels=$(cd "$wheels" && pwd) || exit
cd "$work" || exit # in the repository Python would import the folder mbcbench, which is not the whole package
rm -f "$out"/{run.log,run.jsonl,tests.xml,fold.jsonl,resources.jsonl,largest.jsonl,encode.jsonl,train.tar.gz}
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 MBCBENCH_DATA=${MBCBENCH_DATA:-$work/data}

[ -z "$dry" ] || export MBCBENCH_TEST_DEVICE=cpu OMP_NUM_THREADS=1

# limited SECONDS COMMAND...: interrupt the command when its time or that of the run is up, and kill it if it goes on.
# Nobody waits for a dry run on a slow machine: it has more time.
limited() {
    local seconds=$1 left=$((total - SECONDS))
    shift
    if [ -n "$dry" ]; then seconds=600; elif [ "$seconds" -gt "$left" ]; then seconds=$left; fi
    [ "$seconds" -gt 0 ] || return 125
    timeout --signal=INT --kill-after=10 "$seconds" "$@" >>"$out/run.log" 2>&1
}

# stage NAME SECONDS COMMAND...: run one stage and write down how it ended.
stage() {
    local name=$1 began=$SECONDS
    shift
    limited "$@"
    local code=$?
    printf '{"kind": "stage", "stage": "%s", "code": %d, "seconds": %d}\n' \
        "$name" $code $((SECONDS - began)) >>"$out/run.jsonl"
    echo "$name: exit code $code, $((SECONDS - began)) s"
    return $code
}

tests() { # tests NAME SECONDS OPTIONS...; on many processes, as a kernel takes seconds to compile
    local name=$1 seconds=$2 processes=()
    shift 2
    [ -n "$dry" ] || ! "$python" -c "import xdist" 2>/dev/null || processes=(-n 12)
    stage "$name" "$seconds" "$python" -m pytest -c "$repository/pyproject.toml" --rootdir "$repository" \
        -o filterwarnings=default -p no:cacheprovider "${processes[@]}" "$@"
}

measured() { # measured NAME SECONDS FILE OPTIONS...
    local name=$1 seconds=$2 file=$3
    shift 3
    stage "$name" "$seconds" "$python" -m "gpu_stages.$name" "$out/$file" --work "$work" $dry "$@"
}

run() {
    case $1 in
        machine) measured machine 40 run.jsonl ;;
        tests)
            # Wrong kernels must not spoil the stages behind: the encoders do without them.
            tests kernels 60 "$repository/tests/cuda/test_kernels.py" ${dry:+-k bit_by_bit} ||
                export MBCBENCH_TRITON=0
            tests tests 90 "$repository/tests/cuda" --ignore "$repository/tests/cuda/test_kernels.py" \
                --junit-xml "$out/tests.xml" ${dry:+-k "deepsets-mean and not law"}
            ;;
        fold) measured fold 120 fold.jsonl ;;
        resources) measured resources 100 resources.jsonl ;;
        largest) measured largest 80 largest.jsonl ;;
        encode) measured encode 60 encode.jsonl ;;
        train) measured train 120 train.tar.gz "${training[@]}" ;;
        *) echo "$0: no stage is called $1" >&2; return 64 ;;
    esac
}

if [ -n "$wheels" ]; then
    # The wheel of mbcbench says what is installed; its code is that of this checkout, which may be newer.
    site=$work/site
    stage install 60 "$python" -m pip install --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl || exit
    cp -r "$repository/mbcbench" "$site/"
    cp -r "$repository"/{encoders,suites,reports} "$site/mbcbench/"
    export PYTHONPATH=$site:$PYTHONPATH
fi

for name in "${stages[@]}"; do
    if [ -n "$dry" ]; then run "$name" & else run "$name"; fi # a dry run measures nothing: all at once
done
wait
! grep -q '"kind": "stage".*"code": [1-9]' "$out/run.jsonl"
