"""Requests -> endpoints and files. Nothing here knows what a request says, only that it is one of OTLP's."""
