"""The figures, one module each: `measure(folder, arguments)` yields the lines of a table."""
