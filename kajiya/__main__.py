"""`python -m kajiya`: the same as the command `kajiya`."""

from kajiya.cli import app

app(prog_name="kajiya")
