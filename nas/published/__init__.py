"""Published experiments and the values that their papers print, beside our rows."""
