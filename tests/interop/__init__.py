"""Interop: millstream against clients that were not written here."""
