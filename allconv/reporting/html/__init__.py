"""The report as a page: drawings, bars and a table in one file."""
