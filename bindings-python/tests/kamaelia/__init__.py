"""Kamaelia's components: alone on a stage, and under programs from upstream."""
