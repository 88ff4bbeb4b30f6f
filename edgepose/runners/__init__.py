"""What executes on devices. ``PROTOCOL.md`` is the contract of every runner."""
