"""The checkpoint's own chat template: the words around a prompt, exactly as the model was trained on them.

Templates differ in how they want an image named and how they are told to think. Both are found out by
rendering a probe, once.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.checkpoint.template_files import TAKE_THE_RELEASED, TemplateSource, find_template
from engine.errors import CheckpointInvalid, PromptInvalid

IMAGE_MARKS = ("<|image@placeholder|>", "<|IMAGE_PLACEHOLDER|>")
"""What a template writes for an image: the older spelling and the token itself; both mean the same."""

THINK_START, THINK_END = "<think>", "</think>"
OPEN_BLOCK, CLOSED_BLOCK = f"{THINK_START}\n", f"{THINK_START}\n\n{THINK_END}\n\n"
"""Written where a template leaves the block to the model, as a thinking model begins its answer itself."""

IMAGE_FORMS: Mapping[str, Mapping[str, Any]] = {
    "image": {"type": "image"},
    "image_url": {"type": "image_url", "image_url": {"url": ""}},
}
"""The forms in which a message may hold an image, by name."""

Part = str | None
"""A piece of text, or None where an image stands."""

PROBE_TEXT = "Inspect."
PROBE: tuple[Part, ...] = (PROBE_TEXT, None)


class ChatTemplate:
    """Renders one turn of a user as the prompt that the assistant's answer follows.

    `image_form` names the form of an image that it takes.
    """

    def __init__(self, source: TemplateSource, named: Mapping[str, str], thinks: bool) -> None:
        """`named` are the special tokens by role, such as `eos_token`; `thinks` tells of thinking tokens.

        Raises CheckpointInvalid for a template that is not jinja2 or takes no image.
        """
        # Not at the top: training needs the network without templates.
        from jinja2 import TemplateError  # noqa: PLC0415
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

        # A prompt is not HTML; the sandbox is there because the template comes with the weights.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}
        environment.filters["tojson"] = _tojson
        self.file = source.file
        self._named = dict(named)
        self._thinks = thinks
        self._failure = TemplateError
        try:
            self._template = environment.from_string(source.text)
        except TemplateError as damage:
            raise CheckpointInvalid(
                f"the chat template of {self.file} is not jinja2: {damage}", TAKE_THE_RELEASED
            ) from damage
        self.image_form = self._find_image_form()

    @staticmethod
    def from_checkpoint(directory: Path, named: Mapping[str, str], thinks: bool) -> "ChatTemplate":
        """Read it from whichever file holds it; CheckpointInvalid if none does."""
        return ChatTemplate(find_template(directory), named, thinks)

    def render(self, parts: Sequence[Part], system: str | None, thinking: bool) -> str:
        """The prompt with one image mark for each image, ready for the tokenizer.

        It ends inside an open thinking block where `thinking`, and behind a closed one where not; a
        CheckpointInvalid names the template that cannot be brought to it. Raises PromptInvalid where text
        spells an image mark, or the template loses or adds an image.
        """
        texts = [part for part in parts if part is not None] + ([system] if system else [])
        if any(mark in text for mark in IMAGE_MARKS for text in texts):
            raise PromptInvalid("the text spells the mark of an image", "remove it and pass the image itself")
        prompt = self._plain(parts, system, thinking, self.image_form)
        expected, found = sum(part is None for part in parts), prompt.count(IMAGE_MARKS[1])
        if found != expected:
            raise PromptInvalid(
                f"the chat template of {self.file} wrote {found} image marks for {expected} images",
                TAKE_THE_RELEASED,
            )
        return self._with_block(prompt, thinking) if self._thinks else prompt

    def _plain(self, parts: Sequence[Part], system: str | None, thinking: bool, form: str) -> str:
        """What the template itself writes, with the image marks in one spelling."""
        try:
            prompt = self._template.render(
                **self._named,
                messages=_messages(parts, system, IMAGE_FORMS[form]),
                add_generation_prompt=True,
                enable_thinking=thinking,
                options={"thinking_mode": "open" if thinking else "close"},
            )
        except self._failure as damage:
            raise CheckpointInvalid(
                f"the chat template of {self.file} fails: {damage}", TAKE_THE_RELEASED
            ) from damage
        return prompt.replace(IMAGE_MARKS[0], IMAGE_MARKS[1])

    def _find_image_form(self) -> str:
        said = []
        for form in IMAGE_FORMS:
            try:
                prompt = self._plain(PROBE, None, thinking=False, form=form)
            except (CheckpointInvalid, PromptInvalid) as refusal:
                said.append(refusal.detail)
                continue
            if prompt.count(IMAGE_MARKS[1]) == 1 and PROBE_TEXT in prompt:
                return form
            said.append(f"{form}: it writes {prompt!r}")
        raise CheckpointInvalid(
            f"the chat template of {self.file} takes an image neither as {' nor as '.join(IMAGE_FORMS)} "
            f"({'; '.join(said)})",
            TAKE_THE_RELEASED,
        )

    def _with_block(self, prompt: str, thinking: bool) -> str:
        """The prompt, its thinking block open or closed as it should be."""
        is_open = prompt.rfind(THINK_START) > prompt.rfind(THINK_END)
        if THINK_END in prompt or is_open:
            if is_open != thinking:
                raise self._wrong_block(thinking)
            return prompt
        # Nothing is said of thinking: the model would open the block as its first word.
        space = "" if prompt.endswith((" ", "\n")) else "\n"
        return prompt + space + (OPEN_BLOCK if thinking else CLOSED_BLOCK)

    def _wrong_block(self, thinking: bool) -> CheckpointInvalid:
        done, asked, use = (
            ("closes the thinking block", "on", "reports are written after thinking")
            if thinking
            else ("leaves the thinking block open", "off", "the scores of classes would mean nothing")
        )
        return CheckpointInvalid(
            f"the chat template of {self.file} {done} although thinking is switched {asked} by "
            f"enable_thinking and options.thinking_mode: {use}",
            "put the template of another revision of the model beside the weights as chat_template.jinja",
        )


def _messages(parts: Sequence[Part], system: str | None, image: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = [dict(image) if part is None else {"type": "text", "text": part} for part in parts]
    turn = {"role": "user", "content": content}
    return [{"role": "system", "content": system}, turn] if system else [turn]


def _refuse(reason: str) -> None:
    """What templates call `raise_exception`: the messages have a form that this template does not take."""
    raise PromptInvalid(f"the chat template refuses the prompt: {reason}", "change the prompt's parts")


def _strftime_now(form: str) -> str:
    """The local time, as transformers gives it to templates that write a date."""
    return datetime.now().astimezone().strftime(form)


def _tojson(value: Any, indent: int | None = None) -> str:  # noqa: ANN401 - JSON
    """Without jinja2's escapes for HTML, which the model was not trained on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
