"""Makes and checks what README.md and docs/guide show."""
