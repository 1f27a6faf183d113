"""The paper's runs over seeds, and the tables that documents show."""
