"""A form made from a pydantic model, so that parameters are declared once."""

from __future__ import annotations

import re
from collections.abc import Collection
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_ore_minerals.errors import OptionError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

AUTO = "auto"
LARGEST = 1_000_000
WIDEST = "least confidence"  # of all labels, so that forms below each other have one edge
Editor: TypeAlias = QComboBox | QSpinBox | QDoubleSpinBox | QLineEdit


class OptionsForm(QWidget):  # type: ignore[misc]
    """Fields of a frozen model of numbers, pairs of numbers and choices, each of which may be left to the program.

    Numbers that may be None show "auto" at their lowest step, pairs while they are empty.  Signal: ``changed()``.

    Parameters
    ----------
    model
        Has the fields, their names, titles and descriptions.
    only
        Fields to show; by default all.
    """

    changed = Signal()

    def __init__(self, model: type[BaseModel], only: Collection[str] = ()) -> None:
        super().__init__()
        self._model = model
        self._fields = {name: field for name, field in model.model_fields.items() if not only or name in only}
        self._editors: dict[str, Editor] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for name, field in self._fields.items():
            editor = self._editors[name] = _editor(field)
            editor.setToolTip(field.description or "")
            _signal(editor).connect(lambda *_: self.changed.emit())
            layout.addRow((field.title or name).lower(), editor)
            label = layout.labelForField(editor)
            label.setToolTip(field.description or "")
            label.setMinimumWidth(label.fontMetrics().horizontalAdvance(WIDEST))

    def options(self) -> BaseModel:
        """Return what the form says.

        Raises
        ------
        OptionError
            If the values do not fit together.
        """
        try:
            return self._model(**{name: _value(editor) for name, editor in self._editors.items()})
        except ValidationError as error:
            raise OptionError(_what_is_wrong(error, self._fields)) from error

    def set_value(self, name: str, value: Any) -> None:
        """Set one field; None or 0 means auto."""
        editor = self._editors[name]
        if isinstance(editor, QComboBox):
            editor.setCurrentText(str(value))
        elif isinstance(editor, QLineEdit):
            editor.setText("" if value is None else " ".join(f"{part:g}" for part in value))
        else:
            editor.setValue(editor.minimum() if value is None else value)

    def summary(self, *, without: Collection[str] = ()) -> str:
        """Return the values that were changed, for the title of a folded form; "" if none was."""
        told = []
        for name, field in self._fields.items():
            value = _value(self._editors[name])
            if value != field.default and name not in without:
                title = (field.title or name).lower()
                told.append(value if isinstance(value, str) else f"{title} {_text(value)}")
        return " · ".join(told)


def _editor(field: FieldInfo) -> Editor:
    kind = _plain_type(field.annotation)
    if get_origin(kind) is tuple:
        pair = QLineEdit()
        pair.setPlaceholderText(AUTO)
        return pair
    if get_origin(kind) is Literal:
        choice = QComboBox()
        choice.addItems([str(value) for value in get_args(kind)])
        choice.setCurrentText(str(field.default))
        return choice
    bounds = {type(part).__name__: part for part in field.metadata}
    low, high = getattr(bounds.get("Ge"), "ge", 0), getattr(bounds.get("Le"), "le", LARGEST)
    if kind is int:
        number = QSpinBox()
        number.setRange(low - 1, high)
    else:
        number = QDoubleSpinBox()
        number.setDecimals(2)
        number.setSingleStep(0.05)
        number.setRange(low - 0.05, high)
    number.setSpecialValueText(AUTO)
    number.setValue(number.minimum() if field.default is None else field.default)
    return number


def _plain_type(annotation: Any) -> Any:
    """Return the type inside ``X | None``."""
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _signal(editor: Editor) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentTextChanged
    return editor.editingFinished if isinstance(editor, QLineEdit) else editor.valueChanged


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


def _what_is_wrong(error: ValidationError, fields: dict[str, FieldInfo]) -> str:
    """Say in one sentence which field has which fault."""
    found = error.errors()[0]
    said = str(found["msg"]).removeprefix("Value error, ")
    field = fields.get(str(found["loc"][0])) if found["loc"] else None
    return said if field is None else f"{field.title or found['loc'][0]}: {said[:1].lower()}{said[1:]}"


def _value(editor: Editor) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentText()
    if isinstance(editor, QLineEdit):
        return re.split(r"[\s,;]+", editor.text().strip()) if editor.text().strip() else None
    value = round(editor.value(), 6)
    return None if value <= round(editor.minimum(), 6) else value
