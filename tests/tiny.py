"""A tiny random BERT with a WordPiece tokenizer, made on the fly: a base that trains in seconds and knows nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def make_base(folder: Path, texts: Iterable[str], *, licence: str | None = "apache-2.0", seed: int = 0) -> Path:
    """Write a base of two layers and width 32 to `folder` whose tokenizer knows the words of `texts` and all letters."""
    words = {word for text in texts for word in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text.lower())}
    letters = sorted({letter for word, _ in words for letter in word})
    vocab = [
        *SPECIAL,
        *letters,
        *(f"##{letter}" for letter in letters),
        *sorted({word for word, _ in words if len(word) > 1}),
    ]
    numbers = {piece: at for at, piece in enumerate(dict.fromkeys(vocab))}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(numbers),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=0,
        )
        BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    if licence:
        (folder / "README.md").write_text(f"---{os.linesep}license: {licence}{os.linesep}---{os.linesep}# tiny\n")
    return folder
