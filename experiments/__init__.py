"""The report's run over seeds, and the tables that documents show."""
