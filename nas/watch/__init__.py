"""The report's page, served while runs go on."""
