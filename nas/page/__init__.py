"""The report as one page: its data, made once in Python, and the page that draws them."""
