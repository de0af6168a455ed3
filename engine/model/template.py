"""The checkpoint's own chat template: the words around a prompt, exactly as the model was trained on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import CheckpointInvalid, PromptInvalid
from engine.model.tensors import read_json

IMAGE_MARKS = ("<|image@placeholder|>", "<|IMAGE_PLACEHOLDER|>")
"""What a template writes for an image: the released one the first, some conversions the token itself."""

Part = str | None
"""A piece of text, or None where an image stands."""


class ChatTemplate:
    """Renders one turn of a user as the prompt that the assistant's answer follows."""

    def __init__(self, source: str, named: Mapping[str, str]) -> None:
        """`source` is jinja2; `named` are the special tokens by role, such as `eos_token`."""
        # Not at the top: training needs the network without templates.
        from jinja2 import TemplateError  # noqa: PLC0415
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

        # A prompt is not HTML; the sandbox is there because the template comes with the weights.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
        environment.globals["raise_exception"] = _refuse
        self._named = dict(named)
        self._failure = TemplateError
        try:
            self._template = environment.from_string(source)
        except TemplateError as damage:
            raise CheckpointInvalid(
                f"the chat template is not jinja2: {damage}", "take the template that came with the weights"
            ) from damage

    @staticmethod
    def from_checkpoint(directory: Path, named: Mapping[str, str]) -> "ChatTemplate":
        """Read `chat_template.jinja`, else `tokenizer_config.json`; CheckpointInvalid if neither has one."""
        path = directory / "chat_template.jinja"
        if path.exists():
            return ChatTemplate(path.read_text(encoding="utf-8"), named)
        source = read_json(directory / "tokenizer_config.json").get("chat_template")
        if not isinstance(source, str):
            raise CheckpointInvalid(
                f"{directory} has no chat template",
                "take chat_template.jinja or the tokenizer_config.json that came with the weights",
            )
        return ChatTemplate(source, named)

    def render(self, parts: Sequence[Part], system: str | None, thinking: bool) -> str:
        """The prompt with one image mark for each image, ready for the tokenizer.

        Raises PromptInvalid where text spells an image mark, or the template loses or adds an image.
        """
        texts = [part for part in parts if part is not None] + ([system] if system else [])
        if any(mark in text for mark in IMAGE_MARKS for text in texts):
            raise PromptInvalid("the text spells the mark of an image", "remove it and pass the image itself")
        try:
            prompt = self._template.render(
                **self._named,
                messages=_messages(parts, system),
                add_generation_prompt=True,
                enable_thinking=thinking,
            )
        except self._failure as damage:
            raise CheckpointInvalid(
                f"the chat template fails: {damage}", "take the template that came with the weights"
            ) from damage
        prompt = prompt.replace(IMAGE_MARKS[0], IMAGE_MARKS[1])
        expected, found = sum(part is None for part in parts), prompt.count(IMAGE_MARKS[1])
        if found != expected:
            raise PromptInvalid(
                f"the chat template wrote {found} image marks for {expected} images",
                "take the template that came with the weights",
            )
        return prompt


def _messages(parts: Sequence[Part], system: str | None) -> list[dict[str, Any]]:
    content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
    turn = {"role": "user", "content": content}
    return [{"role": "system", "content": system}, turn] if system else [turn]


def _refuse(reason: str) -> None:
    """What templates call `raise_exception`: the messages have a form that this template does not take."""
    raise PromptInvalid(f"the chat template refuses the prompt: {reason}", "change the prompt's parts")
