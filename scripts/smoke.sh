#!/usr/bin/env bash
# Build sdist and wheel, install the wheel with nothing but its own requirements into an empty environment, and use it there.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD python=${PYTHON:-$PWD/.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

git archive HEAD | (mkdir "$scratch/source" && tar x -C "$scratch/source")
"$python" -m build --no-isolation -o "$scratch/dist" "$scratch/source" >"$scratch/build.log" 2>&1 || { tail -n 20 "$scratch/build.log" >&2; exit 1; }
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --no-input -c "$root/constraints.txt" "$scratch"/dist/*.whl

cd "$scratch" # outside of the repository
unset PYTHONPATH
export PATH="$scratch/venv/bin:$PATH" DRUMNB_QUIET=1
python - <<'END'
import numpy as np, soundfile
t = np.arange(4 * 44100) / 44100
soundfile.write('kicks.wav', 0.6 * np.exp(-(t % 0.5) * 25) * np.sin(2 * np.pi * 60 * (t % 0.5)), 44100)
END
drumnb --version
drumnb transcribe kicks.wav -o out -f all
test "$(grep -c ,KD, out/kicks.csv)" -ge 6 || { echo "the kicks were not heard:" >&2; cat out/kicks.csv >&2; exit 1; }
said=$(drumnb run frame 2>&1) && { echo "drumnb run worked without its extra" >&2; exit 1; }
case $said in *"drumnb[study]"*) ;; *) echo "drumnb run does not name its extra: $said" >&2; exit 1 ;; esac
python -c 'import sys; from drumnb import transcribe; n = len(transcribe("kicks.wav").table()); assert n >= 6 and "torch" not in sys.modules'
echo "The wheel works: $(pip list --disable-pip-version-check 2>/dev/null | tail -n +3 | wc -l) packages, $(du -sm venv | cut -f 1) MB"
