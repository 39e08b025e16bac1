"""The service under load: its promises of docs/guide/operating.md, each with a measured figure."""
