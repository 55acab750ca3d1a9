"""Build comparison reports: JSON model, Markdown, HTML, charts, diff with an earlier one."""
