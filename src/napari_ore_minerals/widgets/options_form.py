"""A form made from a pydantic model, so that parameters are declared once."""

from __future__ import annotations

from collections.abc import Collection
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QSpinBox, QWidget

from napari_ore_minerals.errors import OptionError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

AUTO = "auto"
LARGEST = 1_000_000


class OptionsForm(QWidget):  # type: ignore[misc]
    """Fields of a frozen model of numbers and choices, each of which may be left to the program.

    Numbers that may be None show "auto" at their lowest step.  Signal: ``changed()``.
    """

    changed = Signal()

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self._model = model
        self._editors: dict[str, QComboBox | QSpinBox | QDoubleSpinBox] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for name, field in model.model_fields.items():
            editor = self._editors[name] = _editor(field)
            editor.setToolTip(field.description or "")
            signal = editor.currentTextChanged if isinstance(editor, QComboBox) else editor.valueChanged
            signal.connect(lambda _: self.changed.emit())
            layout.addRow((field.title or name).lower(), editor)
            layout.labelForField(editor).setToolTip(field.description or "")

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
            raise OptionError(str(error.errors()[0]["msg"])) from error

    def set_value(self, name: str, value: Any) -> None:
        """Set one field; None or 0 means auto."""
        editor = self._editors[name]
        if isinstance(editor, QComboBox):
            editor.setCurrentText(str(value))
        else:
            editor.setValue(editor.minimum() if value is None else value)

    def summary(self, *, without: Collection[str] = ()) -> str:
        """Return the values that were changed, for the title of a folded form; "" if none was."""
        told = []
        for name, field in self._model.model_fields.items():
            value = _value(self._editors[name])
            if value != field.default and name not in without:
                told.append(
                    f"{(field.title or name).lower()} {value:g}" if not isinstance(value, str) else str(value)
                )
        return " · ".join(told)


def _editor(field: FieldInfo) -> QComboBox | QSpinBox | QDoubleSpinBox:
    kind = _plain_type(field.annotation)
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


def _value(editor: QComboBox | QSpinBox | QDoubleSpinBox) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentText()
    value = round(editor.value(), 6)
    return None if value <= round(editor.minimum(), 6) else value
