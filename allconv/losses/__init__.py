"""Losses for networks that give class maps; importing them registers them with Keras.

`import allconv` leaves this room alone until `allconv.losses` is asked for: its classes are
subclasses of Keras', so making them imports Keras.
"""

from allconv.losses.multi_class_mil import MultiClassMIL

__all__ = ["MultiClassMIL"]
