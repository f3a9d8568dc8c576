#!/bin/sh
# Looks after Rota. `manage_vllm.sh --help` lists the verbs; they are in proxy/verbs.
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
python="$root/.venv/bin/python"
if [ ! -x "$python" ]; then
    echo "$python is not there: run 'make setup' in $root first" >&2
    exit 1
fi
ROTA_ROOT="${ROTA_ROOT:-$root}" exec "$python" -m proxy.cli "$@"
