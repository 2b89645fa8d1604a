"""The room where Parley's demonstration model is made: text, tokenizer, training, scores.

Owns: the generators of every training sentence, the byte-level tokenizer, a
Llama in plain torch, the training loop with its checkpoints, the held-out
evaluation and the export to ``ops/models/parley-small``.
Promises: the same seed and step count draw the same text; an interrupted run
goes on from its last checkpoint; no message of the evaluation is trained on.
The product never imports this package: ``python -m ops.training`` is its only
entry, and its needs (torch, tokenizers, transformers, safetensors) come with
the engine's environment.
"""
