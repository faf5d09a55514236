"""``cabinetd prompts``: every sentence that the cabinet says, ready for text-to-speech."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cabinet.voice_texts import FALLBACK, SPOKEN, file_name
from cabinet.web.kiosk_texts import LANGUAGES, REASONS
from protocols.messages import SLOTS_MAX


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to say. ``name`` is its file without folder and ending."""

    name: str
    language: str
    text: str


def say(prompt: str, slot: int | None, language: str) -> str:
    """The sentence of a prompt.

    Raises:
        KeyError: there is no such language.
    """
    column = dict(zip(LANGUAGES, range(len(LANGUAGES)), strict=True))[language]
    text = SPOKEN.get(prompt) or REASONS.get(prompt) or FALLBACK
    return text[column].format(slot="" if slot is None else slot)


def lines(slots: int) -> Iterator[Line]:
    """Every sentence that a cabinet of so many slots can say, in every language."""
    for language in LANGUAGES:
        for prompt, texts in SPOKEN.items():
            numbers = range(1, slots + 1) if "{slot}" in texts[0] else (None,)
            for slot in numbers:
                yield Line(file_name(prompt, slot), language, say(prompt, slot, language))
        for reason in REASONS.keys() - SPOKEN.keys():
            yield Line(reason, language, say(reason, None, language))


def prompts(
    *,
    slots: Annotated[
        int, typer.Option(min=1, max=SLOTS_MAX, help="How many slots the cabinet has.")
    ] = 12,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Write LANGUAGE/NAME.txt files into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what the cabinet says, or write one text file per sentence.

    Turn each NAME.txt into NAME.wav with any text-to-speech program and name the folder in [voice].
    """
    told = list(lines(slots))
    if folder is not None:
        for line in told:
            path = folder / line.language / f"{line.name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(line.text + "\n", encoding="utf-8")
        typer.echo(f"{len(told)} texts written to {folder}")
    elif as_json:
        rows = [{"name": t.name, "language": t.language, "text": t.text} for t in told]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for line in told:
            typer.echo(f"{line.language}/{line.name}: {line.text}")
