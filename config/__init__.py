"""Settings and manifests: the only room that knows YAML and the environment."""
