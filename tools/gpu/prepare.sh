#!/usr/bin/env bash
# Collect the wheels that a GPU machine without a network lacks: `prepare.sh [--local] [--without "NAME ..."]`.
#
# They go into .gpu/wheels, for Python 3.12 on x86-64 Linux; run.sh installs them. The package must import with them,
# torch, Triton, NumPy and Hypothesis alone, which is checked. --without leaves out packages that the machine has, and
# --local fetches nothing: the GPU is in this machine, whose packages are used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
python=${PYTHON:-$repository/.venv/bin/python}
wheels=$repository/.gpu/wheels
limit=$((64 * 1024 * 1024)) # bytes to bring along
without=() is_local=""
while [ $# -gt 0 ]; do
    case $1 in
        --local) is_local=yes ;;
        --without) read -ra without <<<"$2"; shift ;;
        *) echo "$0: unknown option $1" >&2; exit 64 ;;
    esac
    shift
done

rm -rf "$wheels"
mkdir -p "$wheels"
if [ -n "$is_local" ]; then
    mapfile -t without < <("$python" "$here/wheels.py" list | sed 's/==.*//')
else
    "$python" "$here/wheels.py" list --without "${without[@]}" >"$wheels/requirements.txt"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$wheels" \
        --python-version 3.12 --implementation cp --platform any \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_24_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 \
        --requirement "$wheels/requirements.txt"
    source=$(mktemp -d)
    trap 'rm -rf "$source"' EXIT
    git -C "$repository" archive HEAD | tar -x -C "$source"
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir "$wheels" "$source"
fi
"$python" "$here/wheels.py" check "$wheels" --without "${without[@]}"

size=$(du -sb "$wheels" | cut -f1)
tracked=$(git -C "$repository" ls-files -z | (cd "$repository" && xargs -0 du -cb) | awk '/total$/ { sum += $1 } END { print sum }')
mib() { awk "BEGIN { printf \"%.1f\", $1 / 1048576 }"; }
echo "$(find "$wheels" -name '*.whl' | wc -l) wheels, $(mib "$size") MiB; with all tracked files $(mib $((size + tracked))) MiB"
if [ "$size" -gt "$limit" ]; then
    echo "more than $(mib $limit) MiB; leave out what the machine has: --without \"NAME ...\"" >&2
    exit 1
fi
