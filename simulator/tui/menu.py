"""A list to choose from, with a filter: packs within reach, or faults to set and clear."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option


class Menu(ModalScreen[str | None]):
    """Returns the id of the chosen line, None when nobody chose.

    Args:
        title: what is asked.
        options: text by id.
        hint: what the filter field says while it is empty.
    """

    CSS = """
    Menu { align: center middle; }
    Menu > Vertical { width: 64; max-width: 100%; height: 18; border: heavy $accent;
        background: $surface; padding: 0 1; }
    Menu OptionList { height: 1fr; border: none; padding: 0; }
    Menu Input { border: none; height: 1; padding: 0; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "×"),
        Binding("down", "into_list", show=False),
    ]

    def __init__(self, title: str, options: dict[str, str], hint: str) -> None:
        super().__init__()
        self._title, self._options, self._hint = title, options, hint

    def compose(self) -> ComposeResult:
        """Title, filter, list."""
        with Vertical():
            yield Label(self._title)
            yield Input(placeholder=self._hint)
            yield OptionList(*(Option(text, id=key) for key, text in self._options.items()))

    def on_mount(self) -> None:
        """The list has the focus; typing letters goes to the filter."""
        self.query_one(OptionList).focus()
        self.query_one(OptionList).highlighted = 0

    def on_key(self, event: object) -> None:
        """A letter typed at the list begins the filter."""
        character = getattr(event, "character", None)
        field = self.query_one(Input)
        if (
            character
            and character.isprintable()
            and not character.isspace()
            and not field.has_focus
        ):
            field.focus()
            field.insert_text_at_cursor(character)

    def action_into_list(self) -> None:
        """From the filter down to what it left."""
        self.query_one(OptionList).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what contains every typed word."""
        words = event.value.lower().split()
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options(
            Option(text, id=key)
            for key, text in self._options.items()
            if all(word in text.lower() for word in words)
        )
        listed.highlighted = 0 if listed.option_count else None

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Enter in the filter takes the first line that is left."""
        listed = self.query_one(OptionList)
        if listed.option_count:
            self.dismiss(listed.get_option_at_index(0).id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter on a line."""
        self.dismiss(event.option.id)
