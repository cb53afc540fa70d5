"""Where rows and claims can lie: a folder of CSV files, or a PostgreSQL database."""
