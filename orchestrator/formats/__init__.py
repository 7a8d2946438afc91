"""Profiles -> the formats of other tools; pure."""
