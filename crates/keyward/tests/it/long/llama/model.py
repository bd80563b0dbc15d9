"""Writes a tiny model of the llama family with random weights, which always are the same: `model.py FILE`.

It knows no language: what it says is noise, but it says it as every model does.
"""

import sys

import gguf
import numpy

LAYERS, WIDTH, HEADS, INNER, CONTEXT = 2, 64, 4, 128, 1024

random = numpy.random.default_rng(7)
words = ["the", "▁a", "▁key", "▁ward", "▁of", "▁lock", "s", "▁is", ".", ",", "▁"]
tokens = ["<unk>", "<s>", "</s>"]
kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
tokens += [f"<0x{byte:02X}>" for byte in range(256)]
kinds += [gguf.TokenType.BYTE] * 256
tokens += words
kinds += [gguf.TokenType.NORMAL] * len(words)

writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_name("noise")
writer.add_block_count(LAYERS)
writer.add_context_length(CONTEXT)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_rope_dimension_count(WIDTH // HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(len(tokens))
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
writer.add_tokenizer_model("llama")
writer.add_token_list(tokens)
writer.add_token_scores([0.0] * 259 + [-1.0] * len(words))
writer.add_token_types(kinds)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)


def tensor(name, *shape):
    weights = random.normal(0.0, 0.2, shape).astype(numpy.float32)
    writer.add_tensor(name, weights)


def norm(name):
    writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))


tensor("token_embd.weight", len(tokens), WIDTH)
for layer in range(LAYERS):
    norm(f"blk.{layer}.attn_norm.weight")
    for part in ["attn_q", "attn_k", "attn_v", "attn_output"]:
        tensor(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
    norm(f"blk.{layer}.ffn_norm.weight")
    tensor(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
    tensor(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
    tensor(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
norm("output_norm.weight")
tensor("output.weight", len(tokens), WIDTH)

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
