#!/usr/bin/env bash
# One sweep undisturbed, and once more through every kind of trouble: at the end both have the same sha256 of all rows.
# Needs the extra `dask`. Everything happens in a folder of its own.
set -euo pipefail
cd "$(mktemp -d)"

command=(python -m fastbp.sweep founding --seeds 3000 --quiet --no-report)
sweep() { "${command[@]}" "$@" >>log 2>&1; }
files_of() { find "$1/runs" -name "*.parquet" 2>/dev/null | wc -l || true; }
sweep_until_a_file_appears_then() {
  local before
  before=$(files_of "$2")
  "${command[@]}" -o "$2" "${@:3}" >>log 2>&1 &
  while kill -0 $! && [ "$(files_of "$2")" -eq "$before" ]; do sleep 0.01; done
  { kill "$1" $! && wait $!; } 2>>log || true
}
tell() { printf '\n# %s\n' "$*"; }

tell "Nothing happens to it"
sweep -o quiet
python -m fastbp.verify quiet

tell "Killed as it trains, resumed by two processes, interrupted, resumed by Dask, on half of the seeds"
sweep_until_a_file_appears_then -KILL half --shard 1/2
sweep_until_a_file_appears_then -TERM half --shard 1/2 --executor processes
sweep -o half --shard 1/2 --executor dask
python -m fastbp.verify half

tell "The other half elsewhere, by machines that share nothing; both are united, and once more for good measure"
sweep -o other --shard 2/2
python -m fastbp.merge whole half other 2>>log
python -m fastbp.merge whole half other 2>>log

tell "A bit flips, a file is cut short"
files=(whole/runs/*.parquet)
python - "${files[3]}" "${files[7]}" <<'PYTHON'
import sys

flipped, cut = (open(path, "r+b") for path in sys.argv[1:])
flipped.seek(1000)
byte = flipped.read(1)[0]
flipped.seek(1000)
flipped.write(bytes([byte ^ 4]))
cut.truncate(5000)
PYTHON
python -m fastbp.verify whole 2>&1 || true

tell "Repaired, and made anew"
python -m fastbp.verify whole --repair 2>&1
sweep -o whole
python -m fastbp.verify whole --replay 20
