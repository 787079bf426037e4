"""Golden texts of chat templates, rendered by Hugging Face transformers.

The templates are written here from the documented formats of the families (turn markers, system turn, generation
prompt), over several lines so that whitespace rules count. Run: python tests/golden/make/chat_templates.py
(made with transformers 5.24, jinja2 3.1)
"""
import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

OWN = Path(__file__).parent.parent / "own"

TEMPLATES = {
    "llama-2": """{% set ns = namespace(system='') %}
{% for m in messages %}
    {% if m['role'] == 'system' %}
        {% set ns.system = '<<SYS>>\\n' + m['content'] + '\\n<</SYS>>\\n\\n' %}
    {% elif m['role'] == 'user' %}
{{ bos_token + '[INST] ' + ns.system + m['content'].strip() + ' [/INST]' }}
        {%- set ns.system = '' %}
    {% else %}
{{- ' ' + m['content'].strip() + ' ' + eos_token }}
    {%- endif %}
{% endfor %}""",
    "llama-3": """{{ bos_token }}
{%- for m in messages %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}""",
    "vicuna": """{% if messages[0].role == 'system' %}
{{ messages[0].content + ' ' }}
{%- set turns = messages[1:] %}
{% else %}
{{ 'A chat between a curious user and an artificial intelligence assistant. ' }}
{{- "The assistant gives helpful, detailed, and polite answers to the user's questions. " }}
{%- set turns = messages %}
{% endif %}
{% for m in turns %}
{%- if m.role == 'user' %}
{{- 'USER: ' + m.content + ' ' }}
{%- else %}
{{- 'ASSISTANT: ' + m.content + eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'ASSISTANT:' }}
{%- endif %}""",
    "chatml": """{%- if messages[0].role != 'system' %}
{{- '<|im_start|>system\\nYou are a helpful assistant.' + eos_token + '\\n' }}
{%- endif %}
{%- for m in messages %}
{{- '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ eos_token ~ '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}""",
    "mistral": """{{ bos_token }}
{%- for m in messages if m.role != 'system' %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('roles must alternate user/assistant') }}
{%- endif %}
{%- if m.role == 'user' %}
{{- '[INST] ' + m.content + ' [/INST]' }}
{%- else %}
{{- ' ' + m.content + eos_token }}
{%- endif %}
{%- endfor %}""",
    "smollm2": """{% for m in messages %}
{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM<|im_end|>\\n' }}
{%- endif %}
{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}""",
    "llama-3.1": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system turn is always there, and holds two dates. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- eos_token }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "tinyllama": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    # Only the last turn keeps the place of its thoughts.
    "qwen3": """{%- for m in messages %}
    {%- if m.role == "assistant" and loop.last %}
        {{- '<|im_start|>' + m.role + '\\n<think>\\n\\n</think>\\n\\n' + m.content.lstrip('\\n') + eos_token + '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + eos_token + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "zephyr": """{% for m in messages %}
{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>\\n' }}
{%- endif %}""",
}
USER, REPLY = "  How much is 3 + 4?", "It is 7.\nSure."
CONVERSATIONS = [
    [("user", USER)],
    [("system", "Be brief."), ("user", USER)],
    [("user", USER), ("assistant", REPLY)],
    [("system", "Be brief."), ("user", "a"), ("assistant", REPLY), ("user", "b \"c\" <d> é\n"), ("assistant", "e")],
]
rendered = []
for name, template in TEMPLATES.items():
    for turns in CONVERSATIONS:
        messages = [dict(role=r, content=c) for r, c in turns]
        for prompt in (False, True):
            texts, _ = render_jinja_template(
                conversations=[messages], chat_template=template, add_generation_prompt=prompt,
                bos_token="<s>", eos_token="</s>",
            )
            rendered.append(dict(template=name, messages=messages, add_generation_prompt=prompt, text=texts[0]))
(OWN / "chat_templates.json").write_text(json.dumps(dict(templates=TEMPLATES, rendered=rendered), indent=1) + "\n")
for r in rendered[::3]:
    print(r["template"], repr(r["text"])[:150])
