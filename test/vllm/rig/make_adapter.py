"""Write a LoRA with seeded random weights for the model in test/fixtures/vllm/model.

Usage: make_adapter.py FOLDER NAME...   one adapter FOLDER/NAME each, with different weights
The model itself has no weights: `--load-format dummy` makes seeded random numbers, so answers are nonsense but repeatable.
"""
import json
import pathlib
import sys

import numpy
from safetensors.numpy import save_file

RANK, HIDDEN, LAYERS = 8, 64, 2

for seed, name in enumerate(sys.argv[2:]):
    folder = pathlib.Path(sys.argv[1]) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny", "r": RANK, "lora_alpha": 16,
        "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj"]}, indent=1) + "\n")
    random = numpy.random.default_rng(7 + seed)
    weights = {}
    for layer in range(LAYERS):
        for part in ["q_proj", "v_proj"]:
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            weights[f"{prefix}.lora_A.weight"] = random.standard_normal((RANK, HIDDEN), dtype=numpy.float32)
            weights[f"{prefix}.lora_B.weight"] = random.standard_normal((HIDDEN, RANK), dtype=numpy.float32)
    save_file(weights, str(folder / "adapter_model.safetensors"))
