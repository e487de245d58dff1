"""Tiny random models, made on the fly, that know nothing: a BERT that trains in seconds, a Llama that writes noise."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

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


TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"
MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_causal(
    folder: Path, *, template: str | None = TURNS, window: int = 512, tied: bool = False, seed: int = 0
) -> Path:
    """Write a Llama of two layers and width 32 to `folder`, whose tokens are the 256 bytes, some pairs, and MARKS."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("t", "h"), ("e", "r"), ('"', ":"), ("{", '"'), ("i", "n")]
    names = [*MARKS, *alphabet, *("".join(pair) for pair in pairs)]
    tokenizer = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(MARKS)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(names) + 3,  # more than the tokenizer has, as in many real models
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=64,
            max_position_embeddings=window,
            eos_token_id=0,
            tie_word_embeddings=tied,
            initializer_range=0.3,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=MARKS[0], pad_token=MARKS[0])
    fast.chat_template = template
    fast.save_pretrained(folder)
    return folder


def make_t5(folder: Path, texts: Iterable[str], *, spares: int = 20, tied: bool = False, seed: int = 0) -> Path:
    """Write a T5 of two layers and width 64 to `folder`; its tokenizer is trained on `texts` and knows no braces.

    `tied` is the first T5, whose embeddings are its output layer's weights too; the others are as T5 1.1 and FLAN.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    marks = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=marks, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([text.replace("{", "").replace("}", "") for text in texts], trainer)
    tokenizer.add_special_tokens([AddedToken(f"<extra_id_{at}>", special=True) for at in range(spares)])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = T5Config(
            vocab_size=tokenizer.get_vocab_size() + 5,  # more than the tokenizer has, as in the real ones
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="relu" if tied else "gated-gelu",
            tie_word_embeddings=tied,
            decoder_start_token_id=0,
            dropout_rate=0.0,
        )
        model = T5ForConditionalGeneration(config)
        if not tied:
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) / 8)
        model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return folder
