#!/bin/sh
# Looks after Rota. `manage_vllm.sh --help` lists the verbs; they are in proxy/verbs.
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
python="$root/.venv/bin/python"
if [ ! -x "$python" ]; then
    echo "$python is not there: run 'make setup' in $root first, or 'make install' of an installation" >&2
    exit 1
fi
# -P: a folder `proxy` that stands where it is called must not be taken for this one.
ROTA_ROOT="${ROTA_ROOT:-$root}" exec "$python" -P -m proxy.cli "$@"
