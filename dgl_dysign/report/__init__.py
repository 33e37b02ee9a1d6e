"""Reports: run folders in, one page that opens offline out; the command is ``dysign-report``."""
