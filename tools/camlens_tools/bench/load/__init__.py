"""The service under load: its promises of docs/operating.md, each with a measured figure."""
