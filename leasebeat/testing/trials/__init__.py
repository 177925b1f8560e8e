"""What the product promises, tried out with real processes: small in CI, larger by `scripts/measure`."""
