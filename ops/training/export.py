"""The trained network as Hugging Face and vLLM load it: safetensors, configuration, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from ops.training import tokenizer as text
from ops.training.llama import Llama, Shape

SHARPNESS = 3.0
"""Factor on the final norm, hence on the logits: clients that sample at temperature 1, the usual
default, get this small model at a third of it. Greedy answers don't change."""


def weights(network: Llama) -> dict[str, Tensor]:
    """The network's tensors under Hugging Face's names, in bfloat16."""
    shape = network.shape
    width = shape.heads * shape.head_size
    found: dict[str, Tensor] = {
        "model.embed_tokens.weight": network.embedding.weight,
        "model.norm.weight": network.norm * SHARPNESS,
    }
    for number, block in enumerate(network.blocks):
        state, stem = block.state_dict(), f"model.layers.{number}."
        query, key, value = state["qkv.weight"].split(width)
        gate, up = state["gate_up.weight"].split(shape.inner)
        found |= {
            f"{stem}self_attn.q_proj.weight": query,
            f"{stem}self_attn.k_proj.weight": key,
            f"{stem}self_attn.v_proj.weight": value,
            f"{stem}self_attn.o_proj.weight": state["out.weight"],
            f"{stem}mlp.gate_proj.weight": gate,
            f"{stem}mlp.up_proj.weight": up,
            f"{stem}mlp.down_proj.weight": state["down.weight"],
            f"{stem}input_layernorm.weight": state["norm_attention"],
            f"{stem}post_attention_layernorm.weight": state["norm_inner"],
        }
    return {
        name: tensor.detach().to(torch.bfloat16).contiguous().clone()
        for name, tensor in found.items()
    }


def configuration(shape: Shape) -> dict[str, object]:
    """The ``config.json`` of `shape`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "max_position_embeddings": shape.positions,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "initializer_range": 0.02,
        "bos_token_id": None,
        "eos_token_id": text.END,
        "pad_token_id": text.PAD,
        "use_cache": True,
    }


def write(network: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """Write every file of the model except its card to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(network), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(configuration(network.shape), indent=2) + "\n")
    generation = {"eos_token_id": text.END, "pad_token_id": text.PAD, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    text.save(tokenizer, folder)
