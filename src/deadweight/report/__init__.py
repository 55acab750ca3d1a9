"""The JSON model of the comparison, then Markdown, HTML, charts, comparison with an earlier report."""
