"""A small tokenizer of its own, with the chat templates of well-known families written anew."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

LLAMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
<|start|>system<|end|>

Today: {{ strftime_now('%Y') | length }} digits
{{ system }}<|im_end|>
{%- for message in messages %}
    {%- if loop.index0 is divisibleby 2 != (message.role == 'user') %}
        {{- raise_exception('roles have to alternate') }}
    {%- endif %}
    {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""

NO_SYSTEM = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{% for message in messages %}
{{ ('model' if message.role == 'assistant' else message.role) + ': ' + message.content | trim }}
{% endfor %}{% if add_generation_prompt %}model: {% endif %}"""

TRAINED = """{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content }}
{{ eos_token }}{% endgeneration %}{% else %}{% if message.content == 'skip' %}{% continue %}{% endif %}
[{{ message | tojson }}]{% endif %}{% endfor %}{% if not add_generation_prompt %}end{% endif %}"""

NAMESPACES = """{% set ns = namespace(first=true) %}{% for message in messages if message.role != 'system' %}
{% if ns.first %}{{ bos_token }}{% set ns.first = false %}{% endif %}
{%- macro turn(m) -%}<|start|>{{ m.role }}: {{ m['content'].strip() }}<|end|>{%- endmacro -%}
{{ turn(message) }}{% endfor %}{{ tools is none }}{{ documents is none }}{{ '<é>' | tojson(indent=2) }}"""

TEMPLATES = {
    "chatml": CHATML,
    "llama": LLAMA,
    "no-system": NO_SYSTEM,
    "trained": TRAINED,
    "namespaces": NAMESPACES,
}

_SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>")
_TEXTS = [
    "The vector store answers with passages of the documents, and every passage has a source and a section.",
    "A release never changes; a small pointer says which one is current, and going back is moving the pointer.",
    "Question: how long are releases kept? They are kept for thirty days, unless the pointer names them.",
    "system user assistant passage number from You answer questions from passages of documents.",
]


def write_tokenizer(folder: Path, template: str = CHATML, *, adds_bos: bool = False) -> Path:
    """Write tokenizer.json and tokenizer_config.json with a template, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    special = [AddedToken(token, special=True, normalized=False) for token in _SPECIAL]
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXTS * 3, trainer)
    if adds_bos:
        tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": {"content": "<s>", "__type": "AddedToken", "special": True},
        "eos_token": "</s>",
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
