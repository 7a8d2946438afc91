"""Signal data -> OTLP messages and bytes. Pure."""
