"""What people read: tables, summaries and plots."""
