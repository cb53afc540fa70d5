"""A PostgreSQL database as a results store, shared by the processes of many hosts."""
