"""The native half of millstream."""

__version__: str
