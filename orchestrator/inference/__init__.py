"""A program's source -> the manifest that its author did not write. Pure: text in, rules out."""
