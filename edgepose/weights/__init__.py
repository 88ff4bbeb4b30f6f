"""Published checkpoints: which there are, fetched, imported as safetensors, exported again."""
