"""The chat template that the starter ships with, in the form of ERNIE-4.5-VL's."""

CHAT_TEMPLATE = """\
{%- set pictures = namespace(count=0) -%}
{{- '<|begin_of_sentence|>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{- 'User: ' -}}{%- endif -%}
{%- if message['role'] == 'assistant' -%}{{- 'Assistant: ' -}}{%- endif -%}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
{%- set pictures.count = pictures.count + 1 -%}
{{- 'Picture ' ~ pictures.count ~ ':<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>' -}}
{%- else -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message['role'] == 'assistant' -%}{{- '<|end_of_sentence|>' -}}{%- else -%}{{- '\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt is not defined or add_generation_prompt -%}
{{- 'Assistant: ' -}}
{%- if enable_thinking is defined and enable_thinking -%}
{{- '<think>' -}}
{%- else -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""
